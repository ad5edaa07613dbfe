// c = a·b, a·bᵀ or aᵀ·b, then the epilogue: (zero where mask is not positive) (+ old c) (+ bias) (ReLU).
//
// Shared by all schemes. Where operands come from is another part, which gives a_quad and b_quad; how work is divided is
// a third. Every output sums k ascending in one accumulator, so schemes and tile sizes never change a bit.
const NN = 0u;
const NT = 1u;
const TN = 2u;
const BIAS = 1u;
const RELU = 2u;
const ACCUMULATE = 4u;
const MASK = 8u;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_quads: u32, // quads in a row
    b_quads: u32,
    c_quads: u32,
    epilogue: u32,
}
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> mask: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

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

fn store(row: u32, quad: u32, sum: vec4<f32>) {
    if (row >= params.m) {
        return;
    }
    if (quad >= params.c_quads) {
        return;
    }
    let at = row * params.c_quads + quad;
    var value = sum;
    if ((params.epilogue & MASK) != 0u) {
        value = select(vec4(0.0), value, mask[at] > vec4(0.0));
    }
    if ((params.epilogue & ACCUMULATE) != 0u) {
        value += c[at];
    }
    if ((params.epilogue & BIAS) != 0u) {
        value += bias[quad];
    }
    if ((params.epilogue & RELU) != 0u) {
        value = select(value, vec4(0.0), value <= vec4(0.0));
    }
    // Columns beyond n are the row's pad, which stays zero.
    c[at] = select(vec4(0.0), value, quad * 4u + vec4(0u, 1u, 2u, 3u) < vec4(params.n));
}
