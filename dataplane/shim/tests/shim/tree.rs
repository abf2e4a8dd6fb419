//! Signals to whole trees: nobody escapes, and nobody else is hit.

use crate::rig::{alive, lines, marked, text, until, Link, Rig};
use pinfold_wire::shim::Scope;
use std::fs;

/// A grandchild that left its session and lost its parent, and tells its pid.
const DAEMON: &str = "setsid sh -c 'sleep 600 & echo $!' ";

/// The pid a process wrote as line `number` of its log.
fn told(rig: &Rig, key: &str, number: usize) -> i32 {
    text(&lines(&rig.log(key), number)[number - 1]).parse().unwrap()
}

fn start(rig: &Rig, link: &mut Link, key: &str, script: &str) -> i32 {
    link.spawn(rig.shell(key, script));
    told(rig, key, 1)
}

#[test]
fn a_daemon_that_called_setsid_dies_with_the_tree() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = start(&rig, &mut link, "a-1", &format!("{DAEMON}; exec sleep 600"));
    assert!(alive(pid));
    link.kill_tree("a-1");
    assert!(!alive(pid));
    assert_eq!(link.exit_of("a-1").exit.signal, Some(libc::SIGKILL));
}

#[test]
fn what_a_process_left_behind_can_be_killed_after_its_exit() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = start(&rig, &mut link, "a-1", DAEMON);
    assert_eq!(link.exit_of("a-1").exit.code, Some(0));
    assert!(alive(pid));
    link.kill_tree("a-1");
    assert!(!alive(pid));
}

#[test]
fn an_orphan_that_cleared_its_environment_is_known_by_its_sid() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = start(&rig, &mut link, "a-1", "env -i sleep 600 & echo $!");
    link.exit_of("a-1");
    until("it has executed", || fs::read(format!("/proc/{pid}/environ")).unwrap().is_empty().then_some(()));
    link.kill_tree("a-1");
    assert!(!alive(pid));
}

#[test]
fn the_trees_of_others_are_left_alone() {
    let rig = Rig::start();
    let mut link = rig.link();
    let one = start(&rig, &mut link, "a-1", DAEMON);
    let two = start(&rig, &mut link, "a-2", DAEMON);
    let three = link.spawn(rig.process("a-3", &["sleep", "600"]));
    link.kill_tree("a-1");
    assert!(!alive(one));
    assert!(alive(two) && alive(three));
}

#[test]
fn a_signal_other_than_kill_reaches_the_whole_tree_once() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = start(&rig, &mut link, "a-1", &format!("{DAEMON}; exec sleep 600"));
    link.signal("a-1", libc::SIGTERM, Scope::Tree).unwrap();
    assert_eq!(link.exit_of("a-1").exit.signal, Some(libc::SIGTERM));
    until("the grandchild ends", || (!alive(pid)).then_some(()));
}

#[test]
fn a_tree_that_keeps_growing_is_killed_to_the_last() {
    let rig = Rig::start();
    let mut link = rig.link();
    let mark = format!("MARK={}", rig.directory.display());
    let mut process =
        rig.shell("a-1", "i=0; while [ $i -lt 5000 ]; do (sleep 600 &) ; i=$((i+1)); done; exec sleep 600");
    process.environment.push(mark.clone());
    link.spawn(process);
    until("it grows", || (marked(&mark).len() > 30).then_some(()));
    link.kill_tree("a-1");
    assert_eq!(marked(&mark), Vec::<i32>::new());
}

#[test]
fn the_exit_is_told_before_the_tree_is_said_to_be_gone() {
    let rig = Rig::start();
    let mut link = rig.link();
    for number in 0..20 {
        let key = format!("a-{number}");
        link.spawn(rig.process(&key, &["sleep", "600"]));
        link.kill_tree(&key);
        link.forget(&[&key]); // Would not forget one that has not ended.
    }
    assert_eq!(rig.greet().1.processes, []);
}

#[test]
fn orphans_that_end_are_reaped_though_nobody_knows_them() {
    let rig = Rig::start();
    let mut link = rig.link();
    link.run(rig.shell("a-1", "for i in 1 2 3 4 5; do (sleep 0.05 &); done"));
    let children = format!("/proc/{0}/task/{0}/children", rig.pid());
    until("no child is left", || fs::read_to_string(&children).unwrap().trim().is_empty().then_some(()));
}

#[test]
fn a_process_dies_with_the_shim() {
    let mut rig = Rig::start();
    let mut link = rig.link();
    let pid = link.spawn(rig.process("a-1", &["sleep", "600"]));
    rig.shim.kill().unwrap();
    rig.wait();
    until("the process dies", || (!alive(pid)).then_some(()));
}
