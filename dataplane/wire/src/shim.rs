//! Messages between the daemon and the shim. A process is known by its key, which the daemon chooses and never uses twice.

use crate::{Hello, Named, Problem};
use serde::{Deserialize, Serialize};

/// From the daemon to the shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToShim {
    /// First message of the connection.
    Hello(Hello),
    /// The whole set of addresses to listen on; answered by `done` or `failed`, in which case nothing changed.
    Listen(Listen),
    /// Start a process; answered by `spawned` or `failed`.
    Spawn(Box<Spawn>),
    /// Signal a process or its whole tree; answered by `done` or `failed`.
    Signal(Signal),
    /// Forget processes whose exit has been dealt with; answered by `done`.
    Forget(Forget),
    /// Kill every tree, close every socket, exit.
    Stop,
}

impl Named for ToShim {
    const NAMES: &'static [&'static str] = &["hello", "listen", "spawn", "signal", "forget", "stop"];
}

/// From the shim to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromShim {
    /// Answer to `hello`: all that a daemon which comes back must know.
    Hello(ShimHello),
    /// The request of this serial is carried out.
    Done(Done),
    /// The request of this serial failed.
    Failed(Failed),
    /// The process runs: its program has been executed.
    Spawned(Spawned),
    /// A process has ended. Unasked; comes after `spawned`, and again in `hello` until it is forgotten.
    Exited(Exited),
    /// Lines of a log could not be written since the last report. Unasked, at most one a second for each log.
    Dropped(Dropped),
}

impl Named for FromShim {
    const NAMES: &'static [&'static str] = &["hello", "done", "failed", "spawned", "exited", "dropped"];
}

/// See [`ToShim::Listen`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Comes back in the answer.
    pub serial: u64,
    /// Every address wanted; those not named are closed.
    pub addresses: Vec<ListenAddress>,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenAddress {
    /// `host:port` with a numeric host, `[v6]:port` or `unix:/path`.
    pub address: String,
    /// Sockets to bind with `SO_REUSEPORT`, one for each core of the proxy; a unix socket is bound once and sent this many times.
    pub sockets: u32,
}

/// See [`ToShim::Spawn`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spawn {
    /// Comes back in the answer.
    pub serial: u64,
    /// What to start.
    pub process: Process,
}

/// Everything about a process to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Unique for the life of the shim, for example `web.1-7`.
    pub key: String,
    /// Text of the daemon, kept and told again in `hello`; the shim never looks into it.
    pub label: String,
    /// What becomes of descriptors: a proxy is given its sockets and its pipe.
    pub role: Role,
    /// Program and arguments; a program without a slash is looked for in `PATH` of `environment`.
    pub argv: Vec<String>,
    /// `NAME=value`, the whole of it: nothing is inherited.
    pub environment: Vec<String>,
    /// Absolute path to change into.
    pub working_directory: String,
    /// Whose rights it gets; absent: those of the shim.
    pub identity: Option<Identity>,
    /// Its file mode mask.
    pub umask: u32,
    /// Its resource limits, set before the identity changes.
    pub rlimits: Vec<Rlimit>,
    /// Where its standard output and error go.
    pub log: LogFile,
    /// Where the lines of the access log go; for the proxy only.
    pub access_log: Option<LogFile>,
}

/// What a process is to the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A program of the operator's.
    Program,
    /// The proxy.
    Proxy,
}

/// User and groups, as numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// One resource limit (`setrlimit(2)`); hard and soft alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// Which.
    pub resource: Resource,
    /// Its value.
    pub value: u64,
}

/// Resources that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Bytes of a core file (`RLIMIT_CORE`).
    Core,
    /// Open descriptors (`RLIMIT_NOFILE`).
    OpenFiles,
    /// Processes of the user (`RLIMIT_NPROC`).
    Processes,
}

/// A log file and its rotation: `path`, then `path.1`, `path.2` …
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogFile {
    /// Absolute path. Processes that name the same path share one file.
    pub path: String,
    /// Rotated before it would grow past this.
    pub max_bytes: u64,
    /// Rotated files to keep.
    pub keep: u32,
}

/// See [`ToShim::Signal`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Comes back in the answer.
    pub serial: u64,
    /// Which process.
    pub key: String,
    /// Number of the signal.
    pub signal: i32,
    /// Whom it reaches.
    pub scope: Scope,
}

/// Whom a signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The process that was spawned.
    Process,
    /// It and all its descendants, also those that changed session or lost their parent; also after its exit.
    Tree,
}

/// See [`ToShim::Forget`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// Comes back in the answer.
    pub serial: u64,
    /// Keys of processes that have exited.
    pub keys: Vec<String>,
}

/// See [`FromShim::Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShimHello {
    /// Protocol of the shim.
    pub protocol: u32,
    /// Version of the shim.
    pub version: String,
    /// Its process id.
    pub pid: i32,
    /// Addresses it listens on.
    pub addresses: Vec<ListenAddress>,
    /// Processes it knows: running, and exited ones not yet forgotten.
    pub processes: Vec<ProcessReport>,
}

/// What the shim knows of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessReport {
    /// Its key.
    pub key: String,
    /// The label it was spawned with.
    pub label: String,
    /// What it is.
    pub role: Role,
    /// Its process id.
    pub pid: i32,
    /// Start time in clock ticks after boot (`/proc/PID/stat` field 22): with the pid, its identity.
    pub start_ticks: u64,
    /// Present once it has ended.
    pub exit: Option<Exit>,
}

/// How a process ended; exactly one is present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// Exit status.
    pub code: Option<i32>,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
}

/// See [`FromShim::Done`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// That of the request.
    pub serial: u64,
}

/// See [`FromShim::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// That of the request.
    pub serial: u64,
    /// Why; `place` is the address, or the step of the spawn (`chdir`, `setuid`, `exec` …).
    pub problems: Vec<Problem>,
}

/// See [`FromShim::Spawned`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spawned {
    /// That of the request.
    pub serial: u64,
    /// Key of the process.
    pub key: String,
    /// Its process id.
    pub pid: i32,
    /// Start time in clock ticks after boot.
    pub start_ticks: u64,
}

/// See [`FromShim::Exited`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exited {
    /// Key of the process.
    pub key: String,
    /// Its process id.
    pub pid: i32,
    /// How it ended.
    pub exit: Exit,
}

/// See [`FromShim::Dropped`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// Path of the log.
    pub path: String,
    /// Lines dropped since the last report.
    pub lines: u64,
    /// Error of the last failed write; absent when the writer fell behind.
    pub errno: Option<i32>,
}
