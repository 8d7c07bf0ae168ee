//! Repeatable variety: the caller's seed, stirred with a salt that names the use. Never a random source of its own.

/// A number that looks random, the same for the same `seed` and `salt` (the finaliser of SplitMix64).
pub(crate) fn mix(seed: u64, salt: u64) -> u64 {
    let mut z = seed.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number below `bound`; zero where `bound` is zero.
pub(crate) fn below(seed: u64, salt: u64, bound: u64) -> u64 {
    let wide = (u128::from(mix(seed, salt)) * u128::from(bound)) >> 64;
    u64::try_from(wide).unwrap_or(0)
}
