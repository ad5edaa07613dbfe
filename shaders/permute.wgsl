// src/core/random.rs::permute is the same.
fn mix(value: u32) -> u32 {
    var h = value;
    h ^= h >> 16u;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13u;
    h *= 0xC2B2AE35u;
    return h ^ (h >> 16u);
}

// A keyed bijection of 0..count; half_bits: in each half of the smallest even-width domain that holds it.
fn permute(key: vec2<u32>, count: u32, half_bits: u32, position: u32) -> u32 {
    let mask = (1u << half_bits) - 1u;
    let domain = (mask + 1u) * (mask + 1u);
    var value = position;
    // A walk ends within the domain's size; saying so keeps a broken shader from hanging a device.
    for (var walk = 0u; walk != domain; walk++) {
        var left = value >> half_bits;
        var right = value & mask;
        for (var round = 0u; round < 6u; round++) {
            let word = select(key.x, key.y, (round & 1u) != 0u);
            let next = left ^ (mix(right ^ (word + round * 0x9E3779B9u)) & mask);
            left = right;
            right = next;
        }
        value = (left << half_bits) | right;
        if (value < count) {
            break;
        }
    }
    return value;
}
