//! What becomes of what processes write.

use crate::rig::{lines, root, text, until, Link, Rig};
use pinfold_wire::shim::FromShim;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn dropped(link: &mut Link) -> (u64, Option<i32>) {
    link.expect(|message| match message {
        FromShim::Dropped(dropped) => Some((dropped.lines, dropped.errno)),
        _ => None,
    })
}

/// Wait until that many drops have been told of.
fn dropped_in_all(link: &mut Link, wanted: u64) -> Option<i32> {
    let (mut lines, mut errno) = dropped(link);
    while lines < wanted {
        let more = dropped(link);
        (lines, errno) = (lines + more.0, more.1);
    }
    assert_eq!(lines, wanted);
    errno
}

/// A file system of a few pages, until it is dropped.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(directory: &Path) -> Option<Self> {
        fs::create_dir(directory).unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let mounted =
            root() && Command::new("mount").args(arguments).arg(directory).status().is_ok_and(|it| it.success());
        mounted.then(|| Self(directory.to_owned()))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn each_line_has_time_pid_and_stream_and_the_last_need_not_end() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = link.spawn(rig.shell("a-1", "echo one; echo; sleep 0.1; printf 'two \\377' >&2"));
    until("three lines", || {
        (fs::read(rig.log("a-1")).ok()?.iter().filter(|byte| **byte == b'\n').count() == 3).then_some(())
    });
    let log = fs::read(rig.log("a-1")).unwrap();
    let lines: Vec<_> = log.split(|byte| *byte == b'\n').collect();
    for (line, rest) in lines.iter().zip([&b" out one"[..], b" out ", b" err two \xff"]) {
        let (stamp, after) = line.split_at(24);
        let stamp = std::str::from_utf8(stamp).unwrap();
        assert!(stamp.starts_with("20") && stamp.ends_with('Z') && &stamp[10..11] == "T", "{stamp}");
        assert_eq!(after, [format!(" {pid}").as_bytes(), rest].concat());
    }
}

#[test]
fn a_line_that_is_too_long_is_split_with_a_mark_and_nothing_is_lost() {
    let rig = Rig::start();
    let mut link = rig.link();
    link.spawn(rig.shell("a-1", "head -c 150000 /dev/zero | tr '\\0' x; echo; echo end"));
    let found: Vec<_> = lines(&rig.log("a-1"), 4);
    let streams: Vec<_> = found.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(streams, ["out+", "out+", "out", "out"]);
    let sizes: Vec<_> = found.iter().map(|line| text(line).len()).collect();
    assert_eq!(sizes, [65_536, 65_536, 150_000 - 2 * 65_536, 3]);
}

#[test]
fn processes_that_name_the_same_path_share_one_log() {
    let rig = Rig::start();
    let mut link = rig.link();
    for number in 0..4 {
        let mut process = rig.shell(&format!("a-{number}"), "for i in $(seq 500); do echo line; echo line >&2; done");
        process.log.path = rig.log("shared").to_str().unwrap().to_owned();
        link.spawn(process);
    }
    let found = lines(&rig.log("shared"), 4000);
    assert_eq!(found.len(), 4000);
    assert!(found.iter().all(|line| text(line) == "line"));
}

#[test]
fn a_descendant_is_read_after_the_exit_and_does_not_delay_it() {
    let rig = Rig::start();
    let mut link = rig.link();
    let gate = rig.path("gate");
    let waits = format!("(while [ ! -e {} ]; do sleep 0.01; done; echo late) & exit 4", gate.display());
    assert_eq!(link.run(rig.shell("a-1", &waits)).exit.code, Some(4));
    fs::write(&gate, "").unwrap();
    assert_eq!(text(&lines(&rig.log("a-1"), 1)[0]), "late");
}

#[test]
fn a_disk_that_takes_nothing_never_blocks_and_every_line_is_counted() {
    let rig = Rig::start();
    let mut link = rig.link();
    let mut process = rig.shell("a-1", "yes 123456789 | head -n 300000");
    process.log.path = "/dev/full".to_owned();
    assert_eq!(link.run(process).exit.code, Some(0));
    assert_eq!(dropped_in_all(&mut link, 300_000), Some(libc::ENOSPC));
}

/// Lines of programs in a log, and the sum of what its marks say is missing.
fn account(log: &Path) -> (u64, u64) {
    let found = fs::read_to_string(log).unwrap_or_default();
    let (marks, written): (Vec<_>, Vec<_>) = found.lines().partition(|line| line.contains(" pinfold dropped "));
    (written.len() as u64, marks.iter().map(|line| line.split(' ').nth(3).unwrap().parse::<u64>().unwrap()).sum())
}

#[test]
fn a_full_disk_never_blocks_and_what_is_missing_is_counted_and_marked() {
    const LINES: u64 = 2_000_000; // 100 MB, more than pipes and queues could ever hold.
    let rig = Rig::start();
    let mut link = rig.link();
    let directory = rig.path("tiny");
    let Some(_tiny) = Tiny::mount(&directory) else { return }; // Only where file systems can be mounted.
    let (ballast, gate, log) = (directory.join("ballast"), rig.path("gate"), directory.join("a.log"));
    fs::write(&ballast, vec![0; 200_000]).unwrap();
    let script = format!(
        "yes 0123456789012345678901234567890123456789012345678 | head -n {LINES}; echo done >&2; \
         while [ ! -e {} ]; do sleep 0.01; done; echo after",
        gate.display()
    );
    let mut process = rig.shell("a-1", &script);
    process.log.path = log.to_str().unwrap().to_owned();
    link.spawn(process);
    // Every line is in the log or in what is told, though the disk has no room for one in a thousand.
    let mut told = 0;
    while account(&log).0 + told < LINES + 1 {
        let (lines, errno) = dropped(&mut link);
        assert_eq!(errno, Some(libc::ENOSPC));
        told += lines;
    }
    assert_eq!(account(&log).0 + told, LINES + 1);
    fs::remove_file(&ballast).unwrap();
    fs::write(&gate, "").unwrap();
    assert_eq!(link.exit_of("a-1").exit.code, Some(0));
    until("the line after", || fs::read_to_string(&log).unwrap().ends_with(" out after\n").then_some(()));
    let (written, marked) = account(&log);
    assert_eq!((written + marked, marked), (LINES + 2, told));
    let found = fs::read_to_string(&log).unwrap();
    let whole = |line: &str| line.contains(" pinfold dropped ") || [49, 4, 5].contains(&text(line).len());
    assert!(found.lines().all(whole), "no torn line");
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew() {
    let rig = Rig::start();
    let mut link = rig.link();
    let gate = rig.path("gate");
    link.spawn(
        rig.shell("a-1", &format!("echo one; while [ ! -e {} ]; do sleep 0.01; done; echo two", gate.display())),
    );
    lines(&rig.log("a-1"), 1);
    fs::rename(rig.log("a-1"), rig.path("moved")).unwrap();
    fs::write(&gate, "").unwrap();
    assert_eq!(text(&lines(&rig.log("a-1"), 1)[0]), "two");
    assert_eq!(lines(&rig.path("moved"), 1).len(), 1);
}

#[test]
fn a_directory_that_is_missing_is_made_and_files_are_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::start();
    let mut process = rig.shell("a-1", "echo one");
    let log = rig.path("deep/er/a.log");
    process.log.path = log.to_str().unwrap().to_owned();
    rig.link().run(process);
    lines(&log, 1);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(rig.path("deep")).unwrap().permissions().mode() & 0o777, 0o750);
}
