//! pinfold-proxy: carries the traffic. It is told what to do by the daemon, gets its sockets from the shim, reads no file
//! and needs no rights. This file is the table of contents.
#![deny(unsafe_code)]

mod acceptors;
mod access;
mod answer;
mod app;
mod attempt;
mod buffer;
mod clients;
mod clock;
mod connections;
mod control;
mod cores;
mod describe;
mod endpoint;
mod exchange;
mod forward;
mod inherit;
mod introduction;
mod journal;
mod lasting;
mod peer;
mod pool;
mod queue;
mod respond;
mod runtime;
mod serve;
mod sockets;
mod table;
mod tls;
mod traffic;
mod tunnel;
mod upload;
mod watch;

use pinfold_wire::VERSION;
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use std::io::{self, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: pinfold-proxy [--threads N] | --version | --describe";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--version"] => say(VERSION),
        ["--describe"] => say(&describe::json()),
        [] => run(threads_there_are()),
        ["--threads", count] => match count.parse() {
            Ok(0) => run(threads_there_are()),
            Ok(count @ 1..=256) => run(count),
            _ => misused("--threads takes a number from 0 to 256"),
        },
        _ => misused(USAGE),
    }
}

fn run(threads: u32) -> ExitCode {
    let inherited = match app::Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => return misused(&format!("it is started by pinfold, not by hand: {error}")),
    };
    raise_open_files();
    match app::run(inherited, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            journal::note(format_args!("cannot go on: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn threads_there_are() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(256).min(256))
}

/// Every connection takes a descriptor; take as many as allowed.
fn raise_open_files() {
    let given = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, maximum: given.maximum });
}

fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn misused(text: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "pinfold-proxy: {text}");
    ExitCode::from(2)
}
