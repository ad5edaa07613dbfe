// grad_x = grad_y · share of the sequence where there is a token, and zero elsewhere (+ old grad_x).
struct Params {
    rows: u32, // of grad_x
    quads: u32,
    length: u32,
    token_stride: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> shares: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let sequence = row / params.length;
    var value = vec4(0.0);
    if (tokens[sequence * params.token_stride + row % params.length] != NO_TOKEN) {
        value = grad_y[sequence * params.quads + i % params.quads] * shares[sequence].x;
    }
    if (params.accumulate != 0u) {
        value += grad_x[i];
    }
    grad_x[i] = value;
}
