// The random decisions for one row of augmented images: an inverse affine map, contrast and brightness, a rectangle to
// erase and a key for pixel noise. Keyed by (seed, step, row), so a step can be replayed alone.
//
// Rotation uses t = tan(angle / 2), cos = (1 - t²) / (1 + t²), sin = 2t / (1 + t²), and scales (1 + u) / (1 - u):
// rational functions agree on all devices, sin, cos and exp do not.
struct Params {
    rows: u32,
    width: u32,
    height: u32,
    key_low: u32,
    key_high: u32,
    rotation: f32, // tan(largest angle / 2)
    scale: f32,    // tanh(largest log scale / 2)
    aspect: f32,   // tanh(largest log aspect / 2)
    shear: f32,
    shift: f32,    // share of half the image
    contrast: f32,
    brightness: f32,
    erase: u32,    // side of the square, pixels
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read_write> draws: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> keys: array<vec4<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn spread(bits: u32, strength: f32) -> f32 {
    let u = strength * signed_unit(bits);
    return (1.0 + u) / (1.0 - u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        return;
    }
    let key = threefry(vec2(params.key_low, params.key_high), vec2(clock[0], i));
    let r0 = threefry(key, vec2(0u, 0u));
    let r1 = threefry(key, vec2(1u, 0u));
    let r2 = threefry(key, vec2(2u, 0u));
    let r3 = threefry(key, vec2(3u, 0u));
    let r4 = threefry(key, vec2(4u, 0u));
    let t = params.rotation * signed_unit(r0.x);
    let cosine = (1.0 - t * t) / (1.0 + t * t);
    let sine = 2.0 * t / (1.0 + t * t);
    let scale_y = spread(r0.y, params.scale);
    let scale_x = scale_y * spread(r1.x, params.aspect);
    let shift_x = params.shift * signed_unit(r2.x) * 0.5 * f32(params.width);
    let shift_y = params.shift * signed_unit(r2.y) * 0.5 * f32(params.height);
    let shear = params.shear * signed_unit(r1.y);
    draws[2u * i] = vec4(cosine * scale_x, shear - sine * scale_y, shift_x, params.brightness * signed_unit(r3.y));
    draws[2u * i + 1u] = vec4(sine * scale_x, cosine * scale_y, shift_y, 1.0 + params.contrast * signed_unit(r3.x));
    // Where the square starts, plus its side: never negative.
    let left = (((r4.x >> 16u) * params.width) >> 16u) + (params.erase + 1u) / 2u;
    let top = (((r4.y >> 16u) * params.height) >> 16u) + (params.erase + 1u) / 2u;
    keys[i] = vec4(threefry(key, vec2(5u, 0u)), left, top);
}
