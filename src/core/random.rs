//! Counter-based random numbers: a value is a function of its key and counter, never of what was drawn before.
//!
//! `shaders/random.wgsl` is the same arithmetic, so both executors draw the same integers.

/// Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for block in 0..5 {
        for rotation in ROTATIONS[block % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(rotation) ^ x[0];
        }
        x[0] = x[0].wrapping_add(keys[(block + 1) % 3]);
        x[1] = x[1].wrapping_add(keys[(block + 2) % 3]).wrapping_add(block as u32 + 1);
    }
    x
}

/// The 64-bit seed as a key, and a stream number that keeps uses apart.
pub fn key(seed: u64, stream: u32) -> [u32; 2] {
    threefry([seed as u32, (seed >> 32) as u32], [stream, 0x7767_7261])
}

/// A key for the buffer called `name` (FNV-1a), so that initial weights do not depend on the order of declaration.
pub fn key_from_name(seed: u64, name: &str) -> [u32; 2] {
    let hash = name.bytes().fold(0x811C_9DC5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    key(seed, hash)
}

/// Uniform in `[-1, 1)` from the upper 24 bits; exact in f32.
pub fn signed_unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0
}

/// A probability in units of 2^-24, for the upper 24 bits of a word to be compared with.
pub fn threshold(probability: f32) -> u32 {
    (f64::from(probability) * f64::from(1 << 24)).round() as u32
}

/// About normally distributed, with a standard deviation of 1: the sum of four 16-bit uniforms.
pub fn bell(bits: [u32; 2]) -> f64 {
    let sum: u32 = bits.iter().map(|bits| (bits & 0xFFFF) + (bits >> 16)).sum();
    3f64.sqrt() * (f64::from(sum) / 65536.0 - 2.0)
}

/// A keyed bijection of `0..n`: position in an epoch to sample, without a table.
///
/// A six-round Feistel network over the next even number of bits; values beyond `n` walk on until they fall inside.
pub fn permute(key: [u32; 2], n: u32, position: u32) -> u32 {
    debug_assert!(position < n);
    let half = half_bits(n);
    let mask = (1 << half) - 1;
    let mut value = position;
    loop {
        let (mut left, mut right) = (value >> half, value & mask);
        for round in 0..6_u32 {
            let next = left ^ (mix(right ^ key[(round & 1) as usize].wrapping_add(round.wrapping_mul(0x9E37_79B9))) & mask);
            (left, right) = (right, next);
        }
        value = (left << half) | right;
        if value < n {
            return value;
        }
    }
}

/// Bits in each half of the smallest even-width domain that holds `0..n`.
pub fn half_bits(n: u32) -> u32 {
    (32 - n.saturating_sub(1).leading_zeros()).div_ceil(2).max(1)
}

/// MurmurHash3's finaliser (Appleby).
fn mix(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85EB_CA6B);
    h ^= h >> 13;
    h = h.wrapping_mul(0xC2B2_AE35);
    h ^ (h >> 16)
}

/// `count` distinct members of `0..n` in an order fixed by the key: the host's own draws (label subsets, held-out sets).
pub fn sample_without_replacement(key: [u32; 2], n: u32, count: u32) -> Vec<u32> {
    (0..count.min(n)).map(|i| permute(key, n, i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threefry_matches_the_published_vectors() {
        assert_eq!(threefry([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry([!0, !0], [!0, !0]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(threefry([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), [0xc492_3a9c, 0x483d_f7a0]);
    }

    #[test]
    fn permute_is_a_bijection_that_depends_on_its_key() {
        for n in [1, 2, 3, 5, 64, 65, 1000, 4097] {
            let mut seen: Vec<u32> = (0..n).map(|i| permute([7, 9], n, i)).collect();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..n), "not a bijection of 0..{n}");
        }
        assert_ne!(sample_without_replacement([1, 2], 1000, 20), sample_without_replacement([1, 3], 1000, 20));
    }

    #[test]
    fn permuted_positions_are_spread_evenly() {
        // Mean position of the first half after shuffling: 499.5 for a fair shuffle, with a standard deviation of 9.1.
        let mean: f64 = (0..64).map(|k| (0..500).map(|i| f64::from(permute([k, 1], 1000, i))).sum::<f64>() / 500.0).sum::<f64>() / 64.0;
        assert!((mean - 499.5).abs() < 6.0, "mean position {mean}");
    }
}
