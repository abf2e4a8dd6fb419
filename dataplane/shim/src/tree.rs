//! Which processes belong to one that was spawned, wherever they have gone, and how they are killed.
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Variable that marks every process of an instance; its value is the key.
pub const COOKIE: &str = "PINFOLD_PROCESS";

/// What `/proc` tells of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its parent.
    pub parent: i32,
    /// Its session.
    pub session: i32,
    /// The key in its environment, where that can be read.
    pub key: Option<String>,
}

/// The members of the tree of `leader`: its descendants, its session, and descendants of `shim` that bear its key.
pub fn members(entries: &BTreeMap<i32, Entry>, leader: i32, key: &str, shim: i32) -> BTreeSet<i32> {
    let marked = |pid: i32, one: &Entry| {
        one.session == leader || pid == leader || (one.key.as_deref() == Some(key) && below(entries, pid, shim))
    };
    let mut found: BTreeSet<i32> =
        entries.iter().filter(|(pid, one)| marked(**pid, one)).map(|(pid, _)| *pid).collect();
    found.extend(entries.keys().filter(|pid| below(entries, **pid, leader)));
    found.remove(&shim);
    found
}

fn below(entries: &BTreeMap<i32, Entry>, pid: i32, ancestor: i32) -> bool {
    let mut at = pid;
    for _ in 0..entries.len() {
        match entries.get(&at) {
            Some(entry) if entry.parent == ancestor => return true,
            Some(entry) => at = entry.parent,
            None => return false,
        }
    }
    false
}

/// Signals every member of the tree; returns how many there were.
///
/// # Errors
/// `/proc` cannot be read.
pub fn signal(leader: i32, key: &str, number: i32) -> io::Result<usize> {
    let shim = i32::try_from(std::process::id()).unwrap_or(0);
    let found = members(&read()?, leader, key, shim);
    for pid in &found {
        // SAFETY: plain system calls on numbers; a pidfd names the process that was just read, or one that is gone.
        unsafe {
            let pidfd = libc::syscall(libc::SYS_pidfd_open, *pid, 0);
            if pidfd >= 0 {
                libc::syscall(libc::SYS_pidfd_send_signal, pidfd, number, std::ptr::null::<libc::siginfo_t>(), 0);
                libc::close(i32::try_from(pidfd).unwrap_or(-1));
            }
        }
    }
    Ok(found.len())
}

fn read() -> io::Result<BTreeMap<i32, Entry>> {
    let pids = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(|pid| Some((pid, entry(pid)?))).collect())
}

fn entry(pid: i32) -> Option<Entry> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None; // It has ended; only its parent has not asked yet.
    }
    let (parent, _group, session) = (fields.next()?.parse().ok()?, fields.next()?, fields.next()?.parse().ok()?);
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let key = environment.split(|&byte| byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    });
    Some(Entry { parent, session, key })
}

/// Start time in clock ticks after boot (proc(5), field 22 of stat); 0 for a process that is gone.
pub fn start_ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_ascii_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(parent: i32, session: i32, key: Option<&str>) -> Entry {
        Entry { parent, session, key: key.map(str::to_owned) }
    }

    #[test]
    fn a_tree_has_those_who_left_the_session_or_lost_their_parent_and_nobody_else() {
        let entries = BTreeMap::from([
            (10, entry(1, 10, None)),             // the shim
            (20, entry(10, 20, Some("web.1-1"))), // the leader
            (21, entry(20, 20, None)),            // a child
            (22, entry(21, 22, None)),            // a grandchild with a session of its own
            (23, entry(10, 23, Some("web.1-1"))), // an orphan with a session of its own
            (24, entry(10, 20, None)),            // an orphan of the session
            (30, entry(10, 30, Some("web.2-2"))), // another instance
            (40, entry(1, 40, Some("web.1-1"))),  // one that bears the key but is not below the shim
        ]);
        assert_eq!(members(&entries, 20, "web.1-1", 10), BTreeSet::from([20, 21, 22, 23, 24]));
    }
}
