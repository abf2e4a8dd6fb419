//! Log files: one object a path, shared by the processes that name it, written by one thread.
//!
//! Reading a program's output never waits for a disk: lines go through a bounded queue, and what does not fit, or
//! cannot be written, is dropped whole and counted.
use pinfold_wire::shim::{Dropped, LogFile};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};

/// Bytes that may wait for the writer over all logs.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Reports of the writer; asynchronous because the loop of the shim waits for them.
pub type Drops = tokio::sync::mpsc::UnboundedSender<Dropped>;

enum Job {
    Write { file: LogFile, text: Vec<u8>, lines: u64 },
    Finish(mpsc::Sender<()>),
}

/// The writer and the queue before it.
#[derive(Clone)]
pub struct Logs {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    missed: Arc<AtomicU64>,
}

impl Logs {
    /// Starts the writer thread; dropped lines are told to `drops`.
    pub fn start(drops: Drops) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let missed = Arc::new(AtomicU64::new(0));
        let (waiting_there, missed_there) = (Arc::clone(&waiting), Arc::clone(&missed));
        std::thread::Builder::new()
            .name("logs".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || write_all(&queue, &waiting_there, &missed_there, &drops))?;
        Ok(Self { jobs, waiting, missed })
    }

    /// Queues `lines` whole lines; drops and counts them when the writer is too far behind.
    pub fn write(&self, file: &LogFile, text: Vec<u8>, lines: u64) {
        let bytes = text.len();
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.missed.fetch_add(lines, Ordering::Relaxed);
            return;
        }
        // A writer that is gone has nothing left to write to; the program must run on all the same.
        drop(self.jobs.send(Job::Write { file: file.clone(), text, lines }));
    }

    /// Returns once all that was queued is written, or after five seconds.
    pub fn finish(&self) {
        let (done, wait) = mpsc::channel();
        if self.jobs.send(Job::Finish(done)).is_ok() {
            let _ = wait.recv_timeout(std::time::Duration::from_secs(5));
        }
    }
}

fn write_all(queue: &mpsc::Receiver<Job>, waiting: &AtomicUsize, missed: &AtomicU64, drops: &Drops) {
    let mut open: HashMap<String, OpenLog> = HashMap::new();
    while let Ok(job) = queue.recv() {
        let (file, text, lines) = match job {
            Job::Write { file, text, lines } => (file, text, lines),
            Job::Finish(done) => {
                let _ = done.send(());
                continue;
            }
        };
        waiting.fetch_sub(text.len(), Ordering::Relaxed);
        let log = open.entry(file.path.clone()).or_insert_with(|| OpenLog::new(&file));
        let behind = missed.swap(0, Ordering::Relaxed);
        let errno = log.append(&file, &text).err().map(|error| error.raw_os_error().unwrap_or(libc::EIO));
        let lost = behind + if errno.is_some() { lines } else { 0 };
        if lost > 0 {
            drop(drops.send(Dropped { path: file.path, lines: lost, errno }));
        }
    }
}

struct OpenLog {
    path: PathBuf,
    file: Option<(File, u64)>,
}

impl OpenLog {
    fn new(file: &LogFile) -> Self {
        Self { path: PathBuf::from(&file.path), file: None }
    }

    /// Appends whole lines; on an error what was written of them is taken back.
    fn append(&mut self, limits: &LogFile, text: &[u8]) -> std::io::Result<()> {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if self.file.as_ref().is_some_and(|(_, size)| *size > 0 && size + length > limits.max_bytes) {
            self.file = None;
            rotate(&self.path, limits.keep)?;
        }
        let (mut file, size) = match self.file.take() {
            Some(open) => open,
            None => open_log(&self.path)?,
        };
        if let Err(error) = file.write_all(text) {
            // The half line that was written would join the next whole one.
            drop(file.set_len(size));
            return Err(error);
        }
        self.file = Some((file, size + length));
        Ok(())
    }
}

fn open_log(path: &Path) -> std::io::Result<(File, u64)> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// `path` becomes `path.1`, that `path.2` and so on; the one past `keep` is gone.
fn rotate(path: &Path, keep: u32) -> std::io::Result<()> {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    for number in (1..keep).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_lost_while_rotating() {
        let directory = std::env::temp_dir().join(format!("pinfold-logs-{}", std::process::id()));
        let path = directory.join("a.log");
        let limits = LogFile { path: path.display().to_string(), max_bytes: 4096, keep: 1000 };
        let (drops, mut dropped) = tokio::sync::mpsc::unbounded_channel();
        let logs = Logs::start(drops).unwrap();
        for number in 0..5000 {
            logs.write(&limits, format!("line {number}\n").into_bytes(), 1);
        }
        logs.finish();
        let total: usize = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap().lines().count())
            .sum();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(total, 5000);
        assert!(dropped.try_recv().is_err());
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let limits = LogFile { path: "/dev/full".to_owned(), max_bytes: 4096, keep: 1 };
        let (drops, mut dropped) = tokio::sync::mpsc::unbounded_channel();
        let logs = Logs::start(drops).unwrap();
        logs.write(&limits, b"a\nb\n".to_vec(), 2);
        logs.finish();
        let report = dropped.try_recv().unwrap();
        assert_eq!((report.lines, report.errno), (2, Some(libc::ENOSPC)));
    }
}
