// Threefry-2x32 with 20 rounds; src/random.rs is the same arithmetic and names the source.
fn threefry_round(x: vec2<u32>, rotation: u32) -> vec2<u32> {
    let sum = x.x + x.y;
    return vec2(sum, ((x.y << rotation) | (x.y >> (32u - rotation))) ^ sum);
}

fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    let parity = key.x ^ key.y ^ 0x1BD11BDAu;
    var x = counter + key;
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 13u), 15u), 26u), 6u);
    x += vec2(key.y, parity + 1u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 17u), 29u), 16u), 24u);
    x += vec2(parity, key.x + 2u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 13u), 15u), 26u), 6u);
    x += vec2(key.x, key.y + 3u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 17u), 29u), 16u), 24u);
    x += vec2(key.y, parity + 4u);
    x = threefry_round(threefry_round(threefry_round(threefry_round(x, 13u), 15u), 26u), 6u);
    return x + vec2(parity, key.x + 5u);
}

// Uniform in [-1, 1) from the upper 24 bits; exact.
fn signed_unit(bits: u32) -> f32 {
    return f32(bits >> 8u) * (1.0 / 8388608.0) - 1.0;
}

// About normally distributed: four 16-bit uniforms have variance 1/3.
fn bell(bits: vec2<u32>) -> f32 {
    let sum = f32(bits.x & 0xFFFFu) + f32(bits.x >> 16u) + f32(bits.y & 0xFFFFu) + f32(bits.y >> 16u);
    return 1.7320508 * (sum * (1.0 / 65536.0) - 2.0);
}
