// For each column j: invariance / n · Σ distances + variance / 2 · Σ_views max(0, 1 - σ_j) + covariance · Σ_views Σ_k≠j C_jk²
// with C = gram / (n - 1) and σ_j = √(C_jj + 1e-4). The mean over columns is the loss.
struct Params {
    cols: u32,
    padded_cols: u32,
    parts: u32,
    per_freedom: f32, // 1 / (n - 1)
    invariance: f32, // over n
    variance: f32, // over 2
    covariance: f32,
}
@group(0) @binding(0) var<storage, read> gram_a: array<f32>;
@group(0) @binding(1) var<storage, read> gram_b: array<f32>;
@group(0) @binding(2) var<storage, read> distances: array<f32>;
@group(0) @binding(3) var<storage, read_write> terms: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn hinge(variance: f32) -> f32 {
    return max(0.0, 1.0 - sqrt(variance + 1e-4));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let j = invocation(group, lane);
    if (j >= params.padded_cols) {
        return;
    }
    var term = 0.0;
    if (j < params.cols) {
        var distance = 0.0;
        for (var part = 0u; part < params.parts; part++) {
            distance += distances[part * params.padded_cols + j];
        }
        let start = j * params.padded_cols;
        var squares = 0.0;
        for (var k = 0u; k < params.cols; k++) {
            let c = params.per_freedom * vec2(gram_a[start + k], gram_b[start + k]);
            squares += select(dot(c, c), 0.0, k == j);
        }
        let spread = hinge(params.per_freedom * gram_a[start + j]) + hinge(params.per_freedom * gram_b[start + j]);
        term = params.invariance * distance + params.variance * spread + params.covariance * squares;
    }
    terms[j] = term;
}
