//! The thread that writes logs: takes work from the queue, and may wait for a disk as long as it likes.

use super::file::{Loss, OpenLog};
use super::queue::{Batch, Work};
use super::{Opened, Opening, Shared, State};
use crate::errors::errno;
use rustix::io::write;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

/// Logs that are open, by path.
type Files = BTreeMap<String, OpenLog>;

/// Work until told to finish, and there is no more to do.
pub fn run(shared: &Shared) {
    let mut files = Files::new();
    while let Some(work) = next(shared) {
        match work {
            Work::Open(opening) => answer(shared, open(&mut files, &opening)),
            Work::Write(batch) => {
                let loss = put(&mut files, &batch);
                account(shared, &batch, loss);
            }
            Work::Close(path) => drop(files.remove(&path)),
        }
    }
    shared.lock().finished = true;
    wake_loop(shared);
}

fn next(shared: &Shared) -> Option<Work> {
    let mut state = shared.lock();
    loop {
        if let Some(work) = state.queue.take() {
            return Some(work);
        }
        if state.finishing {
            return None;
        }
        state = wait(shared, state);
    }
}

fn wait<'a>(shared: &'a Shared, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    shared.work.wait(state).unwrap_or_else(PoisonError::into_inner)
}

fn open(files: &mut Files, opening: &Opening) -> Opened {
    for (log, _) in &opening.logs {
        if files.contains_key(&log.path) {
            continue;
        }
        match OpenLog::open(Path::new(&log.path)) {
            Ok(file) => drop(files.insert(log.path.clone(), file)),
            Err(error) => return Opened { token: opening.token, fault: Some((log.path.clone(), errno(&error))) },
        }
    }
    Opened { token: opening.token, fault: None }
}

fn put(files: &mut Files, batch: &Batch) -> Loss {
    let path = &batch.log.path;
    // One that could not be opened when it was wanted is tried again with each batch.
    files.entry(path.clone()).or_insert_with(|| OpenLog::closed(Path::new(path))).write(batch)
}

fn answer(shared: &Shared, opened: Opened) {
    shared.lock().opened.push(opened);
    wake_loop(shared);
}

fn account(shared: &Shared, batch: &Batch, loss: Loss) {
    let mut state = shared.lock();
    state.queue.written(batch.text.len());
    state.queue.dropped(&batch.log.path, loss.lines, loss.errno);
    drop(state);
    if loss.lines > 0 || batch.overflow > 0 {
        wake_loop(shared);
    }
}

fn wake_loop(shared: &Shared) {
    let _ = write(&shared.notice, &1_u64.to_ne_bytes()); // Full means the loop has yet to wake up: as good.
}
