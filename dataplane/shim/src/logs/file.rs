//! One open log file: appends whole lines, rotates by size, notices when somebody else moved the file away, and marks
//! the place where lines are missing. Used by the writer's thread only; it may be slow, and knows nothing of queues.

use super::queue::Batch;
use super::{rotate, Style};
use crate::{clock, journal, stamp};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Rights of a log file, and of a directory made for it.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// Lines that could not be written, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// How many.
    pub lines: u64,
    /// The error number of the last write.
    pub errno: Option<i32>,
}

/// See the head of the file.
pub struct OpenLog {
    path: PathBuf,
    file: Option<File>,
    /// Bytes in the file, all of them whole lines.
    bytes: u64,
    /// Bytes at which a rotation failed; the next is tried when as much again has been written.
    unrotated: u64,
    /// Lines missing since the last mark.
    unmarked: Loss,
}

impl OpenLog {
    /// The log of that path, not open yet; the first write opens it.
    pub fn closed(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, bytes: 0, unrotated: 0, unmarked: Loss::default() }
    }

    /// Open or create the file, and its directory.
    ///
    /// # Errors
    /// As open(2) and mkdir(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut log = Self::closed(path);
        log.reopen()?;
        Ok(log)
    }

    /// Write a batch; what could not be written is lost, and marked in the file as soon as it takes writes again.
    pub fn write(&mut self, batch: &Batch) -> Loss {
        let lost = self.follow().and_then(|()| self.mark(batch.style)).map_or_else(
            |error| Loss { lines: count_lines(&batch.text), errno: error.raw_os_error() },
            |()| self.append(batch),
        );
        self.unmarked.lines += lost.lines;
        self.unmarked.errno = lost.errno.or(self.unmarked.errno);
        if lost.lines == 0 && batch.overflow > 0 {
            self.unmarked = Loss { lines: batch.overflow, errno: None };
            let _ = self.mark(batch.style); // If it fails now, the mark is still to be made.
        } else {
            self.unmarked.lines += batch.overflow;
        }
        lost
    }

    fn append(&mut self, batch: &Batch) -> Loss {
        let mut rest = batch.text.as_slice();
        while !rest.is_empty() {
            let Some(room) = rotate::room(rest, self.bytes.saturating_sub(self.unrotated), batch.log.max_bytes) else {
                if let Err(error) = self.rotate(batch.log.keep) {
                    return Loss { lines: count_lines(rest), errno: error.raw_os_error() };
                }
                continue;
            };
            let (chunk, after) = rest.split_at(room.min(rest.len()));
            if let Err((kept, error)) = self.write_lines(chunk) {
                let lost = rest.get(kept..).unwrap_or_default();
                return Loss { lines: count_lines(lost), errno: error.raw_os_error() };
            }
            rest = after;
        }
        Loss::default()
    }

    /// Write whole lines; on failure tell how many bytes of them, again whole lines, are in the file.
    fn write_lines(&mut self, text: &[u8]) -> Result<(), (usize, io::Error)> {
        let Some(file) = &mut self.file else { return Err((0, io::ErrorKind::NotFound.into())) };
        let mut written = 0;
        let failure = loop {
            let rest = text.get(written..).unwrap_or_default();
            if rest.is_empty() {
                self.bytes += text.len() as u64;
                return Ok(());
            }
            match file.write(rest) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let kept = text.get(..written).and_then(|head| memchr::memrchr(b'\n', head)).map_or(0, |end| end + 1);
        if kept < written {
            let _ = file.set_len(self.bytes + kept as u64); // A partial line would spoil the next one.
        }
        self.bytes += kept as u64;
        Err((kept, failure))
    }

    fn mark(&mut self, style: Style) -> io::Result<()> {
        if self.unmarked.lines == 0 {
            return Ok(());
        }
        self.write_lines(&mark(self.unmarked, style, clock::wall_ms())).map_err(|(_, error)| error)?;
        self.unmarked = Loss::default();
        Ok(())
    }

    fn rotate(&mut self, keep: u32) -> io::Result<()> {
        if let Err(error) = rotate::rotate(&self.path, keep) {
            journal::note(format_args!("{}: cannot be rotated: {error}", self.path.display()));
            self.unrotated = self.bytes;
            return Ok(());
        }
        self.reopen()
    }

    /// Open anew if the path no longer leads to the open file: somebody moved or removed it, or it never was opened.
    fn follow(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return self.reopen() };
        let (open, named) = (file.metadata()?, std::fs::metadata(&self.path));
        match named {
            Ok(named) if same_file(&open, &named) => {
                if open.is_file() {
                    self.bytes = open.len(); // Truncated in place, perhaps.
                }
                Ok(())
            }
            _ => self.reopen(),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let file = open_for_append(&self.path)?;
        let metadata = file.metadata()?;
        self.bytes = if metadata.is_file() { metadata.len() } else { 0 };
        self.unrotated = 0;
        self.file = Some(file);
        Ok(())
    }
}

fn same_file(one: &Metadata, two: &Metadata) -> bool {
    (one.dev(), one.ino()) == (two.dev(), two.ino())
}

fn open_for_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Not to block for ever should the path lead to a pipe that nobody reads.
    options.append(true).create(true).mode(FILE_MODE).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    match (options.open(path), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent)?;
            options.open(path)
        }
        (opened, _) => opened,
    }
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// The line that stands where lines are missing.
fn mark(loss: Loss, style: Style, wall_ms: u64) -> Vec<u8> {
    let reason = loss.errno.map_or_else(|| "the disk was too slow".to_owned(), crate::errors::errno_text);
    let mut line = Vec::new();
    match style {
        Style::Stamped => {
            stamp::append(wall_ms, &mut line);
            line.extend_from_slice(format!(" pinfold dropped {} lines: {reason}\n", loss.lines).as_bytes());
        }
        Style::Verbatim => {
            line.extend_from_slice(b"{\"time\":\"");
            stamp::append(wall_ms, &mut line);
            line.extend_from_slice(format!("\",\"dropped\":{},\"reason\":\"{reason}\"}}\n", loss.lines).as_bytes());
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_missing_lines_fits_the_style_of_its_log() {
        let loss = Loss { lines: 3, errno: Some(28) };
        assert_eq!(
            String::from_utf8(mark(loss, Style::Stamped, 0)).unwrap(),
            "1970-01-01T00:00:00.000Z pinfold dropped 3 lines: No space left on device\n"
        );
        let loss = Loss { lines: 3, errno: None };
        assert_eq!(
            String::from_utf8(mark(loss, Style::Verbatim, 0)).unwrap(),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"dropped\":3,\"reason\":\"the disk was too slow\"}\n"
        );
    }
}
