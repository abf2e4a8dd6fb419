//! What traffic has shown of an endpoint, shared by all cores, and what follows from it: see the table in `core::ejection`.
//! A request that is answered costs one look at each number; locks are for the rare moments when something changes.

use crate::clock::{self, Moment};
use crate::endpoint::{count, Endpoint};
use crate::lasting::Lasting;
use crate::pool::Pool;
use pinfold_core::ejection::{is_failure, is_slow, spares_one, step, Event, State, SAMPLES_LEAST};
use pinfold_core::latency;
use pinfold_wire::{Balance, Mode};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

/// A latency is compared with those of the pool once in so many samples.
const COMPARE_EACH: u64 = 16;

/// What all cores have seen of one endpoint.
#[derive(Debug, Default)]
pub struct Traffic {
    /// How often it was set aside.
    pub ejections: AtomicU64,
    state: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
    average: AtomicU64,
    peak_us: AtomicU64,
    peaked: AtomicU64,
}

impl Traffic {
    /// Whether it is set aside: ejected, or on trial.
    pub fn aside(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }

    /// Average time to the first byte of an answer; 0: not known.
    pub fn latency_us(&self) -> u64 {
        latency::average_us(self.average.load(Ordering::Relaxed))
    }

    /// What is left of the highest of late.
    pub fn peak_us(&self, now: Moment) -> u64 {
        let peaked = Moment::at_micros(self.peaked.load(Ordering::Relaxed));
        latency::faded(self.peak_us.load(Ordering::Relaxed), now.micros_since(peaked))
    }

    /// The first byte of an answer has come after so long. Cores that do this at once may lose a sample.
    pub fn sample(&self, sample_us: u64, balance: &Balance, now: Moment) {
        self.average.store(latency::average_with(self.average.load(Ordering::Relaxed), sample_us), Ordering::Relaxed);
        if *balance == Balance::TwoRandom {
            self.peak_us.store(latency::peak_with(self.peak_us(now), sample_us), Ordering::Relaxed);
            self.peaked.store(now.micros(), Ordering::Relaxed);
        }
    }

    /// Forget everything but how often it was set aside.
    pub fn forget(&self) {
        self.state.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.forget_latency();
    }

    fn forget_latency(&self) {
        self.average.store(0, Ordering::Relaxed);
        self.peak_us.store(0, Ordering::Relaxed);
    }

    /// Make it the trial, if its time has come: what stands for the trial.
    pub fn begin_trial(&self, now: u64) -> Option<u64> {
        let packed = self.state.load(Ordering::Relaxed);
        let trial = step(State::unpack(packed), Event::Due, now, 0).pack();
        let begun = trial != packed;
        // Only one of all cores can begin it.
        let won = self.state.compare_exchange(packed, trial, Ordering::Relaxed, Ordering::Relaxed);
        (begun && won.is_ok()).then_some(trial)
    }

    /// When it was to be tried, if it is ejected.
    pub fn ejected_until(&self) -> Option<u64> {
        match State::unpack(self.state.load(Ordering::Relaxed)) {
            State::Ejected { until, .. } => Some(until),
            State::Healthy | State::Trial { .. } => None,
        }
    }
}

/// The trial of an ejected endpoint, which no other request is sent to meanwhile.
pub struct Trial {
    endpoint: Arc<Endpoint>,
    state: u64,
}

impl Trial {
    /// What [`Traffic::begin_trial`] has begun.
    pub fn new(endpoint: &Arc<Endpoint>, state: u64) -> Self {
        Self { endpoint: Arc::clone(endpoint), state }
    }

    /// It was answered after so long, or failed.
    pub fn conclude(self, status: u16, latency_us: u64) {
        let event = if status == 0 || is_failure(status) { Event::Failed } else { Event::Passed };
        self.endpoint.lasting.end_trial(&self.endpoint, self.state, (event, latency_us));
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Without effect if it has been concluded.
        self.endpoint.lasting.end_trial(&self.endpoint, self.state, (Event::Abandoned, 0));
    }
}

impl Lasting {
    fn end_trial(&self, endpoint: &Endpoint, trial: u64, (event, latency_us): (Event, u64)) {
        if endpoint.traffic.state.load(Ordering::Relaxed) != trial {
            return;
        }
        self.with_pool(|pool| {
            let ejection = &pool.settings.ejection;
            let slow = || is_slow(latency_us, &mut pool.latencies(endpoint.id), ejection.latency_factor);
            let event = if event == Event::Passed && slow() { Event::Failed } else { event };
            let next =
                step(State::unpack(trial), event, clock::now().micros(), ejection.base_ms.saturating_mul(1000)).pack();
            let won = endpoint.traffic.state.compare_exchange(trial, next, Ordering::Relaxed, Ordering::Relaxed);
            if won.is_ok() && next == 0 {
                endpoint.traffic.forget();
            }
        });
        self.relieve();
    }
}

impl Pool {
    /// An endpoint has answered.
    pub fn answered(&self, endpoint: &Endpoint, status: u16) {
        let traffic = &endpoint.traffic;
        if is_failure(status) {
            return self.failed(endpoint);
        }
        if traffic.failures.load(Ordering::Relaxed) != 0 {
            traffic.failures.store(0, Ordering::Relaxed);
        }
        let factor = self.settings.ejection.latency_factor;
        if factor == 0 {
            return;
        }
        let average = traffic.average.load(Ordering::Relaxed);
        let samples = latency::samples(average);
        let compared = samples >= SAMPLES_LEAST && samples % COMPARE_EACH == 0 && !traffic.aside();
        if compared && is_slow(latency::average_us(average), &mut self.latencies(endpoint.id), factor) {
            self.lasting.eject(endpoint);
        }
    }

    /// An endpoint has failed.
    pub fn failed(&self, endpoint: &Endpoint) {
        let most = self.settings.ejection.failures;
        if most == 0 {
            return;
        }
        let failures = endpoint.traffic.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= most && !endpoint.traffic.aside() {
            self.lasting.eject(endpoint);
        }
    }

    /// The latencies of its endpoints that are known well enough, that of `own` in any case.
    fn latencies(&self, own: u64) -> Vec<u64> {
        let known = self.members.iter().filter(|member| member.mode == Mode::Ready).filter_map(|member| {
            let average = member.endpoint.traffic.average.load(Ordering::Relaxed);
            let told = latency::samples(average) >= SAMPLES_LEAST || member.endpoint.id == own;
            told.then(|| latency::average_us(average))
        });
        known.collect()
    }

    /// How many of its endpoints are ready, and how many of those are set aside.
    fn standing(&self) -> (usize, usize) {
        let ready = self.members.iter().filter(|member| member.mode == Mode::Ready);
        ready.fold((0, 0), |(ready, aside), member| (ready + 1, aside + usize::from(member.endpoint.traffic.aside())))
    }

    /// Take back what is set aside beyond half of the pool, or what nothing sets aside any more.
    fn readmit(&self) {
        let off = self.settings.ejection.failures == 0 && self.settings.ejection.latency_factor == 0;
        loop {
            let (ready, aside) = self.standing();
            if aside == 0 || (!off && spares_one(ready, aside - 1)) {
                return;
            }
            let set_aside = self.members.iter().filter(|one| one.mode == Mode::Ready && one.endpoint.traffic.aside());
            // The one that is to be tried first.
            let first = set_aside.min_by_key(|one| one.endpoint.traffic.ejected_until().unwrap_or(u64::MAX));
            let Some(member) = first else { return };
            member.endpoint.traffic.forget();
        }
    }
}

impl Lasting {
    /// Set an endpoint aside, if the pool can do without it.
    fn eject(&self, endpoint: &Endpoint) {
        self.with_pool(|pool| {
            let (ready, aside) = pool.standing();
            let member = pool.members.iter().any(|one| one.endpoint.id == endpoint.id && one.mode == Mode::Ready);
            if member && !endpoint.traffic.aside() && spares_one(ready, aside) {
                let base = pool.settings.ejection.base_ms.saturating_mul(1000);
                let state = step(State::Healthy, Event::Condemned, clock::now().micros(), base);
                endpoint.traffic.state.store(state.pack(), Ordering::Relaxed);
                endpoint.traffic.failures.store(0, Ordering::Relaxed);
                endpoint.traffic.forget_latency();
                count(&endpoint.traffic.ejections);
            }
        });
    }

    /// Say how many are set aside; the caller holds the lock.
    pub fn recount(&self, pool: &Pool) {
        pool.readmit();
        self.aside.store(pool.standing().1, Ordering::Relaxed);
    }
}
