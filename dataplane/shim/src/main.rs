//! pinfold-shim: binds the listening sockets, starts processes, is their parent and sub-reaper, writes their logs and
//! reports their exits. It decides nothing, and outlives the daemon that started it. This file is the table of contents.
#![deny(unsafe_code)]

mod address;
mod app;
mod births;
mod bound;
mod clock;
mod control;
mod describe;
mod errors;
mod journal;
mod launch;
mod lines;
mod links;
mod listeners;
mod logs;
mod output;
mod poll;
mod procfs;
mod raw;
mod requests;
mod stamp;
mod step;
mod sweeps;
mod table;
mod tree;

use app::{App, Inherited};
use launch::OpenFiles;
use pinfold_wire::{SHIM_CONTROL_FD, VERSION};
use rustix::fs::{open, Mode, OFlags};
use rustix::process::{getpid, getrlimit, set_child_subreaper, setrlimit, umask, Resource, Rlimit};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: pinfold-shim --run-dir DIR | --version | --describe";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    match words.as_slice() {
        ["--version"] => say(VERSION),
        ["--describe"] => say(&describe::json()),
        ["--run-dir", directory] if directory.starts_with('/') => run(&PathBuf::from(directory)),
        ["--run-dir", _] => misused("the run directory must be an absolute path"),
        _ => misused(USAGE),
    }
}

fn run(run_directory: &Path) -> ExitCode {
    match prepare().and_then(|inherited| App::build(inherited, run_directory)).and_then(App::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            journal::note(format_args!("cannot go on: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Settle what holds for the whole process, before anything runs in it.
fn prepare() -> io::Result<Inherited> {
    raw::close_from(SHIM_CONTROL_FD + 1);
    raw::return_memory();
    let control = raw::adopt(SHIM_CONTROL_FD)?;
    // These take the numbers at which a proxy is given its descriptors, for ever: what a child is given has others.
    let (null, reserved) = (null()?, null()?);
    std::mem::forget(reserved);
    umask(Mode::from_raw_mode(0o027));
    set_child_subreaper(Some(getpid()))?;
    raw::ignore(libc::SIGXFSZ); // A log on a file system with small files is an error of write(2), not our end.
    raw::ignore(libc::SIGPIPE);
    let signals = raw::route_signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD])?;
    Ok(Inherited { control, signals, null, open_files: raise_open_files() })
}

fn null() -> io::Result<std::os::fd::OwnedFd> {
    Ok(open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Every process takes a few descriptors here; take as many as allowed. Returns the limit as it was, for children.
fn raise_open_files() -> OpenFiles {
    let given = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, maximum: given.maximum });
    OpenFiles { soft: given.current.unwrap_or(u64::MAX), hard: given.maximum.unwrap_or(u64::MAX) }
}

fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn misused(text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "pinfold-shim: {text}");
    ExitCode::from(2)
}
