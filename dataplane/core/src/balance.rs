//! Which endpoint of a pool takes a request. The counters are handed in, and so is chance.

/// What the choice needs to know of one endpoint that may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its share, at least 1.
    pub weight: u32,
    /// Requests in flight to it.
    pub in_flight: u64,
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
        facts.iter().map(|&(weight, in_flight)| Candidate { weight, in_flight }).collect()
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
