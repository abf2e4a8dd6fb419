//! Reads what a process writes, for as long as anyone holds the pipe, and hands whole stamped lines to the logs.
use crate::clock;
use crate::lines::Lines;
use crate::logs::Logs;
use pinfold_wire::shim::LogFile;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Bytes a pipe is asked to hold, so that a burst does not wait for this loop.
const PIPE_BYTES: i32 = 1024 * 1024;
const READ_BYTES: usize = 32 * 1024;

/// How lines are written.
#[derive(Clone, Copy)]
pub enum Style {
    /// As they are: access log lines are whole records already.
    Plain,
    /// After time, pid and the name of the stream.
    Stamped(i32, &'static str),
}

/// Reads `pipe` to its end in the background.
///
/// # Errors
/// The pipe cannot be registered.
pub fn read(pipe: OwnedFd, style: Style, file: LogFile, logs: Logs) -> io::Result<()> {
    // SAFETY: fcntl on a descriptor that is owned here; a refusal leaves the pipe as it is.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
    let mut pipe = Receiver::from_owned_fd(pipe)?;
    tokio::spawn(async move {
        let mut lines = Lines::default();
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            let (mut text, mut number) = (Vec::with_capacity(count + 64), 0);
            let stamp = stamp(style);
            lines.push(buffer.get(..count).unwrap_or_default(), |line| {
                add(&mut text, &stamp, line);
                number += 1;
            });
            if number > 0 {
                logs.write(&file, text, number);
            }
        }
        lines.finish(|line| {
            let mut text = Vec::new();
            add(&mut text, &stamp(style), line);
            logs.write(&file, text, 1);
        });
    });
    Ok(())
}

fn stamp(style: Style) -> String {
    match style {
        Style::Plain => String::new(),
        Style::Stamped(pid, stream) => format!("{} {pid} {stream} ", clock::rfc3339(clock::now_ms())),
    }
}

fn add(text: &mut Vec<u8>, stamp: &str, line: &[u8]) {
    text.extend_from_slice(stamp.as_bytes());
    text.extend_from_slice(line);
    text.push(b'\n');
}
