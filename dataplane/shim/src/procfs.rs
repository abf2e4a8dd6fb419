//! What `/proc` says of processes (proc(5)): who is whose child, when it began, what it was started with.

use std::fs;
use std::os::unix::ffi::OsStrExt;

/// Most bytes of an environment that are looked at.
const MAX_ENVIRONMENT_BYTES: u64 = 4 * 1024 * 1024;

/// A process as it was seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub sid: i32,
    /// When it began, in clock ticks after boot: with the pid, its identity.
    pub start_ticks: u64,
    /// Whether it has ended, and only waits to be reaped.
    pub dead: bool,
}

/// Every process this one can see.
pub fn all() -> Vec<Seen> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| std::str::from_utf8(entry.ok()?.file_name().as_bytes()).ok()?.parse().ok());
    pids.filter_map(one).collect()
}

/// One process, if it is still there.
pub fn one(pid: i32) -> Option<Seen> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The value of a variable in the environment a process was started with, if this user may look.
pub fn variable(pid: i32, name: &str) -> Option<String> {
    use std::io::Read;
    let mut environment = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(MAX_ENVIRONMENT_BYTES).read_to_end(&mut environment).ok()?;
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Read `/proc/PID/stat`. The name of the program, in parentheses, may hold anything, more parentheses included.
fn parse_stat(stat: &[u8]) -> Option<Seen> {
    let open = memchr::memchr(b'(', stat)?;
    let close = memchr::memrchr(b')', stat)?;
    let pid = std::str::from_utf8(stat.get(..open)?).ok()?.trim().parse().ok()?;
    let mut fields = std::str::from_utf8(stat.get(close + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Seen {
        pid,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        sid: fields.next()?.parse().ok()?,
        start_ticks: fields.nth(15)?.parse().ok()?, // Field 22; the next here would be field 7.
        dead: matches!(state, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = b"42 (a) Z (b) S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9 9\n";
        let wanted = Seen { pid: 42, parent: 7, group: 42, sid: 41, start_ticks: 123_456, dead: false };
        assert_eq!(parse_stat(stat), Some(wanted));
    }

    #[test]
    fn a_zombie_is_dead_and_a_cut_line_is_nothing() {
        let stat = b"42 (a) Z 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5 9\n";
        assert!(parse_stat(stat).unwrap().dead);
        assert_eq!(parse_stat(&stat[..20]), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn the_own_process_is_seen() {
        let own = i32::try_from(std::process::id()).unwrap();
        let seen = one(own).unwrap();
        assert_eq!((seen.pid, seen.dead), (own, false));
        assert!(all().contains(&seen));
    }
}
