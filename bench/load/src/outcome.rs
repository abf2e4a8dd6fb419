//! What came of an order.

use std::fmt;
use std::time::Duration;

/// Counts and latencies of one order.
#[derive(Default)]
pub struct Outcome {
    /// Requests that were answered with 200.
    pub requests: u64,
    /// Requests that were answered otherwise or not at all.
    pub failed: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    latencies: Vec<u32>,
}

impl Outcome {
    /// A request was answered, so long after it was due.
    pub fn add(&mut self, took: Duration) {
        self.requests += 1;
        self.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Ready to be told.
    pub fn sorted(mut self) -> Self {
        self.latencies.sort_unstable();
        self
    }

    fn quantile(&self, thousandths: usize) -> u32 {
        let place = self.latencies.len() * thousandths / 1000;
        self.latencies.get(place).or(self.latencies.last()).copied().unwrap_or(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, most) = (self.quantile(500), self.quantile(990), self.quantile(1000));
        write!(out, "done requests={} failed={}", self.requests, self.failed)?;
        write!(out, " elapsed_us={} p50_us={p50} p99_us={p99} max_us={most}", self.elapsed.as_micros())
    }
}
