//! Log files: the loop pushes lines and never waits; a thread of its own opens, writes and rotates.

mod file;
mod queue;
mod rotate;
mod writer;

pub use queue::{MAX_LOG_BYTES, MAX_QUEUE_BYTES};

use pinfold_wire::shim::{Dropped, LogFile};
use queue::Queue;
use rustix::event::{eventfd, EventfdFlags};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Drops of one log are told at most this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What the lines of a log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Each line has a stamp, a process id and the name of its stream.
    Stamped,
    /// JSON lines, as they came.
    Verbatim,
}

/// A wish for open logs, one entry for each holder.
pub struct Opening {
    /// Comes back in the answer.
    pub token: u64,
    /// The logs.
    pub logs: Vec<(LogFile, Style)>,
}

/// The answer to an [`Opening`].
pub struct Opened {
    /// That of the wish.
    pub token: u64,
    /// Path and error number of the first that cannot be opened.
    pub fault: Option<(String, i32)>,
}

/// What the loop and the writer share.
struct Shared {
    state: Mutex<State>,
    /// There is work.
    work: Condvar,
    /// Readable when the loop should look.
    notice: OwnedFd,
}

#[derive(Default)]
struct State {
    queue: Queue,
    opened: Vec<Opened>,
    finishing: bool,
    finished: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's end of it.
pub struct Logs {
    shared: Arc<Shared>,
    /// When drops of a log were last told; only as long as that forbids to tell more.
    told: BTreeMap<String, Instant>,
}

impl Logs {
    /// Start the writer.
    ///
    /// # Errors
    /// No thread or no descriptor can be had.
    pub fn start() -> io::Result<Self> {
        let notice = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), notice });
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("logs".to_owned()).spawn(move || writer::run(&theirs))?;
        Ok(Self { shared, told: BTreeMap::new() })
    }

    /// Readable when [`Logs::opened`], [`Logs::due`] or [`Logs::finished`] may have news.
    pub fn notice(&self) -> BorrowedFd<'_> {
        self.shared.notice.as_fd()
    }

    /// Hold logs open from now on; the answer comes by [`Logs::opened`]. To be ended by one [`Logs::release`] for each,
    /// whatever the answer.
    pub fn open(&self, opening: Opening) {
        self.shared.lock().queue.open(opening);
        self.shared.work.notify_one();
    }

    /// One holder of the log of this path less.
    pub fn release(&self, path: &str) {
        self.shared.lock().queue.release(path);
        self.shared.work.notify_one();
    }

    /// Have `text` written, `lines` whole lines of it; if there is no room they are dropped and counted.
    pub fn push(&self, path: &str, text: &[u8], lines: u64) {
        self.shared.lock().queue.push(path, text, lines);
        self.shared.work.notify_one();
    }

    /// Answers since the last call.
    pub fn opened(&self) -> Vec<Opened> {
        let _ = rustix::io::read(&self.shared.notice, &mut [0; 8]);
        std::mem::take(&mut self.shared.lock().opened)
    }

    /// Drops to be told at `now`.
    pub fn due(&mut self, now: Instant) -> Vec<Dropped> {
        self.told.retain(|_, told| now < *told + REPORT_INTERVAL);
        let mut state = self.shared.lock();
        let paths: Vec<_> = state.queue.untold().filter(|path| !self.told.contains_key(*path)).cloned().collect();
        let mut due = Vec::new();
        for path in paths {
            if let Some(tally) = state.queue.tell(&path) {
                self.told.insert(path.clone(), now);
                due.push(Dropped { path, lines: tally.lines, errno: tally.errno });
            }
        }
        due
    }

    /// When [`Logs::due`] will next have something to tell without further notice.
    pub fn next_due(&self) -> Option<Instant> {
        if self.told.is_empty() {
            return None;
        }
        let state = self.shared.lock();
        let earliest = state.queue.untold().filter_map(|path| self.told.get(path)).min();
        earliest.map(|told| *told + REPORT_INTERVAL)
    }

    /// Write what waits, then end; [`Logs::finished`] tells when.
    pub fn finish(&self) {
        self.shared.lock().finishing = true;
        self.shared.work.notify_one();
    }

    /// Whether the writer has ended.
    pub fn finished(&self) -> bool {
        self.shared.lock().finished
    }
}
