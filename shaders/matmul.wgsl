// c = a·b, a·bᵀ or aᵀ·b, then the epilogue: (zero where mask is not positive) (+ old c) (+ bias) (ReLU). MASK, ACCUMULATE
// and BIAS (0 or 1 each) are constants of the call.
//
// Other parts say where operands lie and how work is divided. Every output sums k ascending in one accumulator, so that
// schemes and tile sizes change no sum.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_quads: u32, // quads in a row
    b_quads: u32,
    c_quads: u32,
    a_line_shift: u32, // log2 of the rows in a line of the texture, for variants that have operands in textures
    b_line_shift: u32,
    parts: u32,
    part_k: u32, // k is cut into parts of this length, a multiple of every DEPTH; c holds the products of the parts below
                 // each other
    relu: u32,
}
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> mask: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

// What `store` adds to all rows of a quad of columns.
fn column_shift(quad: u32) -> vec4<f32> {
    var shift = vec4(0.0);
    if (BIAS != 0u) {
        shift = bias[min(quad, params.c_quads - 1u)];
    }
    return shift;
}

// One `if` and no return: drivers that run lanes under masks compile it four times faster so.
fn store(part: u32, row: u32, quad: u32, shift: vec4<f32>, sum: vec4<f32>) {
    if ((part < params.parts) & (row < params.m) & (quad < params.c_quads)) {
        let at = (part * params.m + row) * params.c_quads + quad;
        var value = sum;
        if (MASK != 0u) {
            value = select(vec4(0.0), value, mask[at] > vec4(0.0));
        }
        if (ACCUMULATE != 0u) {
            value += c[at];
        }
        value += shift;
        value = select(value, vec4(0.0), (value <= vec4(0.0)) & vec4(params.relu != 0u));
        // Columns beyond n are the row's pad, which stays zero.
        c[at] = select(vec4(0.0), value, quad * 4u + vec4(0u, 1u, 2u, 3u) < vec4(params.n));
    }
}
