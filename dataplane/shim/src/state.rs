//! The loop of the shim: one owner of all that it holds, told of everything else by channels.
use crate::control::{self, Outbox};
use crate::listen::{self, Sockets};
use crate::logs::Logs;
use crate::processes::{self, Happening, Record};
use crate::{say, tree};
use pinfold_wire::shim::{
    Done, Exited, Failed, Forget, FromShim, Listen, ListenAddress, ProcessReport, Role, Scope, ShimHello, Signal,
    Spawn, Spawned, ToShim,
};
use pinfold_wire::{Problem, PROTOCOL, VERSION};
use socket2::Socket;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::mpsc;

/// How often, and for how many tries, a tree that does not die is killed again: one second in all.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);
const SWEEPS: u32 = 200;

/// Everything the shim holds.
struct State {
    directory: PathBuf,
    sockets: Sockets,
    processes: BTreeMap<String, Record>,
    proxy_control: Option<Socket>,
    logs: Logs,
    happenings: mpsc::Sender<Happening>,
    daemon: Option<(u64, Outbox)>,
}

/// Serves the daemon on `control` until it says `stop`, or the shim is told to terminate.
///
/// # Errors
/// The runtime refuses what the shim cannot do without.
pub async fn run(control: std::os::unix::net::UnixListener, directory: PathBuf) -> io::Result<()> {
    let control = UnixListener::from_std(control)?;
    let (inbox, mut messages) = mpsc::channel(256);
    let (happenings, mut happened) = mpsc::channel(1024);
    let (drops, mut dropped) = mpsc::unbounded_channel();
    let (mut children, mut terminate) = (signal(SignalKind::child())?, signal(SignalKind::terminate())?);
    let logs = Logs::start(drops)?;
    let (sockets, processes) = (Sockets::new(), BTreeMap::new());
    let mut state = State { directory, sockets, processes, proxy_control: None, logs, happenings, daemon: None };
    let mut connections = 0;
    loop {
        tokio::select! {
            biased;
            Some(happening) = happened.recv() => state.happened(happening),
            Some((number, message)) = messages.recv() => {
                if message == ToShim::Stop && state.is_current(number) {
                    break;
                }
                state.take(number, message);
            }
            Ok((stream, _)) = control.accept() => {
                connections += 1;
                match control::accept(stream, connections, inbox.clone()) {
                    Ok(outbox) => state.daemon = Some((connections, outbox)),
                    Err(error) => say(&error.to_string()),
                }
            }
            Some(report) = dropped.recv() => state.tell(FromShim::Dropped(report)),
            _ = children.recv() => state.reap_strangers(),
            _ = terminate.recv() => break,
        }
    }
    state.stop().await;
    Ok(())
}

impl State {
    fn is_current(&self, number: u64) -> bool {
        self.daemon.as_ref().is_some_and(|(current, _)| *current == number)
    }

    fn tell(&mut self, message: FromShim) {
        if let Some((number, outbox)) = &self.daemon {
            if outbox.try_send(message).is_err() {
                say(&format!("connection {number} is gone or does not read"));
                self.daemon = None;
            }
        }
    }

    fn take(&mut self, number: u64, message: ToShim) {
        if !self.is_current(number) {
            return; // A newer daemon has taken over.
        }
        match message {
            ToShim::Hello(_) => self.tell(FromShim::Hello(self.hello())),
            ToShim::Listen(listen) => self.listen(listen),
            ToShim::Spawn(spawn) => self.spawn(&spawn),
            ToShim::Signal(signal) => self.signal(signal),
            ToShim::Forget(forget) => self.forget(&forget),
            ToShim::Stop => {}
        }
    }

    fn hello(&self) -> ShimHello {
        let address = |(address, held): (&String, &Vec<_>)| ListenAddress {
            address: address.clone(),
            sockets: u32::try_from(held.len()).unwrap_or(0),
        };
        let report = |(key, record): (&String, &Record)| ProcessReport {
            key: key.clone(),
            label: record.label.clone(),
            role: record.role,
            pid: record.pid,
            start_ticks: record.start_ticks,
            exit: record.exit.clone(),
        };
        ShimHello {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            addresses: self.sockets.iter().map(address).collect(),
            processes: self.processes.iter().map(report).collect(),
        }
    }

    fn done(&mut self, serial: u64) {
        self.tell(FromShim::Done(Done { serial }));
    }

    fn failed(&mut self, serial: u64, problems: Vec<Problem>) {
        self.tell(FromShim::Failed(Failed { serial, problems }));
    }

    fn listen(&mut self, wanted: Listen) {
        match listen::listen(&self.sockets, &wanted.addresses) {
            Ok(sockets) => {
                let new: Vec<&String> = sockets.keys().filter(|address| !self.sockets.contains_key(*address)).collect();
                for record in self.processes.values().filter(|record| record.exit.is_none()) {
                    hand_over(record, &sockets, &new);
                }
                self.sockets = sockets;
                self.done(wanted.serial);
            }
            Err(problems) => self.failed(wanted.serial, problems),
        }
    }

    fn spawn(&mut self, wanted: &Spawn) {
        let process = &wanted.process;
        if self.processes.contains_key(&process.key) {
            let what = format!("there is a process {} already", process.key);
            return self.failed(wanted.serial, vec![Problem { place: "key".to_owned(), what, errno: None }]);
        }
        let control = match process.role {
            Role::Program => Ok(None),
            Role::Proxy => self.proxy_control().map(Some),
        };
        let started = control
            .map_err(|error| Problem {
                place: "proxy.sock".to_owned(),
                what: format!("cannot listen for the proxy's daemon: {error}"),
                errno: error.raw_os_error(),
            })
            .and_then(|control| processes::start(wanted.serial, process, control, &self.logs, &self.happenings));
        match started {
            Ok(record) => {
                hand_over(&record, &self.sockets, &self.sockets.keys().collect::<Vec<_>>());
                self.processes.insert(process.key.clone(), record);
            }
            Err(problem) => self.failed(wanted.serial, vec![problem]),
        }
    }

    /// The control socket of every proxy: bound once, so that a daemon can connect while one proxy follows another.
    fn proxy_control(&mut self) -> io::Result<OwnedFd> {
        let held = match &self.proxy_control {
            Some(held) => held,
            None => {
                let path = self.directory.join("proxy.sock").display().to_string();
                let bound = listen::bind_unix(&path)?;
                std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
                self.proxy_control.insert(bound)
            }
        };
        Ok(held.try_clone()?.into())
    }

    fn signal(&mut self, wanted: Signal) {
        let Some(record) = self.processes.get(&wanted.key) else {
            let what = format!("no process {}", wanted.key);
            return self.failed(wanted.serial, vec![Problem { place: "key".to_owned(), what, errno: None }]);
        };
        match wanted.scope {
            Scope::Process => {
                send(record, wanted.signal);
                self.done(wanted.serial);
            }
            Scope::Tree => self.signal_tree(record.pid, wanted),
        }
    }

    fn signal_tree(&self, leader: i32, wanted: Signal) {
        let outbox = self.daemon.as_ref().map(|(_, outbox)| outbox.clone());
        tokio::spawn(async move {
            let left = sweep(leader, &wanted.key, wanted.signal).await;
            let what = format!("{left} processes of {} do not die", wanted.key);
            let answer = match left {
                0 => FromShim::Done(Done { serial: wanted.serial }),
                _ => FromShim::Failed(Failed {
                    serial: wanted.serial,
                    problems: vec![Problem { place: "tree".to_owned(), what, errno: None }],
                }),
            };
            if let Some(outbox) = outbox {
                drop(outbox.send(answer).await);
            }
        });
    }

    fn forget(&mut self, wanted: &Forget) {
        self.processes.retain(|key, record| record.exit.is_none() || !wanted.keys.contains(key));
        self.done(wanted.serial);
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Executed { serial, key, outcome: Ok(()) } => {
                if let Some(record) = self.processes.get(&key) {
                    let (pid, start_ticks) = (record.pid, record.start_ticks);
                    self.tell(FromShim::Spawned(Spawned { serial, key, pid, start_ticks }));
                }
            }
            Happening::Executed { serial, key, outcome: Err(problem) } => {
                if let Some(record) = self.processes.remove(&key) {
                    send(&record, libc::SIGKILL); // It never became what was asked for.
                }
                self.failed(serial, vec![problem]);
            }
            Happening::Exited { key, exit } => {
                if let Some(record) = self.processes.get_mut(&key) {
                    record.exit = Some(exit.clone());
                    record.link = None;
                    let pid = record.pid;
                    self.tell(FromShim::Exited(Exited { key, pid, exit }));
                }
            }
        }
    }

    /// Reaps orphans that came to the shim as sub-reaper; its own children are reaped by their pidfds.
    fn reap_strangers(&self) {
        for _ in 0..1024 {
            // SAFETY: waitid fills the struct, which is read only after success.
            let pid = unsafe {
                let mut found = std::mem::zeroed::<libc::siginfo_t>();
                let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                if libc::waitid(libc::P_ALL, 0, &mut found, flags) != 0 {
                    return;
                }
                found.si_pid()
            };
            if pid == 0 || self.processes.values().any(|record| record.pid == pid && record.exit.is_none()) {
                return; // None, or one of ours, whose pidfd is readable now.
            }
            // SAFETY: a plain wait for a child that has ended and is nobody else's.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
        }
    }

    async fn stop(&mut self) {
        for (key, record) in &self.processes {
            sweep(record.pid, key, libc::SIGKILL).await;
        }
        listen::remove_files(&self.sockets, &Sockets::new());
        for name in ["proxy.sock", "shim.sock"] {
            drop(std::fs::remove_file(self.directory.join(name))); // Not bound is as good.
        }
        self.logs.finish();
    }
}

/// Signals a tree; for a kill again and again until it is empty. Returns how many are left.
async fn sweep(leader: i32, key: &str, number: i32) -> usize {
    for _ in 0..SWEEPS {
        match tree::signal(leader, key, number) {
            Ok(0) => return 0,
            Ok(_) if number != libc::SIGKILL => return 0,
            Ok(_) => tokio::time::sleep(SWEEP_PAUSE).await,
            Err(error) => {
                say(&format!("cannot read /proc: {error}"));
                return 1;
            }
        }
    }
    tree::signal(leader, key, number).unwrap_or(1)
}

fn send(record: &Record, number: i32) {
    // SAFETY: a system call on a pidfd that is owned by the record; a process that is gone is as good.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            record.pidfd.as_raw_fd(),
            number,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
}

fn hand_over(record: &Record, sockets: &Sockets, addresses: &[&String]) {
    if let Some(link) = &record.link {
        if let Err(error) = processes::hand_over(link, sockets, addresses) {
            say(&format!("cannot hand sockets to the proxy: {error}"));
        }
    }
}
