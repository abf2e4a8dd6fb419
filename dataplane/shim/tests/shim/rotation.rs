//! Rotation of logs by size.

use crate::rig::{lines, text, until, Rig};
use std::fs;

#[test]
fn rotation_under_load_loses_no_line_and_keeps_the_order() {
    const LINES: usize = 200_000;
    let rig = Rig::start();
    let mut link = rig.link();
    let mut process = rig.process("a-1", &["seq", "1", &LINES.to_string()]);
    (process.log.max_bytes, process.log.keep) = (100_000, 1000);
    link.run(process);
    let log = rig.log("a-1");
    let rotated = |number: usize| rig.path(&format!("logs/a-1.log.{number}"));
    until("the last line", || fs::read_to_string(&log).ok()?.ends_with(&format!(" {LINES}\n")).then_some(()));
    let count = (1..).take_while(|number| rotated(*number).exists()).count();
    assert!(count > 10, "{count} rotations");
    let mut expected = 0;
    for path in (1..=count).rev().map(rotated).chain([log]) {
        assert!(fs::metadata(&path).unwrap().len() <= 100_000, "{}", path.display());
        for line in fs::read_to_string(&path).unwrap().lines() {
            expected += 1;
            assert_eq!(text(line), expected.to_string());
        }
    }
    assert_eq!(expected, LINES);
}

#[test]
fn only_as_many_files_are_kept_as_wanted() {
    let rig = Rig::start();
    let mut link = rig.link();
    let mut process = rig.process("a-1", &["seq", "1", "5000"]);
    (process.log.max_bytes, process.log.keep) = (10_000, 2);
    link.run(process);
    until("the last line", || fs::read_to_string(rig.log("a-1")).ok()?.ends_with(" 5000\n").then_some(()));
    let mut names: Vec<_> = fs::read_dir(rig.path("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a-1.log", "a-1.log.1", "a-1.log.2"]);
}

#[test]
fn a_log_goes_on_where_an_earlier_process_left_it() {
    let rig = Rig::start();
    let mut link = rig.link();
    for key in ["a-1", "a-2"] {
        let mut process = rig.shell(key, "echo line");
        process.log.path = rig.log("a").to_str().unwrap().to_owned();
        link.run(process);
    }
    assert_eq!(lines(&rig.log("a"), 2).len(), 2);
}
