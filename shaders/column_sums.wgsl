// sums[p, c] = Σ_r x[r, c] (+ old sums) over the rows of part p, ascending. One invocation per four columns of a part.
struct Params {
    rows: u32,
    part_rows: u32,
    parts: u32,
    quads: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let part = i / params.quads;
    if (part >= params.parts) {
        return;
    }
    let first = part * params.part_rows;
    var sum = vec4(0.0);
    for (var r = first; r < min(first + params.part_rows, params.rows); r++) {
        sum += x[r * params.quads + i % params.quads];
    }
    if (params.accumulate != 0u) {
        sum += sums[i];
    }
    sums[i] = sum;
}
