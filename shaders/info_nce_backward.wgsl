// The gradient of the mean loss with respect to the similarities, g_ij = (p_ij - [j is i's positive]) / (rows τ).
// Over two views the similarity matrix is symmetric and its own transpose's gradient is added here, so that one product
// g·z gives the gradient of the embeddings. The pair (i, i) took no part and gets nothing.
struct Params {
    rows: u32,
    cols: u32,
    quads: u32,
    shift: u32,
    two_views: u32,
}
@group(0) @binding(0) var<storage, read> similarity: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> log_sum: array<f32>;
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read_write> dsimilarity: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let col = (i % params.quads) * 4u + vec4(0u, 1u, 2u, 3u);
    let inverse_temperature = 1.0 / hyper[0];
    let z = similarity[i] * inverse_temperature;
    var g = exp(clamp(z - log_sum[row], vec4(-80.0), vec4(0.0)));
    var positives = 1.0;
    var counts = col < vec4(params.cols);
    if (params.two_views != 0u) {
        let last = params.cols - 1u;
        let other = vec4(
            log_sum[min(col.x, last)],
            log_sum[min(col.y, last)],
            log_sum[min(col.z, last)],
            log_sum[min(col.w, last)],
        );
        g += exp(clamp(z - other, vec4(-80.0), vec4(0.0)));
        positives = 2.0;
        counts = counts & (col != vec4(row));
    }
    g -= select(vec4(0.0), vec4(positives), col == vec4((row + params.shift) % params.cols));
    dsimilarity[i] = select(vec4(0.0), g * (inverse_temperature / f32(params.rows)), counts);
}
