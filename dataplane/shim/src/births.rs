//! How a process comes into the table, and how its end is told: logs opened → child forked → program executed → ended.
//! Each step may take its time without anybody waiting for it.

use crate::app::App;
use crate::clock;
use crate::errors::{errno, errno_text};
use crate::journal;
use crate::launch::{explain, plan, problem, OpenFiles};
use crate::logs::{Logs, Opening, Style};
use crate::output::{self, Kind};
use crate::poll::{Interest, Source};
use crate::procfs;
use crate::raw::{self, Descriptors, Plan};
use crate::step::{Report, Step, REPORT_BYTES};
use crate::table::{Alive, Asker, Birth, Record};
use pinfold_wire::shim::{Exit, Exited, Failed, FromShim, LogFile, Process, Role, Spawned};
use pinfold_wire::Problem;
use rustix::pipe::{pipe_with, PipeFlags};
use rustix::process::{pidfd_open, waitid, Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a child may take to become its program.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a start waits to hear whether its logs open. A disk that hangs must not keep programs down: it goes on without.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

/// A process whose logs are being opened.
struct Expected {
    asker: Asker,
    process: Box<Process>,
    plan: Plan,
    deadline: Instant,
}

/// Processes on their way to a fork.
pub struct Births {
    expected: BTreeMap<u64, Expected>,
    next: u64,
    null: OwnedFd,
    open_files: OpenFiles,
}

/// The pipes of one process.
struct Pipes {
    /// Ends the shim reads, in the order of `writing`, with what comes through them and into which log.
    reading: Vec<(OwnedFd, PipeUse, String)>,
    /// Ends the child writes: output, error, and perhaps the access log.
    writing: Vec<OwnedFd>,
}

#[derive(Clone, Copy)]
enum PipeUse {
    Access,
    Error,
    Output,
}

impl Births {
    /// None yet. Children get `null` as standard input and `open_files` as limit.
    pub fn new(null: OwnedFd, open_files: OpenFiles) -> Self {
        Self { expected: BTreeMap::new(), next: 0, null, open_files }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.expected.values().map(|expected| expected.deadline).min()
    }

    /// Give up all of them.
    pub fn cancel(&mut self, logs: &Logs) {
        for expected in std::mem::take(&mut self.expected).into_values() {
            release(&expected.process, logs);
        }
    }
}

impl App {
    /// Start a process; the answer comes when its program is executed.
    pub(crate) fn spawn(&mut self, asker: Asker, process: Process) {
        let expected = self.births.expected.values().any(|expected| expected.process.key == process.key);
        if expected || self.table.records.contains_key(&process.key) {
            let report = Report { step: Step::Key, detail: 0, errno: libc::EEXIST };
            return self.refuse(asker, explain(&process, report));
        }
        match plan(&process, self.births.open_files) {
            Err(problem) => self.refuse(asker, problem),
            Ok(plan) => {
                let token = self.births.next;
                self.births.next += 1;
                self.logs.open(Opening { token, logs: wanted_logs(&process) });
                let deadline = clock::now() + LOG_PATIENCE;
                let expected = Expected { asker, process: Box::new(process), plan, deadline };
                self.births.expected.insert(token, expected);
            }
        }
    }

    /// The writer of logs has opened some, or could not.
    pub(crate) fn logs_opened(&mut self) {
        for opened in self.logs.opened() {
            let Some(expected) = self.births.expected.remove(&opened.token) else { continue };
            let asker = expected.asker;
            let born = match opened.fault {
                Some((path, errno)) => {
                    release(&expected.process, &self.logs);
                    Err(problem(Step::Log, format!("{path} cannot be opened: {}", errno_text(errno)), errno))
                }
                None => self.bear(expected),
            };
            if let Err(problem) = born {
                self.refuse(asker, problem);
            }
        }
    }

    /// A child has become its program, or tells why not.
    pub(crate) fn birth_told(&mut self, key: &str) {
        let Some(record) = self.table.records.get_mut(key) else { return };
        let Some(birth) = &record.birth else { return };
        let mut report = [0; REPORT_BYTES];
        let told = match rustix::io::read(&birth.report, &mut report) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            told => told.unwrap_or(0),
        };
        let Some(birth) = record.birth.take() else { return };
        self.poll.forget(&birth.report, birth.watch);
        match report.get(..told).and_then(Report::decode) {
            Some(report) => {
                let problem = explain(&birth.process, report);
                self.stillborn(key, birth.asker, problem);
            }
            None => {
                let (pid, start_ticks) = (record.pid, record.start_ticks);
                let spawned = Spawned { serial: birth.asker.serial, key: key.to_owned(), pid, start_ticks };
                self.control.send(birth.asker.peer, &FromShim::Spawned(spawned), &mut self.poll);
            }
        }
    }

    /// Wait no longer for logs, and give up a child that takes too long.
    pub(crate) fn births_overdue(&mut self, now: Instant) {
        let late: Vec<u64> =
            self.births.expected.iter().filter(|(_, late)| late.deadline <= now).map(|(token, _)| *token).collect();
        for expected in late.iter().filter_map(|token| self.births.expected.remove(token)).collect::<Vec<_>>() {
            journal::note(format_args!("{}: started before its log is open", expected.process.key));
            let asker = expected.asker;
            if let Err(problem) = self.bear(expected) {
                self.refuse(asker, problem);
            }
        }
        for key in self.table.overdue(now) {
            let Some(record) = self.table.records.get_mut(&key) else { continue };
            let Some(birth) = record.birth.take() else { continue };
            self.poll.forget(&birth.report, birth.watch);
            if let Some(alive) = &record.alive {
                let _ = raw::send_signal(alive.pidfd.as_fd(), libc::SIGKILL);
            }
            let what = "the program was not executed in time".to_owned();
            self.stillborn(&key, birth.asker, problem(Step::Exec, what, libc::ETIMEDOUT));
        }
    }

    /// A process may have ended; if it has, reap it and tell.
    pub(crate) fn child_ended(&mut self, key: &str) {
        self.birth_told(key); // What it told before it ended comes first.
        let Some(record) = self.table.records.get_mut(key) else { return };
        let Some(alive) = &record.alive else { return };
        let exit = match waitid(WaitId::PidFd(alive.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) => return,
            Ok(Some(status)) => Exit { code: status.exit_status(), signal: status.terminating_signal() },
            Err(error) => {
                journal::note(format_args!("{key}: its exit status is lost: {error}"));
                Exit { code: Some(255), signal: None }
            }
        };
        self.poll.forget(&alive.pidfd, alive.watch);
        record.alive = None;
        record.exit = Some(exit.clone());
        let exited = Exited { key: key.to_owned(), pid: record.pid, exit };
        self.links.close(key, &mut self.poll);
        self.control.tell(&FromShim::Exited(exited), &mut self.poll);
    }

    fn refuse(&mut self, asker: Asker, problem: Problem) {
        let failed = Failed { serial: asker.serial, problems: vec![problem] };
        self.control.send(asker.peer, &FromShim::Failed(failed), &mut self.poll);
    }

    /// A child did not become its program. Who asked for it is told and it was never there; if nobody waits any more, it
    /// stays, because a daemon that came since has heard of it, and is told of its exit.
    fn stillborn(&mut self, key: &str, asker: Asker, problem: Problem) {
        journal::note(format_args!("{key}: {}: {}", problem.place, problem.what));
        if self.control.daemon() != Some(asker.peer) {
            return;
        }
        if let Some(alive) = self.table.records.remove(key).and_then(|record| record.alive) {
            self.poll.forget(&alive.pidfd, alive.watch);
        }
        self.links.close(key, &mut self.poll);
        self.refuse(asker, problem);
    }

    /// Fork the child of a process whose logs are open.
    fn bear(&mut self, expected: Expected) -> Result<(), Problem> {
        let process = &expected.process;
        let fault = |step| move |error: io::Error| (step, error);
        let forked = Pipes::open(process).map_err(fault(Step::Pipe)).and_then(|pipes| {
            let report = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
            let report = report.map_err(|error| (Step::Pipe, error.into()))?;
            let pid = self.fork(&expected, &pipes, &report.1)?;
            Ok((pid, pipes.reading, report.0))
        });
        match forked {
            Ok((pid, reading, report)) => {
                let registered = self.register(pid, reading, report, &expected);
                registered.map_err(|error| self.unborn(process, Step::Fork, &error))
            }
            Err((step, error)) => {
                release(process, &self.logs);
                Err(self.unborn(process, step, &error))
            }
        }
    }

    fn unborn(&mut self, process: &Process, step: Step, error: &io::Error) -> Problem {
        self.links.close(&process.key, &mut self.poll);
        explain(process, Report { step, detail: 0, errno: errno(error) })
    }

    fn fork(&mut self, expected: &Expected, pipes: &Pipes, report: &OwnedFd) -> Result<i32, (Step, io::Error)> {
        let fault = |error| (Step::Stdio, error);
        let link; // Closed here once the child has its copy.
        let mut extra: Vec<BorrowedFd<'_>> = Vec::new();
        if expected.process.role == Role::Proxy {
            link = self.links.open(&expected.process.key, &self.listeners, &mut self.poll).map_err(fault)?;
            extra.push(self.links.control().map_err(fault)?);
            extra.push(link.as_fd());
        }
        let [output, error, access @ ..] = pipes.writing.as_slice() else {
            return Err(fault(io::ErrorKind::NotFound.into()));
        };
        extra.extend(access.iter().map(AsFd::as_fd));
        let standard = [self.births.null.as_fd(), output.as_fd(), error.as_fd()];
        raw::fork(&expected.plan, &Descriptors { standard, extra, report: report.as_fd() })
            .map_err(|error| (Step::Fork, error))
    }

    /// Wait for what the child says and for its end.
    fn register(
        &mut self,
        pid: i32,
        reading: Vec<(OwnedFd, PipeUse, String)>,
        report: OwnedFd,
        expected: &Expected,
    ) -> io::Result<()> {
        let start_ticks = procfs::one(pid).map_or(0, |seen| seen.start_ticks);
        let mut outcome = Ok(());
        for (pipe, pipe_use, log) in reading {
            let kind = match pipe_use {
                PipeUse::Access => Kind::Access,
                PipeUse::Error => Kind::Error(pid),
                PipeUse::Output => Kind::Output(pid),
            };
            outcome = outcome.and(self.outputs.add(pipe, kind, &log, &self.logs, &mut self.poll));
        }
        let key = expected.process.key.clone();
        let whole = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(whole, PidfdFlags::empty()).inspect_err(|_| kill_unwatched(whole))?;
        let watch = outcome
            .and_then(|()| self.poll.watch(&report, Source::Report(key.clone()), Interest::Read))
            .and_then(|born| Ok((born, self.poll.watch(&pidfd, Source::Process(key.clone()), Interest::Read)?)))
            .inspect_err(|_| kill_unwatched(whole))?;
        let process = expected.process.clone();
        let (label, role, deadline) = (process.label.clone(), process.role, clock::now() + DEADLINE);
        let birth = Birth { asker: expected.asker, process, report, watch: watch.0, deadline };
        let alive = Some(Alive { pidfd, watch: watch.1 });
        self.table.records.insert(key, Record { label, role, pid, start_ticks, birth: Some(birth), alive, exit: None });
        Ok(())
    }
}

impl Pipes {
    fn open(process: &Process) -> io::Result<Self> {
        let mut pipes = Self { reading: Vec::new(), writing: Vec::new() };
        let standard = [(PipeUse::Output, &process.log), (PipeUse::Error, &process.log)];
        let access = access_log(process).map(|log| (PipeUse::Access, log));
        for (pipe_use, log) in standard.into_iter().chain(access) {
            let (read, write) = output::pipe()?;
            pipes.reading.push((read, pipe_use, log.path.clone()));
            pipes.writing.push(write);
        }
        Ok(pipes)
    }
}

/// Reap the child of that id, which has ended and is of no interest.
pub fn reap_one(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

/// A child that cannot be watched must not run. Its pid is its own until it is reaped.
fn kill_unwatched(pid: Pid) {
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// One entry for each pipe, as each holds its log open.
fn wanted_logs(process: &Process) -> Vec<(LogFile, Style)> {
    let standard = (process.log.clone(), Style::Stamped);
    let access = access_log(process).map(|log| (log.clone(), Style::Verbatim));
    [standard.clone(), standard].into_iter().chain(access).collect()
}

fn release(process: &Process, logs: &Logs) {
    wanted_logs(process).iter().for_each(|(log, _)| logs.release(&log.path));
}

/// Only a proxy has one.
fn access_log(process: &Process) -> Option<&LogFile> {
    process.access_log.as_ref().filter(|_| process.role == Role::Proxy)
}
