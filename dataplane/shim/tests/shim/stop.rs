//! The end: nothing is left.

use crate::rig::{alive, lines, marked, signal, text, until, Link, Rig};
use pinfold_wire::shim::{Role, ToShim};
use std::fs;

/// Something of everything; returns the variable by which its processes are known.
fn fill(rig: &Rig, link: &mut Link) -> String {
    let mark = format!("MARK={}", rig.directory.display());
    let daemon = "setsid sh -c 'sleep 600 &'; ";
    for (key, script) in [("a-1", "echo last words; exec sleep 600"), ("a-2", "trap '' TERM; sleep 600")] {
        let mut process = rig.shell(key, &format!("{daemon}{script}"));
        process.environment.push(mark.clone());
        link.spawn(process);
    }
    let mut proxy = rig.process("proxy-1", &["sleep", "600"]);
    proxy.role = Role::Proxy;
    proxy.environment.push(mark.clone());
    link.spawn(proxy);
    link.listen(&[(&format!("unix:{}", rig.path("web.sock").display()), 2)]).unwrap();
    lines(&rig.log("a-1"), 1);
    until("all of them run", || (marked(&mark).len() >= 6).then_some(()));
    mark
}

fn assert_nothing_is_left(rig: &Rig, mark: &str) {
    assert_eq!(marked(mark), Vec::<i32>::new());
    let mut names: Vec<_> =
        fs::read_dir(&rig.directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["logs", "shim.log"], "no socket is left");
    assert_eq!(text(&lines(&rig.log("a-1"), 1)[0]), "last words");
    assert_eq!(rig.journal(), "");
}

#[test]
fn stop_ends_every_tree_and_every_socket() {
    let mut rig = Rig::start();
    let mut link = rig.link();
    let mark = fill(&rig, &mut link);
    link.send(&ToShim::Stop);
    assert_eq!(rig.wait().code(), Some(0));
    assert_nothing_is_left(&rig, &mark);
    for key in ["a-1", "a-2", "proxy-1"] {
        assert_eq!(link.exit_of(key).exit.signal, Some(libc::SIGKILL), "exits are told to the last");
    }
}

#[test]
fn sigterm_is_as_good_as_stop() {
    let mut rig = Rig::start();
    let mut link = rig.link();
    let mark = fill(&rig, &mut link);
    drop(link);
    signal(rig.pid(), libc::SIGTERM);
    assert_eq!(rig.wait().code(), Some(0));
    assert_nothing_is_left(&rig, &mark);
}

#[test]
fn a_socket_that_another_shim_has_taken_over_is_left_to_it() {
    let mut rig = Rig::start();
    rig.link();
    fs::remove_file(rig.path("shim.sock")).unwrap();
    let successor = std::os::unix::net::UnixListener::bind(rig.path("shim.sock")).unwrap();
    signal(rig.pid(), libc::SIGTERM);
    rig.wait();
    assert!(rig.path("shim.sock").exists());
    drop(successor);
}

#[test]
fn lines_written_just_before_the_end_are_in_the_log() {
    let mut rig = Rig::start();
    let mut link = rig.link();
    let pid = link.spawn(rig.shell("a-1", "seq 1 20000; exec sleep 600"));
    lines(&rig.log("a-1"), 1);
    // However far the shim has read, what is in the pipe must not be lost.
    until("all is written", || {
        fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().starts_with("sleep").then_some(())
    });
    link.send(&ToShim::Stop);
    rig.wait();
    assert!(!alive(pid));
    assert_eq!(lines(&rig.log("a-1"), 20_000).len(), 20_000);
}
