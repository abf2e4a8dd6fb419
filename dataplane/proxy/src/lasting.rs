//! What a pool keeps from table to table, shared by all cores: counters, the budget of retries, and the queue.

use crate::endpoint::count;
use crate::pool::Pool;
use crate::queue::Queue;
use pinfold_core::budget::Budget;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the head of the file.
#[derive(Default)]
pub struct Lasting {
    /// Requests for which no endpoint could be picked.
    pub unavailable: AtomicU64,
    /// Requests that found the queue full, or waited too long in it.
    pub overflowed: AtomicU64,
    /// Attempts behind the first.
    pub retries: AtomicU64,
    /// Those that the budget did not allow.
    pub retries_denied: AtomicU64,
    /// Turns that were taken.
    pub turn: AtomicU64,
    /// Members that traffic has set aside: while there are none, nobody looks at each.
    pub aside: AtomicUsize,
    /// Requests in the queue: while there are none, nobody takes the lock to look.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    /// The last second that the budget knows.
    second: AtomicU64,
    budget: Mutex<Budget>,
    /// Requests of endpoints that have left the pool.
    departed: AtomicU64,
}

impl std::fmt::Debug for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lasting").finish_non_exhaustive()
    }
}

impl Lasting {
    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        // Ordered against the end of a request; see `Queue::serve`.
        self.waiting.load(Ordering::SeqCst)
    }

    /// Say how many wait; the caller holds the lock.
    pub fn set_waiting(&self, waiting: usize) {
        self.waiting.store(waiting, Ordering::SeqCst);
    }

    /// The queue, which nobody else sees meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has come free: give it to those who wait, if anybody does.
    pub fn relieve(&self) {
        if self.waiting() == 0 {
            return;
        }
        let mut queue = self.lock();
        let returned = queue.serve(self);
        drop(queue);
        drop(returned); // Which relieves once more, so not under the lock.
    }

    /// Change something about the pool in force, alone; then everybody sees who is set aside.
    pub fn with_pool(&self, change: impl FnOnce(&Pool)) {
        let queue = self.lock();
        if let Some(pool) = queue.pool() {
            change(pool);
            self.recount(pool);
        }
    }

    /// Put a pool in force in place of the one before it, or none.
    pub fn install(&self, pool: Option<&Arc<Pool>>, before: Option<&Pool>) {
        let stays = |id: u64| pool.is_some_and(|pool| pool.members.iter().any(|one| one.endpoint.id == id));
        let gone = before.into_iter().flat_map(|pool| &pool.members).filter(|one| !stays(one.endpoint.id));
        let requests: u64 = gone.map(|one| one.endpoint.counters.requests.load(Ordering::Relaxed)).sum();
        self.departed.fetch_add(requests, Ordering::Relaxed);
        let mut queue = self.lock();
        let returned = match pool {
            Some(pool) => {
                let before = queue.put(Some(Arc::clone(pool)));
                self.recount(pool);
                (before, queue.serve(self))
            }
            None => {
                let before = queue.put(None);
                queue.dismiss();
                self.set_waiting(0);
                (before, Vec::new())
            }
        };
        drop(queue);
        drop(returned);
    }

    /// A request is there in this second: the budget is told of each once.
    pub fn note(&self, second: u64, pool: &Pool) {
        if self.second.load(Ordering::Relaxed) != second && self.second.swap(second, Ordering::Relaxed) != second {
            self.budget.lock().unwrap_or_else(PoisonError::into_inner).begin(second, self.requests(pool));
        }
    }

    /// Whether a request that may have arrived may be sent again; counts what is denied.
    pub fn allow_retry(&self, second: u64, pool: &Pool) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = budget.allow(second, self.requests(pool), pool.settings.retry.budget_percent);
        if !allowed {
            count(&self.retries_denied);
        }
        allowed
    }

    fn requests(&self, pool: &Pool) -> u64 {
        let here: u64 = pool.members.iter().map(|one| one.endpoint.counters.requests.load(Ordering::Relaxed)).sum();
        self.departed.load(Ordering::Relaxed).saturating_add(here)
    }
}
