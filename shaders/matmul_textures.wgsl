// Operands of a matmul in textures: a texel is a quad, a line of the texture holds a power of two of rows side by side.
// Software adapters load texels as vectors, but storage lane by lane with a branch for each: eight times slower.
@group(0) @binding(0) var a: texture_2d<f32>;
@group(0) @binding(1) var b: texture_2d<f32>;

fn a_stored(row: u32, quad: u32, quads: u32) -> vec4<f32> {
    if (A_RUNS_ON != 0u) {
        return textureLoad(a, texel_running_on(row, quad, quads, params.a_line_shift), 0);
    }
    return textureLoad(a, texel(row, quad, quads, params.a_line_shift), 0);
}

fn b_stored(row: u32, quad: u32, quads: u32) -> vec4<f32> {
    if (B_RUNS_ON != 0u) {
        return textureLoad(b, texel_running_on(row, quad, quads, params.b_line_shift), 0);
    }
    return textureLoad(b, texel(row, quad, quads, params.b_line_shift), 0);
}
