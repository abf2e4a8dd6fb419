//! When traffic sets an endpoint aside and when it comes back: one table. Times are microseconds of one clock.
//!
//! | state | condemned | due | passed | failed | abandoned | readmitted |
//! |---|---|---|---|---|---|---|
//! | healthy | ejected for the base | | | | | |
//! | ejected | | trial, if its time has come | | | | healthy |
//! | trial | | | healthy | ejected twice as long | ejected, due at once | healthy |
//!
//! An empty cell changes nothing: such an event comes from a request that was on its way before.

/// Doublings of the time until a trial.
const LEVEL_MOST: u8 = 5;
/// Samples of a latency below which it proves nothing.
pub const SAMPLES_LEAST: u64 = 32;
/// Latency that is never too long.
const SLOW_LEAST_US: u64 = 1_000;

/// What traffic has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing against it.
    Healthy,
    /// Set aside.
    Ejected {
        /// How often its trial has failed.
        level: u8,
        /// When it may be tried.
        until: u64,
    },
    /// One request is on its way to find out.
    Trial {
        /// As above.
        level: u8,
        /// As above.
        until: u64,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The trial ended without telling anything: its client went away.
    Abandoned,
    /// Failures or latency speak against it, and the pool can do without.
    Condemned,
    /// A request could be its trial.
    Due,
    /// The trial failed.
    Failed,
    /// The trial was answered.
    Passed,
    /// It is ready anew, or the pool cannot do without it any more.
    Readmitted,
}

/// The state after an event at `now`; `base` is the time until the first trial.
pub fn step(state: State, event: Event, now: u64, base: u64) -> State {
    let after = |level: u8| now.saturating_add(base.saturating_mul(1 << level.min(LEVEL_MOST)));
    match (state, event) {
        (State::Healthy, Event::Condemned) => State::Ejected { level: 0, until: after(0) },
        (State::Healthy, _) => State::Healthy,
        (State::Ejected { level, until }, Event::Due) if now >= until => State::Trial { level, until },
        (State::Ejected { .. }, Event::Readmitted) => State::Healthy,
        (State::Ejected { .. }, _) => state,
        (State::Trial { .. }, Event::Passed | Event::Readmitted) => State::Healthy,
        (State::Trial { level, .. }, Event::Failed) => {
            let level = (level + 1).min(LEVEL_MOST);
            State::Ejected { level, until: after(level) }
        }
        (State::Trial { level, .. }, Event::Abandoned) => State::Ejected { level, until: now },
        (State::Trial { .. }, Event::Condemned | Event::Due) => state,
    }
}

impl State {
    /// The state in one number, 0 for healthy, so that cores can share it.
    pub fn pack(self) -> u64 {
        let (kind, level, until) = match self {
            Self::Healthy => return 0,
            Self::Ejected { level, until } => (1, level, until),
            Self::Trial { level, until } => (2, level, until),
        };
        until.min(u64::MAX >> 5) << 5 | u64::from(level & 7) << 2 | kind
    }

    /// The state that was packed.
    pub fn unpack(packed: u64) -> Self {
        let (level, until) = (u8::try_from(packed >> 2 & 7).unwrap_or(0), packed >> 5);
        match packed & 3 {
            1 => Self::Ejected { level, until },
            2 => Self::Trial { level, until },
            _ => Self::Healthy,
        }
    }
}

/// Whether one more of `ready` endpoints may be ejected when `aside` of them are: never more than half.
pub fn spares_one(ready: usize, aside: usize) -> bool {
    (aside + 1) * 2 <= ready
}

/// Whether an answer of this status counts as a failure of its endpoint: it says itself that it cannot serve. Any other
/// 5xx is the program's business.
pub fn is_failure(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Whether a latency is `factor` times that of its pool, which is the median of `all`; the lower one of an even number.
pub fn is_slow(latency_us: u64, all: &mut [u64], factor: u32) -> bool {
    all.sort_unstable();
    let median = all.get(all.len().saturating_sub(1) / 2).copied().filter(|_| all.len() > 1);
    let bound = median.map(|median| median.saturating_mul(u64::from(factor)).max(SLOW_LEAST_US));
    factor > 0 && bound.is_some_and(|bound| latency_us > bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 10;

    #[test]
    fn each_cell_of_the_table() {
        use Event::*;
        use State::*;
        let ejected = |level, until| Ejected { level, until };
        let trial = |level, until| Trial { level, until };
        for (state, event, wanted) in [
            (Healthy, Condemned, ejected(0, 110)),
            (Healthy, Abandoned, Healthy),
            (Healthy, Due, Healthy),
            (Healthy, Failed, Healthy),
            (Healthy, Passed, Healthy),
            (Healthy, Readmitted, Healthy),
            (ejected(1, 100), Due, trial(1, 100)),
            (ejected(1, 101), Due, ejected(1, 101)),
            (ejected(1, 100), Condemned, ejected(1, 100)),
            (ejected(1, 100), Abandoned, ejected(1, 100)),
            (ejected(1, 100), Failed, ejected(1, 100)),
            (ejected(1, 100), Passed, ejected(1, 100)),
            (ejected(1, 900), Readmitted, Healthy),
            (trial(0, 90), Passed, Healthy),
            (trial(0, 90), Readmitted, Healthy),
            (trial(0, 90), Failed, ejected(1, 120)),
            (trial(4, 90), Failed, ejected(5, 420)),
            (trial(5, 90), Failed, ejected(5, 420)),
            (trial(2, 90), Abandoned, ejected(2, 100)),
            (trial(2, 90), Condemned, trial(2, 90)),
            (trial(2, 90), Due, trial(2, 90)),
        ] {
            assert_eq!(step(state, event, 100, BASE), wanted, "{state:?} {event:?}");
            assert_eq!(State::unpack(wanted.pack()), wanted);
        }
        assert_eq!(Healthy.pack(), 0);
    }

    #[test]
    fn never_more_than_half_is_ejected() {
        for (ready, most) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (9, 4)] {
            assert_eq!((0..ready).filter(|&aside| spares_one(ready, aside)).count(), most, "{ready}");
        }
    }

    #[test]
    fn slow_is_what_is_far_off_the_median_and_more_than_noise() {
        assert!(is_slow(50_000, &mut [9_000, 50_000, 10_000], 4));
        assert!(!is_slow(39_000, &mut [9_000, 39_000, 10_000], 4));
        assert!(is_slow(50_000, &mut [50_000, 9_000], 4), "the lower of two");
        assert!(!is_slow(50_000, &mut [50_000], 4), "alone");
        assert!(!is_slow(900, &mut [900, 10, 10], 4), "noise");
        assert!(!is_slow(50_000, &mut [9, 50_000, 10], 0), "off");
    }

    #[test]
    fn only_answers_that_say_so_are_failures() {
        let failures: Vec<u16> = (100..600).filter(|&status| is_failure(status)).collect();
        assert_eq!(failures, [502, 503, 504]);
    }
}
