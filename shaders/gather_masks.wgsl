// The class of every pixel of a batch, seen as augmented views are resampled: that of the nearest
// pixel of the mask, or `outside` where there is none. Masks are rows of packed bytes, lowest byte first.
struct Params {
    pixels: u32, // of all samples
    padded_pixels: u32,
    width: u32,
    height: u32,
    mask_stride: u32,
    outside: u32,
}
@group(0) @binding(0) var<storage, read> masks: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> draws: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> targets: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

fn class_of(pixel: u32) -> u32 {
    let size = vec2(f32(params.width), f32(params.height));
    let sample_index = pixel / (params.width * params.height);
    let source = place(QUADS * sample_index, vec2(pixel % params.width, pixel / params.width % params.height));
    let nearest = floor(source + 0.5);
    if (any(nearest < vec2(0.0)) || any(nearest >= size)) {
        return params.outside;
    }
    let e = u32(nearest.y) * params.width + u32(nearest.x);
    return (masks[indices[sample_index] * params.mask_stride + e / 4u] >> (8u * (e % 4u))) & 255u;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.padded_pixels) {
        return;
    }
    // Pads are zero.
    var target_class = 0u;
    if (i < params.pixels) {
        target_class = class_of(i);
    }
    targets[i] = target_class;
}
