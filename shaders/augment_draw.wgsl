// The random decisions for one row of augmented images: see the struct of the same name in Rust for what lies where.
// Keyed by (seed, step, row), so a step can be replayed alone.
//
// Angles use t = tan(angle / 2), cos = (1 - t²) / (1 + t²), sin = 2t / (1 + t²), and scales (1 + u) / (1 - u): rational
// functions agree on all devices, sin, cos and exp do not. What happens with some probability compares integers.
struct Params {
    rows: u32,
    width: u32,
    height: u32,
    key_low: u32,
    key_high: u32,
    rotation: f32,    // tan(largest angle / 2)
    scale: f32,       // tanh(largest log scale / 2)
    aspect: f32,      // tanh(largest log aspect / 2)
    shear: f32,
    shift_x: f32,     // share of half the image
    shift_y: f32,
    crop: f32,        // largest share of the area that is cut away
    crop_aspect: f32, // tanh(largest log aspect of a crop / 4)
    elastic: f32,     // share of half the image
    flip: u32,        // probabilities in units of 2^-24
    grey: u32,
    blur: u32,
    thickness: f32,
    contrast: f32,
    brightness: f32,
    saturation: f32,
    hue: f32,         // tan(largest angle / 2)
    erase: u32,       // side of the square, pixels
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read_write> draws: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> keys: array<vec4<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn spread(bits: u32, strength: f32) -> f32 {
    let u = strength * signed_unit(bits);
    return (1.0 + u) / (1.0 - u);
}

// Cosine and sine.
fn turn(bits: u32, strength: f32) -> vec2<f32> {
    let t = strength * signed_unit(bits);
    return vec2(1.0 - t * t, 2.0 * t) / (1.0 + t * t);
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
    let r6 = threefry(key, vec2(6u, 0u));
    let r7 = threefry(key, vec2(7u, 0u));
    let r8 = threefry(key, vec2(8u, 0u));
    let r9 = threefry(key, vec2(9u, 0u));
    let r10 = threefry(key, vec2(10u, 0u));
    let reach = 0.5 * vec2(f32(params.width), f32(params.height));

    // The part of the image that is seen: its sides as shares, and how far its middle lies from the image's.
    let side = sqrt(1.0 - params.crop * (0.5 + 0.5 * signed_unit(r9.x)));
    let ratio = spread(r9.y, params.crop_aspect);
    let part = min(vec2(side * ratio, side / ratio), vec2(1.0));
    let place = (1.0 - part) * vec2(signed_unit(r10.x), signed_unit(r10.y)) * reach;

    let rotation = turn(r0.x, params.rotation);
    let scale_y = spread(r0.y, params.scale);
    let mirrored = select(1.0, -1.0, (r6.x >> 8u) < params.flip);
    let scale_x = scale_y * spread(r1.x, params.aspect) * mirrored;
    let shift = vec2(params.shift_x, params.shift_y) * vec2(signed_unit(r2.x), signed_unit(r2.y)) * reach;
    let shear = params.shear * signed_unit(r1.y);
    let contrast = 1.0 + params.contrast * signed_unit(r3.x);
    let first = part.x * vec3(rotation.x * scale_x, shear - rotation.y * scale_y, shift.x) + vec3(0.0, 0.0, place.x);
    let second = part.y * vec3(rotation.y * scale_x, rotation.x * scale_y, shift.y) + vec3(0.0, 0.0, place.y);

    // A turn about the grey axis, then towards or away from the weighted mean.
    let luma = vec3(0.299, 0.587, 0.114);
    let hue = turn(r7.y, params.hue);
    let along = (1.0 - hue.x) / 3.0;
    let across = hue.y * 0.57735027;
    let saturation = select(1.0 + params.saturation * signed_unit(r7.x), 0.0, (r6.y >> 8u) < params.grey);
    let red = vec3(hue.x + along, along - across, along + across);
    let green = vec3(along + across, hue.x + along, along - across);
    let blue = vec3(along - across, along + across, hue.x + along);
    let mean = (1.0 - saturation) * (luma.x * red + luma.y * green + luma.z * blue);

    let at = QUADS * i;
    draws[at] = vec4(first, params.brightness * signed_unit(r3.y));
    draws[at + 1u] = vec4(second, contrast);
    draws[at + 2u] = vec4(contrast * (saturation * red + mean), params.thickness * signed_unit(r8.x));
    draws[at + 3u] = vec4(contrast * (saturation * green + mean), select(0.0, 1.0, (r8.y >> 8u) < params.blur));
    draws[at + 4u] = vec4(contrast * (saturation * blue + mean), 0.0);
    for (var pair = 0u; pair < 8u; pair++) {
        var nodes = vec4(0.0);
        for (var e = 0u; e < 4u; e++) {
            nodes[e] = bell(threefry(key, vec2(16u + 4u * pair + e, 0u)));
        }
        draws[at + 5u + pair] = params.elastic * nodes * reach.xyxy;
    }
    // Where the square starts, plus its side: never negative.
    let left = (((r4.x >> 16u) * params.width) >> 16u) + (params.erase + 1u) / 2u;
    let top = (((r4.y >> 16u) * params.height) >> 16u) + (params.erase + 1u) / 2u;
    keys[i] = vec4(threefry(key, vec2(5u, 0u)), left, top);
}
