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

/// The candidate whose turn number `turn` is: each has as many turns of every round as its weight, spread out.
///
/// Returns None without candidates.
pub fn round_robin(candidates: &[Candidate], turn: u64) -> Option<usize> {
    let round: u64 = candidates.iter().map(|one| u64::from(one.weight)).sum();
    let (mut credits, mut picked) = (vec![0i64; candidates.len()], None);
    for _ in 0..=turn.checked_rem(round)? {
        for (credit, one) in credits.iter_mut().zip(candidates) {
            *credit += i64::from(one.weight);
        }
        // The first of the richest, as nginx's smooth round-robin has it.
        let (index, richest) = credits.iter_mut().enumerate().rev().max_by_key(|(_, credit)| **credit)?;
        *richest -= i64::try_from(round).unwrap_or(i64::MAX);
        picked = Some(index);
    }
    picked
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
        let candidates = of(&[(5, 0), (1, 0), (1, 0)]);
        let picks: Vec<_> = (0..7).filter_map(|turn| round_robin(&candidates, turn)).collect();
        assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(round_robin(&[], 3), None);
    }
}
