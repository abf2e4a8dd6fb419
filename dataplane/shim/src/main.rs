//! pinfold-shim: parent of every process of a pinfold; holds the sockets, the output and the exits. It decides nothing.
mod clock;
mod control;
mod lines;
mod listen;
mod logs;
mod output;
mod processes;
mod spawn;
mod state;
mod tree;

use std::io;
use std::os::fd::FromRawFd;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--version"] => {
            say(&format!("pinfold-shim {}", pinfold_wire::VERSION));
            Ok(())
        }
        ["--run-dir", directory] => run(PathBuf::from(directory)),
        _ => Err(io::Error::other("usage: pinfold-shim --run-dir DIR, with a listening unix socket at descriptor 3")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("pinfold-shim: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for the operator; standard error is the shim's own log.
#[allow(clippy::print_stderr)] // The one place that prints.
fn say(text: &str) {
    eprintln!("{text}");
}

fn run(directory: PathBuf) -> io::Result<()> {
    // SAFETY: descriptor 3 is handed over by the daemon (protocol/PROTOCOL.md) and used by nothing else.
    let control = unsafe { std::os::unix::net::UnixListener::from_raw_fd(pinfold_wire::SHIM_CONTROL_FD) };
    control.local_addr().map_err(|_| io::Error::other("descriptor 3 is no listening unix socket"))?;
    control.set_nonblocking(true)?;
    // SAFETY: system calls on numbers, before there is a second thread.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
    std::env::set_current_dir("/")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
    runtime.block_on(state::run(control, directory))
}
