// c = a block of the gradient of mean InfoNCE with respect to the similarities a·bᵀ, which are computed here once more and
// never stored.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_quads: u32,
    b_quads: u32,
    c_quads: u32,
    a_line_shift: u32,
    b_line_shift: u32,
    parts: u32, // of k, as in matmul: one
    part_k: u32,
    first_row: u32, // of the block in the whole
    first_quad: u32,
    rows: u32, // of the whole
    cols: u32,
    shift: u32,
    two_views: u32,
}
@group(0) @binding(2) var<storage, read> log_sum: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> hyper: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

// log_sum of four columns.
fn column_shift(quad: u32) -> vec4<f32> {
    var shift = vec4(0.0);
    if (params.two_views != 0u) {
        shift = log_sum[params.first_quad + min(quad, params.c_quads - 1u)];
    }
    return shift;
}

fn store(part: u32, row: u32, quad: u32, column_log_sum: vec4<f32>, similarity: vec4<f32>) {
    if ((part < params.parts) & (row < params.m) & (quad < params.c_quads)) {
        let i = params.first_row + row;
        let col = 4u * (params.first_quad + quad) + vec4(0u, 1u, 2u, 3u);
        let end = 4u * params.first_quad + params.n;
        c[row * params.c_quads + quad] = slope(similarity, i, col, end, log_sum[i / 4u][i % 4u], column_log_sum);
    }
}
