// y = the mean of x over the tokens of each sequence, in order; of none, zero. shares = 1 / their number.
struct Params {
    rows: u32,
    quads: u32,
    length: u32,
    token_stride: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> shares: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let quad = i % params.quads;
    var count = 0u;
    var sum = vec4(0.0);
    for (var place = 0u; place < params.length; place++) {
        if (tokens[row * params.token_stride + place] == NO_TOKEN) {
            break;
        }
        sum += x[(row * params.length + place) * params.quads + quad];
        count++;
    }
    let share = select(0.0, 1.0 / f32(max(count, 1u)), count != 0u);
    y[i] = sum * share;
    if (quad == 0u) {
        shares[row] = vec4(share, 0.0, 0.0, 0.0);
    }
}
