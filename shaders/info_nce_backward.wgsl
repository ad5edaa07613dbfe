// The gradient of mean InfoNCE with respect to the similarities.
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
    var column_log_sum = vec4(0.0);
    if (params.two_views != 0u) {
        let last = params.cols - 1u;
        column_log_sum = vec4(
            log_sum[min(col.x, last)],
            log_sum[min(col.y, last)],
            log_sum[min(col.z, last)],
            log_sum[min(col.w, last)],
        );
    }
    dsimilarity[i] = slope(similarity[i], row, col, params.cols, log_sum[row], column_log_sum);
}
