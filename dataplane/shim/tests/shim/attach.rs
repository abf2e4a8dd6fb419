//! Daemons come and go.

use crate::rig::{alive, signal, until, Rig};
use pinfold_wire::shim::{Exit, FromShim, Role, ToShim};
use pinfold_wire::{Hello, PROTOCOL, VERSION};

#[test]
fn a_daemon_that_comes_back_finds_everything() {
    let rig = Rig::start();
    let mut link = rig.link();
    link.listen(&[(&format!("unix:{}", rig.path("a.sock").display()), 2)]).unwrap();
    let pid = link.spawn(rig.process("a-1", &["sleep", "600"]));
    link.run(rig.shell("b-2", "exit 7"));
    drop(link);
    let (mut link, hello) = rig.greet();
    assert_eq!((hello.protocol, hello.version.as_str(), hello.pid), (PROTOCOL, VERSION, rig.pid()));
    assert_eq!(hello.addresses.len(), 1);
    let [running, ended] = hello.processes.as_slice() else { panic!("{hello:?}") };
    assert_eq!((running.key.as_str(), running.label.as_str(), running.pid), ("a-1", "label of a-1", pid));
    assert_eq!((running.role, &running.exit), (Role::Program, &None));
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert_eq!(running.start_ticks.to_string(), stat.split(' ').nth(21).unwrap());
    assert_eq!(ended.exit, Some(Exit { code: Some(7), signal: None }));
    link.forget(&["a-1", "b-2", "unknown"]);
    let left: Vec<_> = rig.greet().1.processes.into_iter().map(|process| process.key).collect();
    assert_eq!(left, ["a-1"], "only what has ended is forgotten");
}

#[test]
fn an_exit_nobody_heard_of_is_told_to_the_next() {
    let rig = Rig::start();
    let mut link = rig.link();
    let gate = rig.path("gate");
    let pid = link.spawn(rig.shell("a-1", &format!("while [ ! -e {} ]; do sleep 0.01; done; exit 5", gate.display())));
    drop(link);
    std::fs::write(&gate, "").unwrap();
    until("the process ends", || (!alive(pid)).then_some(()));
    assert_eq!(rig.greet().1.processes[0].exit, Some(Exit { code: Some(5), signal: None }));
}

#[test]
fn a_spawn_whose_asker_left_is_found_by_the_next() {
    let rig = Rig::start();
    let mut link = rig.link();
    let process = rig.process("a-1", &["sleep", "600"]);
    link.send(&ToShim::Spawn(Box::new(pinfold_wire::shim::Spawn { serial: 1, process })));
    drop(link);
    until("the process is told of", || (rig.greet().1.processes.len() == 1).then_some(()));
}

#[test]
fn a_newer_daemon_takes_the_place_of_the_older() {
    let rig = Rig::start();
    let mut old = rig.link();
    let mut new = rig.link();
    assert_eq!(old.receive(), None);
    new.run(rig.shell("a-1", "exit 0"));
}

#[test]
fn a_connection_that_says_nothing_displaces_nobody() {
    let rig = Rig::start();
    let mut link = rig.link();
    let idle: Vec<_> = (0..50).map(|_| rig.connect()).collect();
    link.run(rig.shell("a-1", "exit 0"));
    drop(idle);
}

#[test]
fn a_daemon_of_another_version_is_told_so_and_left() {
    let rig = Rig::start();
    let mut ours = rig.link();
    let mut other = rig.connect();
    other.send(&ToShim::Hello(Hello { protocol: PROTOCOL, version: "0.0.0".to_owned() }));
    let Some(FromShim::Hello(hello)) = other.receive() else { panic!("no hello") };
    assert_eq!(hello.version, VERSION);
    assert_eq!(other.receive(), None);
    ours.run(rig.shell("a-1", "exit 0"));
}

#[test]
fn nonsense_closes_its_connection_and_no_other() {
    let rig = Rig::start();
    let mut ours = rig.link();
    let framed = |json: &[u8]| [&u32::try_from(json.len()).unwrap().to_be_bytes(), json].concat();
    for bytes in [
        vec![0xff; 4],
        framed(b"not json"),
        framed(br#"{"type":"unknown"}"#),
        framed(br#"{"type":"forget","serial":1,"keys":[],"more":1}"#),
        framed(br#"{"type":"stop"}"#), // Before hello.
    ] {
        let mut link = rig.connect();
        link.send_bytes(&bytes);
        assert_eq!(link.receive(), None, "{bytes:?}");
    }
    ours.run(rig.shell("a-1", "exit 0"));
    assert!(rig.journal().contains("a connection is closed: not a message of this protocol"));
}

#[test]
fn a_frame_may_come_byte_by_byte_and_several_at_once() {
    let rig = Rig::start();
    let mut link = rig.connect();
    for byte in pinfold_wire::encode(&ToShim::Hello(Hello::ours())).unwrap() {
        link.send_bytes(&[byte]);
    }
    assert!(matches!(link.receive(), Some(FromShim::Hello(_))));
    let forget = |serial| ToShim::Forget(pinfold_wire::shim::Forget { serial, keys: Vec::new() });
    let many: Vec<u8> = (0..1000).flat_map(|serial| pinfold_wire::encode(&forget(serial)).unwrap()).collect();
    link.send_bytes(&many);
    for serial in 0..1000 {
        assert_eq!(link.receive(), Some(FromShim::Done(pinfold_wire::shim::Done { serial })));
    }
}

#[test]
fn hangup_and_interrupt_are_not_for_the_shim() {
    let rig = Rig::start();
    let mut link = rig.link();
    signal(rig.pid(), libc::SIGHUP);
    signal(rig.pid(), libc::SIGINT);
    link.run(rig.shell("a-1", "exit 0"));
}

#[test]
fn a_shim_describes_itself() {
    let run = |argument| std::process::Command::new(env!("CARGO_BIN_EXE_pinfold-shim")).arg(argument).output().unwrap();
    assert_eq!(String::from_utf8(run("--version").stdout).unwrap().trim(), VERSION);
    let described = String::from_utf8(run("--describe").stdout).unwrap();
    let wanted = format!(
        r#"{{"protocol":{PROTOCOL},"version":"{VERSION}","messages":{{"to_shim":["hello", "listen", "spawn", "signal", "forget", "stop"],"from_shim":["hello", "done", "failed", "spawned", "exited", "dropped"]}},"steps":["key", "log", "pipe", "fork", "setsid", "pdeathsig", "stdio", "rlimit", "setgroups", "setgid", "setuid", "chdir", "exec"],"limits":{{"backlog":4096,"frame_bytes":16777216,"line_bytes":65536,"log_queue_bytes":4194304,"logs_queue_bytes":8388608,"sockets_per_address":253}}}}"#
    );
    assert_eq!(described.trim(), wanted);
    assert_eq!(run("--nonsense").status.code(), Some(2));
}
