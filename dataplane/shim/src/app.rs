//! The loop: builds every part, sleeps until something happens, and passes it to the part it concerns.

use crate::births::Births;
use crate::bound::BoundPath;
use crate::clock;
use crate::control::Control;
use crate::journal;
use crate::launch::OpenFiles;
use crate::links::Links;
use crate::listeners::Listeners;
use crate::logs::Logs;
use crate::output::Outputs;
use crate::poll::{Interest, Poll, Source};
use crate::raw;
use crate::sweeps::{Sweeps, Target};
use crate::table::Table;
use pinfold_wire::shim::{Done, Failed, FromShim};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the shim's own control socket in the run directory.
const CONTROL_NAME: &str = "shim.sock";
/// How long the logs may take to be written when the shim stops.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);
/// Bytes of a `signalfd_siginfo` (signalfd(2)); its first four are the number of the signal.
const SIGNAL_BYTES: usize = 128;

/// How far the shim is with ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everybody is being killed.
    Killing,
    /// Only the logs are still to be written, until then.
    Flushing(Instant),
    /// It is not ending.
    Running,
}

/// What main hands over.
pub struct Inherited {
    /// The listening control socket.
    pub control: OwnedFd,
    /// To be read for signals.
    pub signals: OwnedFd,
    /// For standard input of children.
    pub null: OwnedFd,
    /// The limit children get back.
    pub open_files: OpenFiles,
}

/// Everything the shim has.
pub struct App {
    pub(crate) poll: Poll,
    pub(crate) control: Control,
    pub(crate) listeners: Listeners,
    pub(crate) links: Links,
    pub(crate) logs: Logs,
    pub(crate) outputs: Outputs,
    pub(crate) table: Table,
    pub(crate) births: Births,
    pub(crate) sweeps: Sweeps,
    pub(crate) phase: Phase,
    signals: OwnedFd,
    own_path: Option<BoundPath>,
}

impl App {
    /// Build everything.
    ///
    /// # Errors
    /// The system refuses a descriptor or a thread.
    pub fn build(inherited: Inherited, run_directory: &Path) -> io::Result<Self> {
        let mut poll = Poll::new()?;
        let logs = Logs::start()?;
        poll.watch(&inherited.signals, Source::Signals, Interest::Read)?;
        poll.watch(logs.notice(), Source::Logs, Interest::Read)?;
        Ok(Self {
            control: Control::new(inherited.control, &mut poll)?,
            listeners: Listeners::default(),
            links: Links::new(run_directory),
            logs,
            outputs: Outputs::new(),
            table: Table::default(),
            births: Births::new(inherited.null, inherited.open_files),
            sweeps: Sweeps::default(),
            phase: Phase::Running,
            signals: inherited.signals,
            own_path: BoundPath::of(&run_directory.join(CONTROL_NAME)).ok(),
            poll,
        })
    }

    /// Serve until told to stop and everything is ended.
    ///
    /// # Errors
    /// The loop cannot wait any more.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let now = clock::now();
            self.meet_deadlines(now);
            if self.over(now) {
                return Ok(());
            }
            let timeout = self.next_deadline().map(|deadline| deadline.saturating_duration_since(now));
            for source in self.poll.wait(timeout)? {
                self.serve(source);
            }
        }
    }

    /// End everything: kill every tree, then close, then have the logs written.
    pub fn stop(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Killing;
            self.births.cancel(&self.logs);
            self.sweeps.add(Target::All, libc::SIGKILL, clock::now());
        }
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Control => self.control.accept(&mut self.poll),
            Source::Link(key) => self.links.wake(&key, &self.listeners, &mut self.poll),
            Source::Logs => self.logs_opened(),
            Source::Peer(id) => self.requests(id),
            Source::Process(key) => self.child_ended(&key),
            Source::Report(key) => self.birth_told(&key),
            Source::Signals => self.signalled(),
            Source::Stream(id) => drop(self.outputs.read(id, &self.logs, &mut self.poll)),
        }
    }

    fn signalled(&mut self) {
        let mut signal = [0; SIGNAL_BYTES];
        while let Ok(SIGNAL_BYTES) = rustix::io::read(&self.signals, &mut signal) {
            match signal.first_chunk().map(|number| i32::from_ne_bytes(*number)) {
                Some(libc::SIGTERM) => self.stop(),
                Some(libc::SIGCHLD) => self.reap(),
                _ => {} // HUP and INT are meant for whoever sits at the terminal, not for us.
            }
        }
    }

    fn meet_deadlines(&mut self, now: Instant) {
        self.births_overdue(now);
        self.links.retry(now, &self.listeners, &mut self.poll);
        for (target, outcome) in self.sweeps.advance(&self.table, now) {
            self.reap(); // So that exits are told before the tree is said to be gone.
            match (target, outcome) {
                (Target::Key(_, asker), outcome) => {
                    let serial = asker.serial;
                    let answer = outcome.map_or_else(
                        |problem| FromShim::Failed(Failed { serial, problems: vec![problem] }),
                        |()| FromShim::Done(Done { serial }),
                    );
                    self.control.send(asker.peer, &answer, &mut self.poll);
                }
                (Target::All, outcome) => self.killed(outcome.err().map(|problem| problem.what), now),
            }
        }
        if self.control.daemon().is_some() {
            for dropped in self.logs.due(now) {
                self.control.tell(&FromShim::Dropped(dropped), &mut self.poll);
            }
        }
    }

    fn killed(&mut self, survivors: Option<String>, now: Instant) {
        if let Some(what) = survivors {
            journal::note(format_args!("{what}"));
        }
        self.listeners.close();
        self.links.close_control();
        if let Some(path) = self.own_path.take() {
            path.remove();
        }
        self.outputs.drain(&self.logs, &mut self.poll);
        self.logs.finish();
        self.phase = Phase::Flushing(now + FLUSH_DEADLINE);
    }

    fn over(&mut self, now: Instant) -> bool {
        let Phase::Flushing(deadline) = self.phase else { return false };
        let over = self.logs.finished() || now >= deadline;
        if over {
            self.control.close_all(&mut self.poll);
        }
        over
    }

    fn next_deadline(&self) -> Option<Instant> {
        let flushing = match self.phase {
            Phase::Flushing(deadline) => Some(deadline),
            Phase::Killing | Phase::Running => None,
        };
        let drops = self.control.daemon().and_then(|_| self.logs.next_due());
        let births = self.table.next_deadline().into_iter().chain(self.births.next_deadline());
        births.chain(self.sweeps.next_deadline()).chain(self.links.next_deadline()).chain(flushing).chain(drops).min()
    }

    /// Reap every child that has ended. Those of the table are told of; orphans that came to the shim, its sub-reaper,
    /// are nobody's business.
    pub(crate) fn reap(&mut self) {
        while let Some(pid) = raw::first_zombie() {
            match self.table.key_of(pid) {
                Some(key) => self.child_ended(&key),
                None => crate::births::reap_one(pid),
            }
        }
    }
}
