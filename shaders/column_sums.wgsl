// sums[c] = Σ_r x[r, c] (+ old sums), rows ascending. One invocation per four columns.
struct Params {
    rows: u32,
    quads: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    var sum = vec4(0.0);
    for (var r = 0u; r < params.rows; r++) {
        sum += x[r * params.quads + i];
    }
    if (params.accumulate != 0u) {
        sum += sums[i];
    }
    sums[i] = sum;
}
