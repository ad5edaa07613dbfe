// Blocks of 4 x 4 of the operands of a product a·b (LAYOUT NN), a·bᵀ (NT) or aᵀ·b (TN). Where operands lie is another
// part, which gives a_quad and b_quad.
const NN = 0u;
const NT = 1u;
const TN = 2u;

// Four rows of a from `row`, at four k from `k`: column i holds the four rows' values at k + i. Beyond the end of k
// they are zero: where k runs along the row, the row's pad is; where it runs down the rows, they are cut here.
fn a_block(row: u32, k: u32) -> mat4x4<f32> {
    if (LAYOUT == TN) {
        let quad = min(row / 4u, params.a_quads - 1u);
        let last = params.k - 1u;
        return mat4x4(
            select(vec4(0.0), a_quad(min(k, last), quad), k <= last),
            select(vec4(0.0), a_quad(min(k + 1u, last), quad), k + 1u <= last),
            select(vec4(0.0), a_quad(min(k + 2u, last), quad), k + 2u <= last),
            select(vec4(0.0), a_quad(min(k + 3u, last), quad), k + 3u <= last),
        );
    }
    let quad = min(k / 4u, params.a_quads - 1u);
    let last = params.m - 1u;
    return transpose(mat4x4(
        a_quad(min(row, last), quad),
        a_quad(min(row + 1u, last), quad),
        a_quad(min(row + 2u, last), quad),
        a_quad(min(row + 3u, last), quad),
    ));
}

// Four columns of b from `column`, at four k from `k`: column i holds the values at k + i. What lies beyond the end of k
// meets zeros of a.
fn b_block(column: u32, k: u32) -> mat4x4<f32> {
    if (LAYOUT == NT) {
        let quad = min(k / 4u, params.b_quads - 1u);
        let last = params.n - 1u;
        return transpose(mat4x4(
            b_quad(min(column, last), quad),
            b_quad(min(column + 1u, last), quad),
            b_quad(min(column + 2u, last), quad),
            b_quad(min(column + 3u, last), quad),
        ));
    }
    let quad = min(column / 4u, params.b_quads - 1u);
    let last = params.k - 1u;
    return mat4x4(
        b_quad(min(k, last), quad),
        b_quad(min(k + 1u, last), quad),
        b_quad(min(k + 2u, last), quad),
        b_quad(min(k + 3u, last), quad),
    );
}

// sum + a·b for one block: row r of the result is column r of the matrix. k ascends in one accumulator per output.
fn multiply_add(sum: mat4x4<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(
        (((sum[0] + a[0].x * b[0]) + a[1].x * b[1]) + a[2].x * b[2]) + a[3].x * b[3],
        (((sum[1] + a[0].y * b[0]) + a[1].y * b[1]) + a[2].y * b[2]) + a[3].y * b[3],
        (((sum[2] + a[0].z * b[0]) + a[1].z * b[1]) + a[2].z * b[2]) + a[3].z * b[3],
        (((sum[3] + a[0].w * b[0]) + a[1].w * b[1]) + a[2].w * b[2]) + a[3].w * b[3],
    );
}
