//! How long an endpoint takes to begin an answer, told in one number that all cores can share: a slow average for people
//! and for ejection, and a peak that is remembered for a while for `two-random`.

/// Bits of a packed average that count its samples.
const COUNT_BITS: u32 = 8;
/// Most that they tell.
const COUNT_MOST: u64 = (1 << COUNT_BITS) - 1;
/// Parts of a microsecond that the average is kept in.
const PARTS: u64 = 16;
/// Longest sample, an hour.
const SAMPLE_MOST: u64 = 3_600_000_000;
/// Each sample moves the average by one part in so many.
const WEIGHT: u64 = 8;
/// Time in which a remembered peak loses half.
const HALF_LIFE_US: u64 = 5_000_000;

/// A packed average with one more sample; 0 is one without any.
pub fn average_with(packed: u64, sample_us: u64) -> u64 {
    let sample = sample_us.clamp(1, SAMPLE_MOST) * PARTS;
    let (before, count) = (packed >> COUNT_BITS, packed & COUNT_MOST);
    // The first samples count alike.
    let weight = WEIGHT.min(count + 1);
    let average =
        if sample > before { before + (sample - before) / weight } else { before - (before - sample) / weight };
    // From the end the count goes back to the middle, so that it goes on to tell time.
    average << COUNT_BITS | if count < COUNT_MOST { count + 1 } else { COUNT_MOST / 2 }
}

/// The average in microseconds; 0 without samples.
pub fn average_us(packed: u64) -> u64 {
    (packed >> COUNT_BITS) / PARTS
}

/// How many samples it is of; past 127 only that they are so many, and that one more has come.
pub fn samples(packed: u64) -> u64 {
    packed & COUNT_MOST
}

/// What is left of a peak after so long.
pub fn faded(peak_us: u64, elapsed_us: u64) -> u64 {
    let halves = elapsed_us / HALF_LIFE_US;
    let left = peak_us.checked_shr(u32::try_from(halves).unwrap_or(u32::MAX)).unwrap_or(0);
    // Between two halvings along a straight line.
    left - left.min(SAMPLE_MOST) / 2 * (elapsed_us % HALF_LIFE_US) / HALF_LIFE_US
}

/// The peak after one more sample: the sample if it is higher, else a step towards it.
pub fn peak_with(faded_us: u64, sample_us: u64) -> u64 {
    let sample = sample_us.clamp(1, SAMPLE_MOST);
    if sample >= faded_us {
        sample
    } else {
        faded_us - (faded_us - sample) / WEIGHT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn average(samples: impl IntoIterator<Item = u64>) -> u64 {
        samples.into_iter().fold(0, average_with)
    }

    #[test]
    fn the_first_samples_count_alike_and_later_ones_an_eighth() {
        assert_eq!(average_us(average([100])), 100);
        assert_eq!(average_us(average([100, 300])), 200);
        let settled = average([100; 50]);
        assert_eq!((average_us(settled), samples(settled)), (100, 50));
        assert_eq!(average_us(average_with(settled, 900)), 200);
        assert_eq!(average_us(0), 0);
    }

    #[test]
    fn no_sample_overflows_and_the_count_goes_round() {
        let packed = average([u64::MAX; 255]);
        assert_eq!((average_us(packed), samples(packed)), (SAMPLE_MOST, 255));
        assert_eq!(samples(average_with(packed, 1)), 127);
        assert_eq!(average_us(average([0])), 1);
    }

    #[test]
    fn a_peak_rises_at_once_and_fades_with_samples_and_with_time() {
        assert_eq!(peak_with(100, 5000), 5000);
        assert_eq!(peak_with(5000, 1000), 4500);
        assert_eq!(faded(4000, 0), 4000);
        assert_eq!(faded(4000, 2_500_000), 3000);
        assert_eq!(faded(4000, 5_000_000), 2000);
        assert_eq!(faded(4000, 10_000_000), 1000);
        assert_eq!(faded(u64::MAX, u64::MAX), 0);
    }
}
