// sums[p, c] = Σ (x[r, c] - x[r + samples, c])² over the samples r of part p, ascending: how far two views are apart.
struct Params {
    parts: u32,
    part_rows: u32,
    samples: u32,
    quads: u32,
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
    let quad = i % params.quads;
    let end = min((part + 1u) * params.part_rows, params.samples);
    var sum = vec4(0.0);
    for (var r = part * params.part_rows; r < end; r++) {
        let d = x[r * params.quads + quad] - x[(r + params.samples) * params.quads + quad];
        sum += d * d;
    }
    sums[i] = sum;
}
