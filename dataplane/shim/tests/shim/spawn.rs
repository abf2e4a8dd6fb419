//! How processes start, what they find, and how their end is told.

use crate::rig::{alive, lines, root, signal, text, until, Rig};
use pinfold_wire::shim::{Exit, Identity, Resource, Rlimit, Scope};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_exit_status_is_told() {
    let rig = Rig::start();
    let exited = rig.link().run(rig.shell("a-1", "exit 3"));
    assert_eq!(exited.exit, Exit { code: Some(3), signal: None });
}

#[test]
fn a_signal_that_ends_a_process_is_told_real_time_ones_too() {
    let rig = Rig::start();
    let mut link = rig.link();
    for number in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV, libc::SIGRTMIN() + 3] {
        let key = format!("a-{number}");
        link.spawn(rig.process(&key, &["sleep", "60"]));
        link.signal(&key, number, Scope::Process).unwrap();
        assert_eq!(link.exit_of(&key).exit, Exit { code: None, signal: Some(number) });
    }
}

#[test]
fn a_process_that_has_ended_can_be_signalled_in_vain_and_an_unknown_one_not_at_all() {
    let rig = Rig::start();
    let mut link = rig.link();
    link.run(rig.shell("a-1", "exit 0"));
    link.signal("a-1", libc::SIGTERM, Scope::Process).unwrap();
    link.signal("a-1", libc::SIGKILL, Scope::Tree).unwrap();
    let problems = link.signal("b-1", libc::SIGTERM, Scope::Process).unwrap_err();
    assert_eq!((problems[0].place.as_str(), problems[0].errno), ("b-1", Some(libc::ESRCH)));
}

#[test]
fn a_signal_that_is_none_is_refused() {
    let rig = Rig::start();
    let mut link = rig.link();
    link.spawn(rig.process("a-1", &["sleep", "60"]));
    let problems = link.signal("a-1", 999, Scope::Process).unwrap_err();
    assert_eq!(problems[0].errno, Some(libc::EINVAL));
}

#[test]
fn a_failed_start_names_the_step_the_cause_and_the_error() {
    let rig = Rig::start();
    let mut link = rig.link();
    let stale = rig.path("stale");
    fs::write(&stale, "#!/no/such/python\n").unwrap();
    fs::set_permissions(&stale, fs::Permissions::from_mode(0o755)).unwrap();
    let mut homeless = rig.shell("a-1", "exit 0");
    homeless.working_directory = "/no/such/directory".to_owned();
    let mut unlogged = rig.shell("a-1", "exit 0");
    unlogged.log.path = "/proc/no/such.log".to_owned();
    for (process, step, errno, told) in [
        (rig.process("a-1", &["no-such-command"]), "exec", libc::ENOENT, "not found in PATH="),
        (rig.process("a-1", &["/no/such/command"]), "exec", libc::ENOENT, "/no/such/command: No such file"),
        (rig.process("a-1", &["/etc/passwd"]), "exec", libc::EACCES, "/etc/passwd: may not be executed"),
        (rig.process("a-1", &[stale.to_str().unwrap()]), "exec", libc::ENOENT, "interpreter"),
        (rig.process("a-1", &[]), "exec", libc::EINVAL, "no program is named"),
        (homeless, "chdir", libc::ENOENT, "cannot enter /no/such/directory"),
        (unlogged, "log", libc::ENOENT, "/proc/no/such.log cannot be opened"),
    ] {
        let problem = link.try_spawn(process).unwrap_err();
        assert_eq!((problem.place.as_str(), problem.errno), (step, Some(errno)), "{problem:?}");
        assert!(problem.what.contains(told), "{problem:?}");
    }
    assert_eq!(rig.greet().1.processes, [], "a failed start leaves no record");
}

#[test]
fn a_key_cannot_be_used_twice_until_it_is_forgotten() {
    let rig = Rig::start();
    let mut link = rig.link();
    link.run(rig.shell("a-1", "exit 0"));
    assert_eq!(link.try_spawn(rig.shell("a-1", "exit 0")).unwrap_err().place, "key");
    link.forget(&["a-1"]);
    link.run(rig.shell("a-1", "exit 0"));
}

#[test]
fn the_environment_is_exactly_as_given_plus_the_cookie() {
    let rig = Rig::start();
    let mut process = rig.process("a-1", &["/usr/bin/env"]);
    process.environment = vec!["B=two words".to_owned(), "NAME=Zoë".to_owned(), "A=".to_owned()];
    rig.link().run(process);
    let found: Vec<_> = lines(&rig.log("a-1"), 4).iter().map(|line| text(line).to_owned()).collect();
    assert_eq!(found, ["B=two words", "NAME=Zoë", "A=", "PINFOLD_PROCESS=a-1"]);
}

#[test]
fn a_process_leads_its_own_sid_and_group() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = link.spawn(rig.process("a-1", &["/bin/cat", "/proc/self/stat"]));
    let stat = lines(&rig.log("a-1"), 1).remove(0);
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split(' ').skip(2).take(3).collect();
    assert_eq!(fields, [rig.pid().to_string(), pid.to_string(), pid.to_string()]);
}

#[test]
fn a_process_has_three_descriptors_and_no_signal_blocked_or_ignored() {
    let rig = Rig::start();
    let mut link = rig.link();
    // Sockets and pipes of others are there to leak.
    link.listen(&[(&format!("unix:{}", rig.path("a.sock").display()), 2)]).unwrap();
    link.spawn(rig.process("other-1", &["sleep", "60"]));
    link.run(rig.shell("a-1", "ls /proc/$$/fd; readlink /proc/$$/fd/0; grep -E 'Sig(Blk|Ign)' /proc/self/status"));
    let found: Vec<_> = lines(&rig.log("a-1"), 6).iter().map(|line| text(line).to_owned()).collect();
    let none = "0000000000000000";
    assert_eq!(found, ["0", "1", "2", "/dev/null", &format!("SigBlk:\t{none}"), &format!("SigIgn:\t{none}")]);
}

#[test]
fn directory_umask_and_limits_are_set() {
    let rig = Rig::start();
    let mut process = rig.shell("a-1", "pwd; umask; ulimit -n; ulimit -Hn; ulimit -c");
    process.working_directory = "/usr/lib".to_owned();
    process.umask = 0o027;
    process.rlimits =
        vec![Rlimit { resource: Resource::OpenFiles, value: 123 }, Rlimit { resource: Resource::Core, value: 0 }];
    rig.link().run(process);
    let found: Vec<_> = lines(&rig.log("a-1"), 5).iter().map(|line| text(line).to_owned()).collect();
    assert_eq!(found, ["/usr/lib", "0027", "123", "123", "0"]);
}

#[test]
fn the_limit_of_descriptors_is_the_one_the_shim_was_started_with() {
    let rig = Rig::start();
    rig.link().run(rig.shell("a-1", "ulimit -n"));
    let ours = std::process::Command::new("/bin/sh").args(["-c", "ulimit -n"]).output().unwrap();
    assert_eq!(text(&lines(&rig.log("a-1"), 1)[0]), String::from_utf8(ours.stdout).unwrap().trim());
}

#[test]
fn a_process_gets_the_user_and_groups_it_is_given_and_still_dies_with_the_shim() {
    if !root() {
        return; // Only root may give a process another user.
    }
    let mut rig = Rig::start();
    let mut link = rig.link();
    let mut process = rig.shell("a-1", "id -u; id -g; id -G; exec sleep 60");
    process.identity = Some(Identity { uid: 65_533, gid: 65_532, groups: vec![65_532, 65_531] });
    let pid = link.spawn(process);
    let found: Vec<_> = lines(&rig.log("a-1"), 3).iter().map(|line| text(line).to_owned()).collect();
    assert_eq!(found, ["65533", "65532", "65532 65531"]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t65533\t65533\t65533\t65533"), "{status}");
    rig.shim.kill().unwrap();
    rig.wait();
    until("the process dies with the shim", || (!alive(pid)).then_some(()));
}

#[test]
fn a_user_may_not_execute_what_is_not_his() {
    if !root() {
        return; // Only root may give a process another user.
    }
    let rig = Rig::start();
    let private = rig.path("private");
    fs::write(&private, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let mut process = rig.process("a-1", &[private.to_str().unwrap()]);
    process.identity = Some(Identity { uid: 65_533, gid: 65_532, groups: vec![] });
    let problem = rig.link().try_spawn(process).unwrap_err();
    assert_eq!((problem.place.as_str(), problem.errno), ("exec", Some(libc::EACCES)));
    assert!(problem.what.ends_with("may not be executed by the user 65533"), "{problem:?}");
}

#[test]
fn many_processes_at_once_all_start_and_end() {
    let rig = Rig::start();
    let mut link = rig.link();
    for number in 0..100 {
        link.spawn(rig.shell(&format!("a-{number}"), &format!("echo hello; exit {number}")));
    }
    for number in 0..100 {
        assert_eq!(link.exit_of(&format!("a-{number}")).exit.code, Some(number));
        assert_eq!(lines(&rig.log(&format!("a-{number}")), 1).len(), 1);
    }
}

#[test]
fn a_stopped_child_is_not_taken_for_one_that_ended() {
    let rig = Rig::start();
    let mut link = rig.link();
    let pid = link.spawn(rig.process("a-1", &["sleep", "60"]));
    link.signal("a-1", libc::SIGSTOP, Scope::Process).unwrap();
    until("the process stops", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ").then_some(())
    });
    signal(pid, libc::SIGCONT);
    link.signal("a-1", libc::SIGTERM, Scope::Process).unwrap();
    assert_eq!(link.exit_of("a-1").exit.signal, Some(libc::SIGTERM));
}
