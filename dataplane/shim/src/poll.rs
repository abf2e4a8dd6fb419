//! epoll: who waits for which descriptor. Knows no descriptor's meaning, only the [`Source`] it was given for it.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::Timespec;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Events taken in one go.
const EVENTS: usize = 64;

/// What a descriptor is to the shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The control socket: somebody connects.
    Control,
    /// The link to the proxy of this key.
    Link(String),
    /// The writer of logs has news.
    Logs,
    /// A connection on the control socket.
    Peer(u64),
    /// The process of this key has ended.
    Process(String),
    /// The child of this key has become its program, or tells why not.
    Report(String),
    /// A signal to the shim itself.
    Signals,
    /// A pipe with output.
    Stream(u64),
}

/// What is waited for. Errors and hang-ups are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Errors only.
    None,
    /// Bytes to read, or a connection to accept.
    Read,
    /// Bytes to read, or room to write.
    ReadWrite,
    /// Room to write.
    Write,
}

/// Names one registration; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watch(u64);

/// The set of descriptors waited for.
pub struct Poll {
    epoll: OwnedFd,
    sources: BTreeMap<Watch, Source>,
    next: u64,
}

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    /// epoll_create(2) fails.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, sources: BTreeMap::new(), next: 0 })
    }

    /// Wait for a descriptor from now on, until [`Poll::forget`].
    ///
    /// # Errors
    /// epoll_ctl(2) fails.
    pub fn watch(&mut self, fd: impl AsFd, source: Source, interest: Interest) -> io::Result<Watch> {
        let watch = Watch(self.next);
        epoll::add(&self.epoll, fd, EventData::new_u64(watch.0), flags(interest))?;
        self.next += 1;
        self.sources.insert(watch, source);
        Ok(watch)
    }

    /// Wait for something else on the same descriptor.
    pub fn change(&mut self, fd: impl AsFd, watch: Watch, interest: Interest) {
        let _ = epoll::modify(&self.epoll, fd, EventData::new_u64(watch.0), flags(interest));
    }

    /// Wait no more. To be called before the descriptor is closed: a child that has not executed its program yet holds
    /// a copy, which would keep the registration alive.
    pub fn forget(&mut self, fd: impl AsFd, watch: Watch) {
        let _ = epoll::delete(&self.epoll, fd);
        self.sources.remove(&watch);
    }

    /// Sleep until something happens, or for `timeout`. A source told here may have been forgotten on behalf of one
    /// told before it: whoever gets it must look it up.
    ///
    /// # Errors
    /// epoll_wait(2) fails otherwise than by a signal.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        // A part of a millisecond is rounded up, or the loop would spin through it on kernels that count in them.
        let timeout = timeout.map(|timeout| timeout.saturating_add(Duration::from_micros(999)));
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_millis()) * 1_000_000,
        });
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let watches = events.iter().map(|event| Watch(event.data.u64()));
        Ok(watches.filter_map(|watch| self.sources.get(&watch).cloned()).collect())
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::None => EventFlags::empty(),
        Interest::Read => EventFlags::IN,
        Interest::ReadWrite => EventFlags::IN | EventFlags::OUT,
        Interest::Write => EventFlags::OUT,
    }
}
