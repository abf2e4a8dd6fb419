//! Whether a body comes fast enough. Only the time spent waiting for its sender counts.

/// Microseconds of waiting that are free: a start takes its time.
const GRACE_MICROS: u64 = 5_000_000;

/// Milliseconds that the sender may still be waited for, after so many bytes in so many microseconds of waiting, before
/// its average has been below `rate` bytes a second; None: for ever. 0: it is too slow already.
pub fn left_ms(rate: u64, bytes: u64, waited_micros: u64) -> Option<u64> {
    if rate == 0 {
        return None;
    }
    let paid = u128::from(bytes) * 1_000_000 / u128::from(rate);
    let allowed = u64::try_from(paid).unwrap_or(u64::MAX).max(GRACE_MICROS);
    Some(allowed.saturating_sub(waited_micros).div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_waited_for_as_long_as_its_average_holds() {
        let second = 1_000_000;
        for (rate, bytes, waited, wanted) in [
            (0, 0, u64::MAX, None),
            (100, 0, 0, Some(5000)),
            (100, 0, 4 * second, Some(1000)),
            (100, 0, 5 * second, Some(0)),
            (100, 499, 5 * second, Some(0)),
            (100, 501, 5 * second, Some(10)),
            (100, 1000, 5 * second, Some(5000)),
            (100, 1000, 11 * second, Some(0)),
            (1, u64::MAX, 5 * second, Some(u64::MAX / 1000 - 5000 + 1)),
        ] {
            assert_eq!(left_ms(rate, bytes, waited), wanted, "{rate} {bytes} {waited}");
        }
    }
}
