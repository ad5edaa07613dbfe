// For each column j of c = cross / n: cols · ((1 - c_jj)² + lambda Σ_i≠j c_ij²), four columns at a time. The mean over columns is
// the loss. Pads are columns of zeros without a diagonal.
struct Params {
    cols: u32,
    quads: u32,
    per_sample: f32, // 1 / n
    on: f32,  // the diagonal: cols
    off: f32, // cols · lambda
}
@group(0) @binding(0) var<storage, read> cross: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> terms: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    let col = i * 4u + vec4(0u, 1u, 2u, 3u);
    var sum = vec4(0.0);
    for (var row = 0u; row < params.cols; row++) {
        let c = params.per_sample * cross[row * params.quads + i];
        let missing = 1.0 - c;
        sum += select(params.off * (c * c), params.on * (missing * missing), col == vec4(row));
    }
    terms[i] = sum;
}
