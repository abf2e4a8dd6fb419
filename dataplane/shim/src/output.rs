//! The pipes processes write into: always drained, cut into lines, stamped, handed to the logs. Reading never waits for
//! a disk, so no program ever waits for its log.

use crate::clock;
use crate::lines::{Piece, Splitter};
use crate::logs::Logs;
use crate::poll::{Interest, Poll, Source, Watch};
use crate::stamp;
use rustix::pipe::{fcntl_setpipe_size, pipe_with, PipeFlags};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

/// Bytes read from a pipe in one go, before others get their turn.
const READ_BYTES: usize = 64 * 1024;
/// Capacity asked for each pipe; the kernel gives less to users that have many.
const PIPE_BYTES: usize = 1024 * 1024;

/// What comes through a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines that are kept as they are.
    Access,
    /// The standard error of the process of that id.
    Error(i32),
    /// The standard output of the process of that id.
    Output(i32),
}

struct Stream {
    pipe: OwnedFd,
    watch: Watch,
    kind: Kind,
    log: String,
    splitter: Splitter,
}

/// Every pipe that is open.
pub struct Outputs {
    streams: BTreeMap<u64, Stream>,
    next: u64,
    piece: Vec<u8>,
}

/// A pipe for a process: the end to read, which never blocks, and the end to write, which does.
///
/// # Errors
/// As pipe2(2).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    let _ = fcntl_setpipe_size(&read, PIPE_BYTES);
    Ok((read, write))
}

/// Append one line as it is to stand in the log: stamp, process, stream, text. A `+` after the stream says that the line
/// was longer than a line may be, and goes on in the next.
pub fn format_line(kind: Kind, text: &[u8], piece: Piece, wall_ms: u64, out: &mut Vec<u8>) {
    let (pid, stream) = match kind {
        Kind::Access => (None, &b""[..]),
        Kind::Error(pid) => (Some(pid), &b" err"[..]),
        Kind::Output(pid) => (Some(pid), &b" out"[..]),
    };
    if let Some(pid) = pid {
        stamp::append(wall_ms, out);
        out.push(b' ');
        out.extend_from_slice(pid.to_string().as_bytes());
        out.extend_from_slice(stream);
        if piece == Piece::Continued {
            out.push(b'+');
        }
        out.push(b' ');
    }
    out.extend_from_slice(text);
    out.push(b'\n');
}

impl Outputs {
    /// None yet.
    pub fn new() -> Self {
        Self { streams: BTreeMap::new(), next: 0, piece: vec![0; READ_BYTES] }
    }

    /// Read a pipe from now on, into the log of this path, which is released when the pipe ends.
    ///
    /// # Errors
    /// It cannot be waited for; then it is closed and the log released.
    pub fn add(&mut self, pipe: OwnedFd, kind: Kind, log: &str, logs: &Logs, poll: &mut Poll) -> io::Result<()> {
        let id = self.next;
        let watch = poll.watch(&pipe, Source::Stream(id), Interest::Read).inspect_err(|_| logs.release(log))?;
        self.next += 1;
        let stream = Stream { pipe, watch, kind, log: log.to_owned(), splitter: Splitter::default() };
        self.streams.insert(id, stream);
        Ok(())
    }

    /// Read one piece from a pipe that has some, or has ended. Returns whether there may be more.
    pub fn read(&mut self, id: u64, logs: &Logs, poll: &mut Poll) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let count = match rustix::io::read(&stream.pipe, &mut self.piece) {
            Ok(count) => count,
            Err(rustix::io::Errno::AGAIN) => return false,
            Err(rustix::io::Errno::INTR) => return true,
            Err(_) => 0,
        };
        let bytes = self.piece.get(..count).unwrap_or_default();
        let (wall_ms, kind) = (clock::wall_ms(), stream.kind);
        let (mut text, mut lines) = (Vec::with_capacity(count + count / 2), 0);
        let mut emit = |line: &[u8], piece| {
            format_line(kind, line, piece, wall_ms, &mut text);
            lines += 1;
        };
        if count == 0 {
            stream.splitter.finish(&mut emit);
        } else {
            stream.splitter.push(bytes, &mut emit);
        }
        if lines > 0 {
            logs.push(&stream.log, &text, lines);
        }
        if count == 0 {
            self.close(id, logs, poll);
        }
        count > 0
    }

    /// Read what is left in all pipes; a pipe holds a bounded number of bytes, and nobody is left to write.
    pub fn drain(&mut self, logs: &Logs, poll: &mut Poll) {
        let ids: Vec<_> = self.streams.keys().copied().collect();
        for id in ids {
            for _ in 0..=PIPE_BYTES / READ_BYTES {
                if !self.read(id, logs, poll) {
                    break;
                }
            }
        }
    }

    fn close(&mut self, id: u64, logs: &Logs, poll: &mut Poll) {
        if let Some(stream) = self.streams.remove(&id) {
            poll.forget(&stream.pipe, stream.watch);
            logs.release(&stream.log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind, piece: Piece) -> String {
        let mut out = Vec::new();
        format_line(kind, b"text", piece, 0, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_tells_when_who_and_which_stream() {
        assert_eq!(line(Kind::Output(42), Piece::Last), "1970-01-01T00:00:00.000Z 42 out text\n");
        assert_eq!(line(Kind::Error(42), Piece::Last), "1970-01-01T00:00:00.000Z 42 err text\n");
    }

    #[test]
    fn a_piece_of_a_long_line_is_marked() {
        assert_eq!(line(Kind::Error(42), Piece::Continued), "1970-01-01T00:00:00.000Z 42 err+ text\n");
    }

    #[test]
    fn a_line_of_the_access_log_stays_as_it_is() {
        assert_eq!(line(Kind::Access, Piece::Last), "text\n");
    }
}
