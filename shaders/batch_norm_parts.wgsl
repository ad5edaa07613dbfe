// Mean and sum of squared deviations of each column over each part of the rows. What is squared is the distance from the
// part's first row: as that is one of the n, Σ(x - first)² <= (n + 1) Σ(x - mean)², and the difference below stays exact
// however large the mean is.
struct Params {
    rows: u32,
    part_rows: u32,
    parts: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> means: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> deviations: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.parts * params.quads) {
        return;
    }
    let quad = i % params.quads;
    let first_row = i / params.quads * params.part_rows;
    let end = min(first_row + params.part_rows, params.rows);
    let first = x[first_row * params.quads + quad];
    var sum = vec4(0.0);
    var squares = vec4(0.0);
    for (var r = first_row + 1u; r < end; r++) {
        let d = x[r * params.quads + quad] - first;
        sum += d;
        squares += d * d;
    }
    let mean = sum / f32(end - first_row);
    means[i] = first + mean;
    deviations[i] = squares - sum * mean;
}
