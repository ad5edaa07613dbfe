// The gradients of a recurrent layer in one direction by what goes into its gates, from the last step to the first: `retreat`, which
// knows the cell, makes them of the gradient of a step's state, and through w they become part of that of the state before. A workgroup
// has a sequence; an invocation some units, then some quads of part of the sums over the rows of w. Past the last step they are zero.
struct Params {
    length: u32,
    token_stride: u32,
    stride: u32, // of grad_y and of the states before
    kept_stride: u32,
    last_stride: u32,
    grad_stride: u32,
}
@group(0) @binding(0) var<storage, read> grad_y: array<f32>;
@group(0) @binding(1) var<storage, read> grad_last: array<f32>;
@group(0) @binding(2) var<storage, read> kept: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> grad: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

// By w h + b; by the state before, in parts; and what a unit's gradients have beside that.
var<workgroup> slopes: array<f32, GATES * WIDTH>;
var<workgroup> parts: array<vec4<f32>, PARTS * UNIT_QUADS>;
var<workgroup> beside: array<f32, WIDTH>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let sequence = invocation(group, 0u) / WG;
    let count = count_of(sequence, lane);
    for (var i = lane; i < PARTS * UNIT_QUADS; i += WG) {
        var value = vec4(0.0);
        if (i < UNIT_QUADS) {
            let at = sequence * params.last_stride + min(4u * i + vec4(0u, 1u, 2u, 3u), vec4(WIDTH - 1u));
            value = vec4(grad_last[at.x], grad_last[at.y], grad_last[at.z], grad_last[at.w]);
        }
        parts[i] = value;
    }
    for (var u = lane; u < WIDTH; u += WG) {
        beside[u] = beside_last(sequence * params.last_stride + u);
    }
    for (var left = count; left > 0u; left--) {
        let step = left - 1u;
        let row = row_of(sequence, step, count);
        workgroupBarrier();
        for (var u = lane; u < WIDTH; u += WG) {
            var slope = grad_y[row * params.stride + u];
            for (var part = 0u; part < PARTS; part++) {
                slope += parts[part * UNIT_QUADS + u / 4u][u % 4u];
            }
            retreat(u, slope, row, row_of(sequence, max(step, 1u) - 1u, count), step > 0u);
        }
        for (var i = GATES * WIDTH + lane; i < params.grad_stride; i += WG) {
            clear(row * params.grad_stride + i);
        }
        workgroupBarrier();
        for (var i = lane; i < PARTS * UNIT_QUADS; i += WG) {
            var sum = vec4(0.0);
            for (var j = i / UNIT_QUADS; j < GATES * WIDTH; j += PARTS) {
                sum += w[j * UNIT_QUADS + i % UNIT_QUADS] * slopes[j];
            }
            parts[i] = sum;
        }
    }
    for (var place = count; place < params.length; place++) {
        let row = sequence * params.length + place;
        for (var i = lane; i < params.grad_stride; i += WG) {
            clear(row * params.grad_stride + i);
        }
    }
}
