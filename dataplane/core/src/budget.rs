//! How many retries a pool may make: a share of its requests in the last ten seconds, and ten of them in any case. When
//! everything fails, retries would double the load on what is left.

/// Seconds that are looked back on.
const WINDOW: u64 = 10;
/// Retries in the window that need no requests to justify them.
const FREE: u64 = 10;

/// One second of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Which; seconds begin at 1, so that 0 is none.
    at: u64,
    /// Requests of the pool before it.
    before: u64,
    /// Retries in it.
    retries: u64,
}

/// The window.
#[derive(Debug, Default)]
pub struct Budget {
    seconds: [Second; WINDOW as usize],
}

impl Budget {
    /// A second has begun, before which the pool has had `total` requests since it came to be.
    pub fn begin(&mut self, second: u64, total: u64) {
        let place = usize::try_from(second % WINDOW).unwrap_or(0);
        if let Some(slot) = self.seconds.get_mut(place).filter(|slot| slot.at < second) {
            *slot = Second { at: second, before: total, retries: 0 };
        }
    }

    /// Whether one more retry may be made, which is counted then; `total` requests have come by now, and each hundred in the
    /// window pays for `percent` retries.
    pub fn allow(&mut self, second: u64, total: u64, percent: u32) -> bool {
        self.begin(second, total);
        let inside = |slot: &&Second| slot.at > 0 && slot.at <= second && slot.at + WINDOW > second;
        let retries: u64 = self.seconds.iter().filter(inside).map(|slot| slot.retries).sum();
        let oldest = self.seconds.iter().filter(inside).min_by_key(|slot| slot.at);
        let requests = oldest.map_or(0, |slot| total.saturating_sub(slot.before));
        let allowed = retries < FREE.max(requests.saturating_mul(u64::from(percent)) / 100);
        if allowed {
            let newest = self.seconds.iter_mut().filter(|slot| slot.at <= second).max_by_key(|slot| slot.at);
            if let Some(slot) = newest {
                slot.retries += 1;
            }
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(budget: &mut Budget, second: u64, total: u64, percent: u32) -> usize {
        (0..100_000).take_while(|_| budget.allow(second, total, percent)).count()
    }

    #[test]
    fn ten_in_ten_seconds_need_no_requests() {
        let mut budget = Budget::default();
        assert_eq!(allowed(&mut budget, 7, 0, 20), 10);
        assert_eq!(allowed(&mut budget, 16, 0, 20), 0);
        assert_eq!(allowed(&mut budget, 17, 0, 0), 10);
    }

    #[test]
    fn beyond_that_requests_of_the_last_ten_seconds_pay() {
        let mut budget = Budget::default();
        for second in 1..=60 {
            budget.begin(second, second * 1000);
        }
        // 51 to 60: nine whole seconds and 500 requests of the tenth.
        assert_eq!(allowed(&mut budget, 60, 60_500, 20), 1900);
        assert_eq!(allowed(&mut budget, 60, 60_600, 20), 20);
        assert_eq!(allowed(&mut budget, 60, 60_600, 0), 0);
    }

    #[test]
    fn what_was_long_ago_pays_for_nothing() {
        let mut budget = Budget::default();
        budget.begin(1, 0);
        assert_eq!(allowed(&mut budget, 100, 1_000_000, 100), 10);
    }

    #[test]
    fn seconds_that_come_late_and_totals_that_shrink_do_no_harm() {
        let mut budget = Budget::default();
        budget.begin(20, 500);
        budget.begin(10, 900);
        assert_eq!(allowed(&mut budget, 20, 100, 50), 10);
        assert_eq!(allowed(&mut budget, 19, 600, 50), 10);
    }
}
