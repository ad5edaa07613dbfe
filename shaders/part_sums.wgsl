// sums[r, p] = Σ x[r, q] over the quads q = p, p + parts, ... of row r: the first half of the sum of a long row.
struct Params {
    rows: u32,
    quads: u32,
    parts: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.parts;
    if (row >= params.rows) {
        return;
    }
    var sum = vec4(0.0);
    for (var q = i % params.parts; q < params.quads; q += params.parts) {
        sum += x[row * params.quads + q];
    }
    sums[i] = (sum.x + sum.y) + (sum.z + sum.w);
}
