//! Signals to whole trees: look who belongs, signal each by pidfd, and for SIGKILL look again until nobody is left. The
//! loop lends its time; a sweep never waits by itself.

use crate::errors::{errno, errno_text};
use crate::procfs;
use crate::raw;
use crate::table::{Asker, Table};
use crate::tree::{members, Member, Whose, COOKIE};
use pinfold_wire::Problem;
use rustix::process::{pidfd_open, Pid, PidfdFlags};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a tree may take to die.
const DEADLINE: Duration = Duration::from_secs(1);
/// Between two looks, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Looks that must find nobody: a single one may miss a child whose parent ended while it was taken.
const QUIET_LOOKS: u32 = 2;
/// Pids named in a problem.
const NAMED_PIDS: usize = 10;

/// Whose tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything below the shim: it stops.
    All,
    /// The process of this key, at the wish of somebody.
    Key(String, Asker),
}

/// One tree to signal.
struct Sweep {
    target: Target,
    signal: i32,
    next: Instant,
    pause: Duration,
    deadline: Instant,
    quiet: u32,
}

/// Those under way.
#[derive(Default)]
pub struct Sweeps {
    under_way: Vec<Sweep>,
}

impl Sweeps {
    /// Begin at the next [`Sweeps::advance`].
    pub fn add(&mut self, target: Target, signal: i32, now: Instant) {
        let deadline = now + DEADLINE;
        self.under_way.push(Sweep { target, signal, next: now, pause: FIRST_PAUSE, deadline, quiet: 0 });
    }

    /// When to call [`Sweeps::advance`] next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.under_way.iter().map(|sweep| sweep.next).min()
    }

    /// Take the looks that are due; returns the sweeps that are over, and how they ended.
    pub fn advance(&mut self, table: &Table, now: Instant) -> Vec<(Target, Result<(), Problem>)> {
        let mut over = Vec::new();
        self.under_way.retain_mut(|sweep| {
            if sweep.next > now {
                return true;
            }
            match sweep.look(table, now) {
                Some(outcome) => {
                    over.push((sweep.target.clone(), outcome));
                    false
                }
                None => true,
            }
        });
        over
    }
}

impl Sweep {
    fn look(&mut self, table: &Table, now: Instant) -> Option<Result<(), Problem>> {
        let found = self.members(table);
        // Everyone is signalled, whether or not it works with others.
        let refused =
            found.iter().filter_map(|member| send(*member, self.signal).err()).fold(None, |_, last| Some(last));
        if self.signal != libc::SIGKILL {
            return Some(refused.map_or(Ok(()), |error| Err(self.refusal(&error))));
        }
        if !found.is_empty() {
            self.quiet = 0;
        } else {
            self.quiet += 1;
            if self.quiet >= QUIET_LOOKS {
                return Some(Ok(()));
            }
        }
        if now >= self.deadline {
            return Some(Err(self.survivors(&found)));
        }
        self.next = if found.is_empty() { now } else { now + self.pause };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        None
    }

    fn members(&self, table: &Table) -> Vec<Member> {
        let shim = i32::try_from(std::process::id()).unwrap_or(0);
        let whose = match &self.target {
            Target::All => Whose::All,
            Target::Key(key, _) => Whose::Key(key),
        };
        members(&procfs::all(), shim, &table.known(), whose, |pid| procfs::variable(pid, COOKIE))
    }

    fn refusal(&self, error: &io::Error) -> Problem {
        let errno = errno(error);
        let what = format!("a process of its tree cannot be signalled: {}", errno_text(errno));
        Problem { place: self.place(), what, errno: Some(errno) }
    }

    fn survivors(&self, found: &[Member]) -> Problem {
        let pids: Vec<_> = found.iter().take(NAMED_PIDS).map(|member| member.pid.to_string()).collect();
        let what = format!("{} processes outlived SIGKILL, for example {}", found.len(), pids.join(", "));
        Problem { place: self.place(), what, errno: None }
    }

    fn place(&self) -> String {
        match &self.target {
            Target::All => String::new(),
            Target::Key(key, _) => key.clone(),
        }
    }
}

/// Signal a process if it still is the one that was seen.
fn send(member: Member, signal: i32) -> io::Result<()> {
    let opened = Pid::from_raw(member.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let Some(Ok(pidfd)) = opened else { return Ok(()) };
    // From here on the pid cannot be given to another; but it may have been before.
    if procfs::one(member.pid).is_none_or(|now| now.start_ticks != member.start_ticks) {
        return Ok(());
    }
    match raw::send_signal(pidfd.as_fd(), signal) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        sent => sent,
    }
}
