// y[r] = Σ table[tokens[r]] over the tokens of a row, in order.
struct Params {
    rows: u32,
    quads: u32,
    width: u32,
}
@group(0) @binding(0) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let first = row * params.width;
    var sum = vec4(0.0);
    for (var k = 0u; k < params.width; k++) {
        let token = tokens[first + k];
        if (token == NO_TOKEN) {
            break;
        }
        sum += table[token * params.quads + i % params.quads];
    }
    y[i] = sum;
}
