//! The only file of the shim that asks for the time: monotonic for deadlines, wall clock for the stamps of log lines.
#![allow(clippy::disallowed_methods)] // Everyone else is handed the time by these two functions.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, for deadlines; never goes back.
pub fn now() -> Instant {
    Instant::now()
}

/// Now as milliseconds since 1970 UTC, for people; 0 if the clock is set before that.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
