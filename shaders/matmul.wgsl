// c = a·b, a·bᵀ or aᵀ·b of two matrices, with an epilogue. Other parts say where operands lie, how work is divided and what
// is stored. Every output sums k ascending in one accumulator, so that schemes and tile sizes change no sum.
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
@group(0) @binding(5) var<uniform> params: Params;
