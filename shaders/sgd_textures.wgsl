// What SGD updates, read through textures that hold what stood there before; the reason is that of matmul_textures.
@group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(1) var g: texture_2d<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(6) var old_w: texture_2d<f32>;
@group(0) @binding(7) var old_v: texture_2d<f32>;

fn w_quad(i: u32) -> vec4<f32> {
    return textureLoad(old_w, texel(i, 0u, 1u, params.line_shift), 0);
}

fn g_quad(i: u32) -> vec4<f32> {
    return textureLoad(g, texel(i, 0u, 1u, params.line_shift), 0);
}

fn v_quad(i: u32) -> vec4<f32> {
    return textureLoad(old_v, texel(i, 0u, 1u, params.line_shift), 0);
}
