@group(0) @binding(0) var x: texture_2d<f32>;

fn x_quad(i: u32) -> vec4<f32> {
    return textureLoad(x, texel(i, 0u, 1u, params.line_shift), 0);
}
