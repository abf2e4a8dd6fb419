//! Short hashes that stay the same from start to start: of names, and of what a client is told apart by. They spread keys;
//! they keep no secret and withstand nobody who looks for collisions.

/// The hash of some bytes: FNV-1a, its bits mixed.
pub fn of(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(fnv)
}

/// What stands for the name of an endpoint.
pub fn mark(name: &str) -> u64 {
    of(name.as_bytes())
}

/// A hash of two.
pub fn both(one: u64, other: u64) -> u64 {
    mix(mix(one).wrapping_add(other))
}

/// A hash as a number between 0 and 1, neither of them.
pub fn fraction(hash: u64) -> f64 {
    let high = u32::try_from(hash >> 32).unwrap_or(0);
    (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

/// Every bit of the input moves half of those of the output (splitmix64, Steele 2014).
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_same_for_ever() {
        // In cookies of clients: another value would take every client off its endpoint.
        assert_eq!(format!("{:016x}", mark("nova-api.1")), "f5f5ca469bdcb623");
        assert_ne!(mark("nova-api.1"), mark("nova-api.2"));
    }

    #[test]
    fn fractions_are_spread_and_never_at_the_ends() {
        assert!(fraction(0) > 0.0 && fraction(u64::MAX) < 1.0);
        let below = (0..10_000_u64).filter(|key| fraction(of(&key.to_le_bytes())) < 0.3).count();
        assert!((2850..3150).contains(&below), "{below}");
    }
}
