//! Which endpoint of a pool takes a request. The counters are handed in, and so are time and chance.

use crate::hash;

/// What the choice needs to know of one endpoint that may be picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is among the members of its pool.
    pub place: usize,
    /// Its share, at least 1.
    pub weight: u32,
    /// Requests in flight to it.
    pub in_flight: u64,
    /// Its recent peak of the time to the first byte of an answer, 0: not known; only `two_random` asks.
    pub latency_us: u64,
    /// What stands for its name; only `by_hash` asks.
    pub mark: u64,
}

/// The candidate with the fewest requests in flight for its weight, counting the one to come; `chance` settles ties.
///
/// Returns None without candidates.
pub fn least_requests(candidates: &[Candidate], chance: u32) -> Option<usize> {
    // a/b < c/d without division; the counts are far below what overflows.
    let load = |one: &Candidate| u128::from(one.in_flight + 1);
    let less = |a: &Candidate, b: &Candidate| load(a) * u128::from(b.weight) < load(b) * u128::from(a.weight);
    let best = candidates.iter().copied().reduce(|best, one| if less(&one, &best) { one } else { best })?;
    let tied = || candidates.iter().enumerate().filter(|(_, one)| !less(&best, one));
    let nth = usize::try_from(chance).unwrap_or(0) % tied().count().max(1);
    tied().nth(nth).map(|(index, _)| index)
}

/// The better of two that are drawn by `chance`: its latency times the requests in flight for its weight, counting the one
/// to come. Of an endpoint whose latency is not known that of the other is assumed.
///
/// Returns None without candidates.
pub fn two_random(candidates: &[Candidate], chance: u32) -> Option<usize> {
    let (count, chance) = (candidates.len(), usize::try_from(chance).unwrap_or(0));
    let first = chance.checked_rem(count)?;
    let Some(step) = (chance / count).checked_rem(count - 1) else { return Some(first) };
    let second = (first + 1 + step) % count;
    let (one, other) = (candidates.get(first)?, candidates.get(second)?);
    let latency = |own: u64, others: u64| u128::from(if own == 0 { others } else { own }.max(1));
    let load = |one: &Candidate| u128::from(one.in_flight + 1);
    let cost = load(one) * latency(one.latency_us, other.latency_us) * u128::from(other.weight);
    let others = load(other) * latency(other.latency_us, one.latency_us) * u128::from(one.weight);
    Some(if cost <= others { first } else { second })
}

/// The first for this key, by weighted rendezvous hashing: each candidate has a score of its own for each key, so when one
/// comes or goes, only the keys move that it wins or has won.
///
/// Returns None without candidates.
pub fn by_hash(candidates: &[Candidate], key: u64) -> Option<usize> {
    let score = |one: &Candidate| -f64::from(one.weight.max(1)) / hash::fraction(hash::both(key, one.mark)).ln();
    let scored = candidates.iter().enumerate().map(|(index, one)| (index, score(one)));
    scored.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
}

/// Parts in which a share that grows is counted.
pub const SHARE_PARTS: u32 = 100;

/// How many of [`SHARE_PARTS`] of its share an endpoint gets that has been ready for this long: a tenth at first, all of it
/// after the slow start.
pub fn share(ready_us: u64, slow_start_ms: u64) -> u32 {
    let whole = u128::from(slow_start_ms) * 1000;
    match (u128::from(ready_us) * u128::from(SHARE_PARTS)).checked_div(whole) {
        None => SHARE_PARTS,
        Some(parts) => u32::try_from(parts).unwrap_or(SHARE_PARTS).clamp(SHARE_PARTS / 10, SHARE_PARTS),
    }
}

/// Most turns of one round; weights whose sum is larger are scaled down.
const ROUND_MOST: u64 = 10_000;

/// The turns of one round: each index comes as often as its weight, spread out (nginx's smooth weighted round-robin).
pub fn turns(weights: &[u32]) -> Vec<usize> {
    let divisor = weights.iter().map(|&weight| u64::from(weight)).reduce(divisor_of_both).unwrap_or(1).max(1);
    let sum: u64 = weights.iter().map(|&weight| u64::from(weight) / divisor).sum();
    let scale = sum.div_ceil(ROUND_MOST).max(1) * divisor;
    let scaled: Vec<i64> =
        weights.iter().map(|&weight| i64::try_from((u64::from(weight) / scale).max(1)).unwrap_or(1)).collect();
    let round: i64 = scaled.iter().sum();
    let mut credits = vec![0; scaled.len()];
    let mut turns = Vec::new();
    for _ in 0..round {
        for (credit, weight) in credits.iter_mut().zip(&scaled) {
            *credit += weight;
        }
        // The first of the richest.
        if let Some((index, richest)) = credits.iter_mut().enumerate().rev().max_by_key(|(_, credit)| **credit) {
            *richest -= round;
            turns.push(index);
        }
    }
    turns
}

fn divisor_of_both(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        divisor_of_both(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(facts: &[(u32, u64)]) -> Vec<Candidate> {
        facts.iter().map(|&(weight, in_flight)| Candidate { weight, in_flight, ..Candidate::default() }).collect()
    }

    #[test]
    fn the_least_loaded_for_its_weight_is_picked() {
        assert_eq!(least_requests(&of(&[(1, 3), (1, 1), (1, 2)]), 7), Some(1));
        assert_eq!(least_requests(&of(&[(1, 1), (4, 3)]), 7), Some(1));
        assert_eq!(least_requests(&[], 7), None);
    }

    #[test]
    fn ties_fall_on_everyone_alike() {
        let candidates = of(&[(1, 0), (1, 0), (1, 5), (1, 0)]);
        let picks: Vec<_> = (0..6).filter_map(|chance| least_requests(&candidates, chance)).collect();
        assert_eq!(picks, [0, 1, 3, 0, 1, 3]);
    }

    fn timed(facts: &[(u64, u64)]) -> Vec<Candidate> {
        let one = |&(latency_us, in_flight)| Candidate { weight: 1, in_flight, latency_us, ..Candidate::default() };
        facts.iter().map(one).collect()
    }

    #[test]
    fn of_two_the_one_that_will_be_done_first_is_picked() {
        for chance in 0..100 {
            assert_eq!(two_random(&timed(&[(1000, 3), (3000, 0)]), chance), Some(1), "{chance}");
            assert_eq!(two_random(&timed(&[(1000, 1), (3000, 0)]), chance), Some(0), "{chance}");
            assert_eq!(two_random(&timed(&[(0, 1), (3000, 0)]), chance), Some(1), "{chance}");
            assert_eq!(two_random(&timed(&[(7, 9)]), chance), Some(0));
        }
        assert_eq!(two_random(&[], 7), None);
        let heavy = [
            Candidate { weight: 1, ..Candidate::default() },
            Candidate { weight: 4, in_flight: 2, ..Candidate::default() },
        ];
        assert_eq!(two_random(&heavy, 0), Some(1));
    }

    #[test]
    fn the_worst_of_many_is_never_the_better_of_two_and_every_other_is_sometimes() {
        let candidates = timed(&[(1, 0), (2, 0), (1000, 0), (3, 0)]);
        let picks: Vec<_> = (0..1000).filter_map(|chance| two_random(&candidates, chance)).collect();
        assert!(!picks.contains(&2));
        assert!([0, 1, 3].iter().all(|index| picks.contains(index)));
    }

    fn named(weights: &[(&str, u32)]) -> Vec<Candidate> {
        weights
            .iter()
            .map(|&(name, weight)| Candidate { weight, mark: hash::mark(name), ..Candidate::default() })
            .collect()
    }

    fn owner(candidates: &[Candidate], key: u64) -> u64 {
        candidates[by_hash(candidates, hash::of(&key.to_le_bytes())).unwrap()].mark
    }

    #[test]
    fn keys_move_only_from_or_to_the_endpoint_that_goes_or_comes() {
        let all = named(&[("api.1", 1), ("api.2", 1), ("api.3", 1), ("api.4", 1)]);
        let (fewer, gone) = (&all[..3], all[3].mark);
        let mut moved = 0;
        for key in 0..4000 {
            let before = owner(&all, key);
            if before == gone {
                moved += 1;
            } else {
                assert_eq!(owner(fewer, key), before, "{key}");
            }
        }
        assert!((850..1150).contains(&moved), "{moved}");
        assert_eq!(by_hash(&[], 1), None);
    }

    #[test]
    fn keys_follow_the_weights_whatever_the_order_of_the_candidates() {
        let mut candidates = named(&[("a", 1), ("b", 3)]);
        let keys = (0..4000).filter(|&key| owner(&candidates, key) == hash::mark("b")).collect::<Vec<_>>();
        assert!((2850..3150).contains(&keys.len()), "{}", keys.len());
        candidates.reverse();
        assert!(keys.iter().all(|&key| owner(&candidates, key) == hash::mark("b")));
    }

    #[test]
    fn a_share_grows_from_a_tenth_to_the_whole() {
        for (ready_us, slow_start_ms, wanted) in [
            (0, 0, 100),
            (0, 10_000, 10),
            (500_000, 10_000, 10),
            (5_000_000, 10_000, 50),
            (10_000_000, 10_000, 100),
            (u64::MAX, 1, 100),
        ] {
            assert_eq!(share(ready_us, slow_start_ms), wanted, "{ready_us}");
        }
    }

    #[test]
    fn turns_follow_the_weights_and_are_spread_out() {
        assert_eq!(turns(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[10, 10, 10]), [0, 1, 2]);
        assert_eq!(turns(&[]), [0; 0]);
    }

    #[test]
    fn a_round_is_bounded_whatever_the_weights() {
        let weights: Vec<u32> = (0..200).map(|index| 801 + index).collect();
        let turns = turns(&weights);
        assert!(turns.len() <= 10_200, "{}", turns.len());
        assert!((0..200).all(|index| turns.contains(&index)));
    }
}
