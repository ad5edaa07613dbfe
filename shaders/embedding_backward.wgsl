// grad_table[t] = Σ grad_y over the places of token t, in order: a row of grad_y belongs to `width` places.
struct Params {
    rows: u32,
    quads: u32,
    width: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> grad_table: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let token = i / params.quads;
    if (token >= params.rows) {
        return;
    }
    var sum = vec4(0.0);
    for (var k = starts[token]; k < starts[token + 1u]; k++) {
        sum += grad_y[(order[k] / params.width) * params.quads + i % params.quads];
    }
    if (params.accumulate != 0u) {
        sum += grad_table[i];
    }
    grad_table[i] = sum;
}
