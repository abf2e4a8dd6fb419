//! The only file of the proxy that asks for the time: monotonic for deadlines, wall clock for the access log.
#![allow(clippy::disallowed_methods)] // Everyone else is handed the time by these two functions.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static START: OnceLock<Instant> = OnceLock::new();

/// Microseconds since the process first asked for the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Later than every deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// So many milliseconds later.
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Microseconds from `earlier` to this; 0 if that is later.
    pub fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Microseconds since the process first asked for the time.
    pub fn micros(self) -> u64 {
        self.0
    }

    /// The moment so many microseconds after the process first asked for the time.
    pub fn at_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Seconds since the process first asked for the time, from 1 on.
    pub fn second(self) -> u64 {
        self.0 / 1_000_000 + 1
    }

    /// This moment for a timer of tokio; None for [`Moment::NEVER`].
    pub fn instant(self) -> Option<tokio::time::Instant> {
        let start = *START.get_or_init(Instant::now);
        start.checked_add(Duration::from_micros(self.0)).filter(|_| self != Self::NEVER).map(Into::into)
    }
}

/// Now, for deadlines; never goes back.
pub fn now() -> Moment {
    let start = *START.get_or_init(Instant::now);
    let elapsed = start.elapsed();
    Moment(elapsed.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(elapsed.subsec_micros())))
}

/// Now as milliseconds since 1970 UTC, for people; 0 if the clock is set before that.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
