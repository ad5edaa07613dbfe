// offsets[i] = z[j] - mean of z over all rows but i that have i's label, j the other view of i: (i + samples) mod rows.
struct Params {
    rows: u32,
    samples: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> offsets: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let quad = i % params.quads;
    let sample_index = row % params.samples;
    let label = labels[sample_index];
    let other = z[((row + params.samples) % params.rows) * params.quads + quad];
    var sum = other;
    var count = 1.0;
    for (var s = 0u; s < params.samples; s++) {
        if (s != sample_index && labels[s] == label) {
            sum += z[s * params.quads + quad] + z[(s + params.samples) * params.quads + quad];
            count += 2.0;
        }
    }
    offsets[i] = other - sum / count;
}
