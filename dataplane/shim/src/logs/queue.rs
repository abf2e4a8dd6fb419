//! What waits to be written, bounded in bytes; lines that find no room are counted. Pure: the loop and the writer share
//! it under a lock held for no longer than a copy.

use super::{Opening, Style};
use pinfold_wire::shim::LogFile;
use std::collections::{BTreeMap, VecDeque};

/// Most bytes that wait for one log.
pub const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes that wait in all.
pub const MAX_QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Most logs whose drops are remembered after they are closed.
const MAX_TALLIES: usize = 1024;

/// Lines dropped and not yet told to the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub lines: u64,
    /// Error of the last failed write; absent when the writer fell behind.
    pub errno: Option<i32>,
}

/// Work for the writer.
pub enum Work {
    /// Open these logs and tell the outcome.
    Open(Opening),
    /// Write this text.
    Write(Batch),
    /// Nobody writes to the log of this path any more.
    Close(String),
}

/// Text for one log: whole lines.
pub struct Batch {
    /// Which log, and its bounds.
    pub log: LogFile,
    /// What its lines look like.
    pub style: Style,
    /// The lines.
    pub text: Vec<u8>,
    /// How many lines were dropped after them, because the queue was full.
    pub overflow: u64,
}

struct Waiting {
    log: LogFile,
    style: Style,
    /// Streams and spawns that need the log open.
    holders: usize,
    text: Vec<u8>,
    overflow: u64,
    /// Whether `turns` names it.
    queued: bool,
}

/// See the head of the file.
#[derive(Default)]
pub struct Queue {
    logs: BTreeMap<String, Waiting>,
    /// Logs with something to write or to close, in turn.
    turns: VecDeque<String>,
    openings: VecDeque<Opening>,
    /// Bytes waiting, and those the writer has taken and not yet dealt with.
    bytes: usize,
    tallies: BTreeMap<String, Tally>,
}

impl Queue {
    /// Hold these logs open from now on; the writer is to open them and answer under `opening.token`.
    pub fn open(&mut self, opening: Opening) {
        for (log, style) in &opening.logs {
            let fresh = || Waiting {
                log: log.clone(),
                style: *style,
                holders: 0,
                text: Vec::new(),
                overflow: 0,
                queued: false,
            };
            let waiting = self.logs.entry(log.path.clone()).or_insert_with(fresh);
            waiting.holders += 1;
            waiting.log.clone_from(log); // The newest bounds hold for all who share the path.
            waiting.style = *style;
        }
        self.openings.push_back(opening);
    }

    /// One holder less; the last one has the log closed once it is written.
    pub fn release(&mut self, path: &str) {
        if let Some(waiting) = self.logs.get_mut(path) {
            waiting.holders = waiting.holders.saturating_sub(1);
            if waiting.holders == 0 {
                Self::enqueue(&mut self.turns, path, waiting);
            }
        }
    }

    /// Add `text`, which holds `lines` whole lines, or count them as dropped if there is no room.
    pub fn push(&mut self, path: &str, text: &[u8], lines: u64) {
        let Some(waiting) = self.logs.get_mut(path) else { return };
        // After a drop the rest waits too, until the writer has come by: the mark must stand where lines are missing.
        let fits = waiting.text.len() + text.len() <= MAX_LOG_BYTES && self.bytes + text.len() <= MAX_QUEUE_BYTES;
        if fits && waiting.overflow == 0 {
            waiting.text.extend_from_slice(text);
            self.bytes += text.len();
        } else {
            waiting.overflow += lines;
            self.dropped(path, lines, None);
        }
        if let Some(waiting) = self.logs.get_mut(path) {
            Self::enqueue(&mut self.turns, path, waiting);
        }
    }

    /// Count lines as dropped.
    pub fn dropped(&mut self, path: &str, lines: u64, errno: Option<i32>) {
        if lines == 0 || self.tallies.len() >= MAX_TALLIES && !self.tallies.contains_key(path) {
            return;
        }
        let tally = self.tallies.entry(path.to_owned()).or_default();
        tally.lines += lines;
        tally.errno = errno;
    }

    /// The next thing for the writer to do. Bytes of a batch stay counted until [`Queue::written`].
    pub fn take(&mut self) -> Option<Work> {
        if let Some(opening) = self.openings.pop_front() {
            return Some(Work::Open(opening));
        }
        while let Some(path) = self.turns.pop_front() {
            let Some(waiting) = self.logs.get_mut(&path) else { continue };
            waiting.queued = false;
            if !waiting.text.is_empty() || waiting.overflow > 0 {
                return Some(Work::Write(self.batch(&path)?));
            }
            if waiting.holders == 0 {
                self.logs.remove(&path);
                return Some(Work::Close(path));
            }
        }
        None
    }

    fn batch(&mut self, path: &str) -> Option<Batch> {
        let waiting = self.logs.get_mut(path)?;
        let batch = Batch {
            log: waiting.log.clone(),
            style: waiting.style,
            text: std::mem::take(&mut waiting.text),
            overflow: std::mem::take(&mut waiting.overflow),
        };
        if waiting.holders == 0 {
            Self::enqueue(&mut self.turns, path, waiting); // Comes again to be closed.
        }
        Some(batch)
    }

    /// The writer is through with that many bytes.
    pub fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Paths of logs with drops to tell.
    pub fn untold(&self) -> impl Iterator<Item = &String> {
        self.tallies.keys()
    }

    /// Take what is to be told of a log.
    pub fn tell(&mut self, path: &str) -> Option<Tally> {
        self.tallies.remove(path)
    }

    fn enqueue(turns: &mut VecDeque<String>, path: &str, waiting: &mut Waiting) {
        if !waiting.queued {
            waiting.queued = true;
            turns.push_back(path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(path: &str) -> (LogFile, Style) {
        (LogFile { path: path.to_owned(), max_bytes: 0, keep: 0 }, Style::Stamped)
    }

    fn opened(paths: &[&str]) -> Queue {
        let mut queue = Queue::default();
        queue.open(Opening { token: 1, logs: paths.iter().map(|path| log(path)).collect() });
        assert!(matches!(queue.take(), Some(Work::Open(opening)) if opening.token == 1));
        queue
    }

    fn next_batch(queue: &mut Queue) -> Batch {
        match queue.take() {
            Some(Work::Write(batch)) => batch,
            _ => panic!("no batch"),
        }
    }

    #[test]
    fn lines_of_one_log_leave_in_one_batch_and_logs_take_turns() {
        let mut queue = opened(&["/a", "/b"]);
        queue.push("/a", b"1\n", 1);
        queue.push("/b", b"2\n", 1);
        queue.push("/a", b"3\n", 1);
        assert_eq!(next_batch(&mut queue).text, b"1\n3\n");
        assert_eq!(next_batch(&mut queue).text, b"2\n");
        assert!(queue.take().is_none());
    }

    #[test]
    fn lines_past_the_bound_are_counted_until_the_writer_has_come_by() {
        let mut queue = opened(&["/a"]);
        queue.push("/a", &vec![b'x'; MAX_LOG_BYTES], 10);
        queue.push("/a", b"more\n", 3);
        queue.push("/a", b"", 1);
        let batch = next_batch(&mut queue);
        assert_eq!((batch.text.len(), batch.overflow), (MAX_LOG_BYTES, 4));
        queue.written(batch.text.len());
        queue.push("/a", b"again\n", 1);
        assert_eq!(next_batch(&mut queue).overflow, 0);
        assert_eq!(queue.tell("/a"), Some(Tally { lines: 4, errno: None }));
        assert_eq!(queue.tell("/a"), None);
    }

    #[test]
    fn bytes_the_writer_has_not_dealt_with_count_against_all_logs() {
        let mut queue = opened(&["/a", "/b", "/c"]);
        for path in ["/a", "/b"] {
            queue.push(path, &vec![b'x'; MAX_LOG_BYTES], 1);
            next_batch(&mut queue);
        }
        queue.push("/c", b"line\n", 1);
        assert_eq!(queue.tell("/c"), Some(Tally { lines: 1, errno: None }));
    }

    #[test]
    fn a_log_is_closed_after_its_last_lines_and_only_when_nobody_holds_it() {
        let mut queue = opened(&["/a"]);
        queue.open(Opening { token: 2, logs: vec![log("/a")] });
        assert!(matches!(queue.take(), Some(Work::Open(_))));
        queue.release("/a");
        assert!(queue.take().is_none());
        queue.push("/a", b"last\n", 1);
        queue.release("/a");
        assert_eq!(next_batch(&mut queue).text, b"last\n");
        assert!(matches!(queue.take(), Some(Work::Close(path)) if path == "/a"));
    }

    #[test]
    fn a_log_held_again_before_it_was_closed_stays_open() {
        let mut queue = opened(&["/a"]);
        queue.release("/a");
        queue.open(Opening { token: 2, logs: vec![log("/a")] });
        assert!(matches!(queue.take(), Some(Work::Open(_))));
        assert!(queue.take().is_none());
        queue.push("/a", b"on\n", 1);
        assert_eq!(next_batch(&mut queue).text, b"on\n");
    }
}
