//! What a shim costs when nothing happens: the bounds of the design.

use crate::rig::{until, Rig};
use std::fs;

fn status(rig: &Rig, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", rig.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Voluntary switches of all threads.
fn wake_ups(rig: &Rig) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", rig.pid())).unwrap();
    let switches = |path: std::path::PathBuf| {
        let status = fs::read_to_string(path.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    threads.map(|thread| switches(thread.unwrap().path())).sum()
}

#[test]
fn an_idle_shim_is_small_and_does_not_wake() {
    let rig = Rig::start();
    let mut link = rig.link();
    for number in 0..20 {
        link.spawn(rig.shell(&format!("a-{number}"), "echo hello; exec sleep 600"));
    }
    // Idle once the log of the last is written and both threads sleep.
    let mut before = wake_ups(&rig);
    until("it comes to rest", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = wake_ups(&rig);
        std::mem::replace(&mut before, now).eq(&now).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(2)); // What is measured is that nothing happens in a time.
    assert_eq!(wake_ups(&rig), before);
    assert!(status(&rig, "VmRSS") <= 8 * 1024, "{} KiB", status(&rig, "VmRSS"));
}

#[test]
fn the_memory_of_a_burst_is_given_back() {
    let rig = Rig::start();
    let mut link = rig.link();
    let mut process = rig.shell("a-1", "head -c 100000000 /dev/zero | tr '\\0' x; exec sleep 600");
    process.log.max_bytes = 5_000_000;
    link.spawn(process);
    until("it is small again", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let written = fs::metadata(rig.log("a-1")).is_ok_and(|log| log.len() > 0);
        (written && status(&rig, "VmRSS") <= 8 * 1024).then_some(())
    });
}

#[test]
fn descriptors_do_not_pile_up() {
    let rig = Rig::start();
    let mut link = rig.link();
    let open = || fs::read_dir(format!("/proc/{}/fd", rig.pid())).unwrap().count();
    link.run(rig.shell("first", "exit 0"));
    let mut before = open();
    for round in 0..30 {
        let key = format!("a-{round}");
        let _ = link.try_spawn(rig.process(&format!("bad-{round}"), &["no-such-command"]));
        link.run(rig.shell(&key, "echo hello"));
        link.forget(&[&key]);
        if round == 0 {
            before = open();
        }
    }
    until("what was opened is closed", || (open() <= before).then_some(()));
}
