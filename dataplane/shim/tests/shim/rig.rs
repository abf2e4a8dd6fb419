//! A shim in a directory of its own, and a connection to it. Waits for conditions, never for a time to pass.

use pinfold_wire::shim::{
    Exited, Forget, FromShim, Listen, ListenAddress, LogFile, Process, Role, Scope, ShimHello, Signal, Spawn, Spawned,
    ToShim,
};
use pinfold_wire::{decode, encode, take_frame, Hello, Problem, SHIM_CONTROL_FD};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take on a machine that has much else to do.
pub const DEADLINE: Duration = Duration::from_secs(30);
static RIGS: AtomicU32 = AtomicU32::new(0);

/// A running shim.
pub struct Rig {
    pub directory: PathBuf,
    pub shim: Child,
}

/// A connection to it.
pub struct Link {
    stream: UnixStream,
    inbox: Vec<u8>,
    /// Messages that came while another was waited for.
    unread: Vec<FromShim>,
    serial: u64,
}

impl Rig {
    pub fn start() -> Self {
        let number = RIGS.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("pf-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let listening = UnixListener::bind(directory.join("shim.sock")).unwrap();
        let log = fs::File::create(directory.join("shim.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold-shim"));
        command
            .arg("--run-dir")
            .arg(&directory)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let fd = listening.as_raw_fd();
        // SAFETY: these calls are async-signal-safe, and nothing else happens between fork and exec. A copy first, as
        // dup2 onto itself would leave the descriptor to be closed on exec.
        unsafe {
            command.pre_exec(move || {
                libc::setsid();
                match libc::dup2(libc::dup(fd), SHIM_CONTROL_FD) {
                    SHIM_CONTROL_FD => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            })
        };
        let shim = command.spawn().unwrap();
        Self { directory, shim }
    }

    /// A connection that has been greeted.
    pub fn link(&self) -> Link {
        self.greet().0
    }

    pub fn greet(&self) -> (Link, ShimHello) {
        let mut link = self.connect();
        link.send(&ToShim::Hello(Hello::ours()));
        match link.receive() {
            Some(FromShim::Hello(hello)) => (link, hello),
            other => panic!("not greeted: {other:?}"),
        }
    }

    /// A connection on which nothing has been said.
    pub fn connect(&self) -> Link {
        let stream = UnixStream::connect(self.directory.join("shim.sock")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Link { stream, inbox: Vec::new(), unread: Vec::new(), serial: 0 }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.shim.id()).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn log(&self, key: &str) -> PathBuf {
        self.path(&format!("logs/{key}.log"))
    }

    /// A process with the plainest of everything.
    pub fn process(&self, key: &str, argv: &[&str]) -> Process {
        let log = LogFile { path: self.log(key).to_str().unwrap().to_owned(), max_bytes: 50_000_000, keep: 3 };
        Process {
            key: key.to_owned(),
            label: format!("label of {key}"),
            role: Role::Program,
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            environment: vec![format!("PATH={}", std::env::var("PATH").unwrap())],
            working_directory: "/".to_owned(),
            identity: None,
            umask: 0o022,
            rlimits: Vec::new(),
            log,
            access_log: None,
        }
    }

    pub fn shell(&self, key: &str, script: &str) -> Process {
        self.process(key, &["/bin/sh", "-c", script])
    }

    /// What the shim said for itself.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.path("shim.log")).unwrap()
    }

    pub fn wait(&mut self) -> ExitStatus {
        until("the shim ends", || self.shim.try_wait().unwrap())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.shim.try_wait().unwrap().is_none() {
            signal(self.pid(), libc::SIGTERM);
            let deadline = Instant::now() + DEADLINE;
            while self.shim.try_wait().unwrap().is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            let _ = self.shim.kill();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Link {
    pub fn send(&mut self, message: &ToShim) {
        self.send_bytes(&encode(message).unwrap());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next message; `None` when the shim has closed the connection.
    pub fn receive(&mut self) -> Option<FromShim> {
        loop {
            if let Some((json, used)) = take_frame(&self.inbox).unwrap() {
                let message = decode(json).unwrap();
                self.inbox.drain(..used);
                return Some(message);
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.inbox.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("the shim is silent: {error}"),
            }
        }
    }

    /// The first message that `wanted` makes something of; others are kept.
    pub fn expect<T>(&mut self, wanted: impl Fn(&FromShim) -> Option<T>) -> T {
        if let Some((index, found)) = self.unread.iter().enumerate().find_map(|(at, it)| Some((at, wanted(it)?))) {
            self.unread.remove(index);
            return found;
        }
        loop {
            let message = self.receive().expect("the shim has closed the connection");
            match wanted(&message) {
                Some(found) => return found,
                None => self.unread.push(message),
            }
        }
    }

    /// Ask, and get the answer.
    pub fn ask(&mut self, message: impl FnOnce(u64) -> ToShim) -> Result<Option<Spawned>, Vec<Problem>> {
        self.serial += 1;
        let serial = self.serial;
        self.send(&message(serial));
        self.expect(|answer| match answer {
            FromShim::Done(done) if done.serial == serial => Some(Ok(None)),
            FromShim::Spawned(spawned) if spawned.serial == serial => Some(Ok(Some(spawned.clone()))),
            FromShim::Failed(failed) if failed.serial == serial => Some(Err(failed.problems.clone())),
            _ => None,
        })
    }

    pub fn try_spawn(&mut self, process: Process) -> Result<Spawned, Problem> {
        match self.ask(|serial| ToShim::Spawn(Box::new(Spawn { serial, process }))) {
            Ok(spawned) => Ok(spawned.unwrap()),
            Err(problems) => Err(problems.into_iter().next().unwrap()),
        }
    }

    /// The pid of a process that must start.
    pub fn spawn(&mut self, process: Process) -> i32 {
        self.try_spawn(process).unwrap().pid
    }

    /// Spawn and see how it ends.
    pub fn run(&mut self, process: Process) -> Exited {
        let key = process.key.clone();
        self.spawn(process);
        self.exit_of(&key)
    }

    pub fn exit_of(&mut self, key: &str) -> Exited {
        self.expect(|message| match message {
            FromShim::Exited(exited) if exited.key == key => Some(exited.clone()),
            _ => None,
        })
    }

    pub fn signal(&mut self, key: &str, signal: i32, scope: Scope) -> Result<(), Vec<Problem>> {
        let key = key.to_owned();
        self.ask(|serial| ToShim::Signal(Signal { serial, key, signal, scope })).map(drop)
    }

    pub fn kill_tree(&mut self, key: &str) {
        self.signal(key, libc::SIGKILL, Scope::Tree).unwrap();
    }

    pub fn forget(&mut self, keys: &[&str]) {
        let keys = keys.iter().map(|&key| key.to_owned()).collect();
        self.ask(|serial| ToShim::Forget(Forget { serial, keys })).unwrap();
    }

    pub fn listen(&mut self, addresses: &[(&str, u32)]) -> Result<(), Vec<Problem>> {
        let wanted = |&(address, sockets): &(&str, u32)| ListenAddress { address: address.to_owned(), sockets };
        let addresses = addresses.iter().map(wanted).collect();
        self.ask(|serial| ToShim::Listen(Listen { serial, addresses })).map(drop)
    }
}

/// Wait until `found` finds something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Wait until the log of a path has that many lines, and give them.
pub fn lines(path: &Path, count: usize) -> Vec<String> {
    until(&format!("{count} lines in {}", path.display()), || {
        let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
        (text.ends_with('\n') && text.lines().count() >= count).then(|| text.lines().map(str::to_owned).collect())
    })
}

/// The text of a line without stamp, pid and stream.
pub fn text(line: &str) -> &str {
    line.splitn(4, ' ').nth(3).unwrap()
}

/// Whether a process lives: exists, and is no zombie.
pub fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Living processes whose environment names this variable.
pub fn marked(variable: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let named = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()) && alive(*pid)
    };
    pids.filter(named).collect()
}

pub fn signal(pid: i32, signal: i32) {
    // SAFETY: kill(2) on a number has no memory effects.
    unsafe { libc::kill(pid, signal) };
}

pub fn root() -> bool {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
