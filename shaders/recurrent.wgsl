// A recurrent layer in one direction: from x, what its inputs say to the gates, and the state h before, each step makes the next state,
// by `advance`, which knows the cell. A workgroup has a sequence; an invocation some rows of w h + b, then some units of the state.
// Keeps what gates were, and the state before each step.
struct Params {
    length: u32,
    token_stride: u32,
    x_stride: u32,
    stride: u32, // of y and of the states before
    kept_stride: u32,
    last_stride: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> kept: array<f32>;
@group(0) @binding(6) var<storage, read_write> before: array<f32>;
@group(0) @binding(7) var<storage, read_write> last: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

// h, with zeros behind it, and w h + b.
var<workgroup> units: array<f32, 4u * UNIT_QUADS>;
var<workgroup> sums: array<f32, GATES * WIDTH>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sequence = invocation(group, 0u) / WG;
    let count = count_of(sequence, lane);
    for (var u = lane; u < 4u * UNIT_QUADS; u += WG) {
        units[u] = 0.0;
    }
    begin(lane);
    for (var step = 0u; step < count; step++) {
        let row = row_of(sequence, step, count);
        workgroupBarrier();
        for (var j = lane; j < GATES * WIDTH; j += WG) {
            var sum = vec4(0.0);
            for (var q = 0u; q < UNIT_QUADS; q++) {
                sum += w[j * UNIT_QUADS + q] * vec4(units[4u * q], units[4u * q + 1u], units[4u * q + 2u], units[4u * q + 3u]);
            }
            sums[j] = ((sum.x + sum.y) + (sum.z + sum.w)) + b[j];
        }
        workgroupBarrier();
        for (var u = lane; u < params.stride; u += WG) {
            var old = 0.0;
            var new_state = 0.0;
            if (u < WIDTH) {
                old = units[u];
                new_state = advance(u, row * params.x_stride + u, row * params.kept_stride + u);
                units[u] = new_state;
            }
            before[row * params.stride + u] = old;
            y[row * params.stride + u] = new_state;
        }
        for (var i = KEPT * WIDTH + lane; i < params.kept_stride; i += WG) {
            kept[row * params.kept_stride + i] = 0.0;
        }
    }
    workgroupBarrier();
    for (var i = lane; i < params.last_stride; i += WG) {
        var value = 0.0;
        if (i < STATES * WIDTH) {
            value = state_of(i);
        }
        last[sequence * params.last_stride + i] = value;
    }
    for (var place = count; place < params.length; place++) {
        let row = sequence * params.length + place;
        for (var u = lane; u < params.stride; u += WG) {
            before[row * params.stride + u] = 0.0;
            y[row * params.stride + u] = 0.0;
        }
        for (var i = lane; i < params.kept_stride; i += WG) {
            kept[row * params.kept_stride + i] = 0.0;
        }
    }
}
