//! From a `Process` of the daemon to a running one: fork, the steps in the child, exec. All unsafe code of spawning.
//!
//! Everything the child needs is made before the fork; between fork and exec it only makes system calls. A step that
//! fails is told over a close-on-exec pipe as step and errno; the end of that pipe means the program runs.
use pinfold_wire::shim::{Identity, Process, Resource};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The steps in the child, in order; the words of a problem's `place`.
pub const STEPS: [&str; 10] =
    ["setsid", "stdio", "signals", "rlimit", "setgroups", "setgid", "setuid", "chdir", "pdeathsig", "exec"];

/// What the child is given: descriptor of the parent, number in the child.
pub struct Handed {
    /// Standard output, error, and for a proxy its sockets and pipe.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
}

/// A child that has been forked.
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Ends when the program has been executed; eight bytes before that are a failed step and its errno.
    pub report: OwnedFd,
}

struct Plan {
    argv: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    candidates: Vec<CString>,
    directory: CString,
    identity: Option<Identity>,
    rlimits: Vec<(u32, libc::rlimit)>,
    umask: libc::mode_t,
    stdio: Vec<(RawFd, RawFd)>,
    null: OwnedFd,
    highest: u32,
    parent: i32,
    // The strings the pointers above point into.
    _strings: Vec<CString>,
}

/// Forks a child that becomes `process`.
///
/// # Errors
/// What failed before the child was on its own: the fork itself, a NUL in a string, no descriptors left.
pub fn fork(process: &Process, handed: Handed) -> io::Result<Child> {
    let (report, child_report) = pipe()?;
    // Above every number that is given away in the child.
    let child_report = duplicate_above(&child_report, 64)?;
    let raised: Vec<(OwnedFd, RawFd)> = handed
        .descriptors
        .iter()
        .map(|(fd, number)| Ok((duplicate_above(fd, 64)?, *number)))
        .collect::<io::Result<_>>()?;
    let plan = plan(process, &raised)?;
    // SAFETY: the child only makes async-signal-safe calls on memory prepared above, then execs or exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let (step, errno) = become_program(&plan);
        let mut message = [0u8; 8];
        let (head, tail) = message.split_at_mut(4);
        head.copy_from_slice(&step.to_ne_bytes());
        tail.copy_from_slice(&errno.to_ne_bytes());
        // SAFETY: a plain write of a local array, and an exit that runs nothing of the parent's.
        unsafe {
            libc::write(child_report.as_raw_fd(), message.as_ptr().cast(), message.len());
            libc::_exit(127);
        }
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: pidfd_open takes a pid and flags; the child is not reaped yet, so the pid is its own.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    let pidfd = owned(i32::try_from(number).unwrap_or(-1))?;
    Ok(Child { pid, pidfd, report })
}

/// A close-on-exec pipe: read end, write end.
///
/// # Errors
/// No descriptors left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` is an array of two, as pipe2 wants.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [read, write] = ends;
    Ok((owned(read)?, owned(write)?))
}

fn owned(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number was returned by the kernel just now and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn duplicate_above(fd: &OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on a descriptor that is borrowed for the call.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })
}

fn plan(process: &Process, raised: &[(OwnedFd, RawFd)]) -> io::Result<Plan> {
    let text = |text: &str| CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL));
    let mut strings = Vec::new();
    let mut pointers = |words: &[String]| -> io::Result<Vec<*const libc::c_char>> {
        let mut list = Vec::with_capacity(words.len() + 1);
        for word in words {
            let word = text(word)?;
            list.push(word.as_ptr());
            strings.push(word);
        }
        list.push(std::ptr::null());
        Ok(list)
    };
    let argv = pointers(&process.argv)?;
    let mut environment = process.environment.clone();
    environment.push(format!("{}={}", crate::tree::COOKIE, process.key));
    let environment = pointers(&environment)?;
    let null = std::fs::OpenOptions::new().read(true).open("/dev/null")?;
    let resource = |resource| match resource {
        Resource::Core => libc::RLIMIT_CORE,
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::Processes => libc::RLIMIT_NPROC,
    };
    let rlimits = process
        .rlimits
        .iter()
        .map(|one| (resource(one.resource), libc::rlimit { rlim_cur: one.value, rlim_max: one.value }));
    Ok(Plan {
        argv,
        environment,
        candidates: candidates(process).iter().map(|path| text(path)).collect::<io::Result<_>>()?,
        directory: text(&process.working_directory)?,
        identity: process.identity.clone(),
        rlimits: rlimits.collect(),
        umask: process.umask,
        stdio: raised.iter().map(|(fd, number)| (fd.as_raw_fd(), *number)).collect(),
        null: duplicate_above(&null.into(), 64)?,
        highest: raised.iter().map(|(_, number)| *number).max().unwrap_or(2).unsigned_abs(),
        parent: i32::try_from(std::process::id()).unwrap_or(0),
        _strings: strings,
    })
}

/// Where the program may be: itself if it has a slash, else in each directory of PATH (execvp(3)).
fn candidates(process: &Process) -> Vec<String> {
    let Some(program) = process.argv.first() else { return Vec::new() };
    if program.contains('/') {
        return vec![program.clone()];
    }
    let path = process.environment.iter().find_map(|entry| entry.strip_prefix("PATH="));
    path.unwrap_or("/usr/bin:/bin").split(':').map(|directory| format!("{directory}/{program}")).collect()
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Runs in the child; returns only the step that failed, and why.
fn become_program(plan: &Plan) -> (u32, i32) {
    for (step, run) in (0u32..).zip([
        start_session,
        set_stdio,
        reset_signals,
        set_rlimits,
        set_groups,
        set_gid,
        set_uid,
        change_directory,
        die_with_parent,
    ]) {
        if !run(plan) {
            return (step, errno());
        }
    }
    (9, execute(plan))
}

fn start_session(_: &Plan) -> bool {
    // SAFETY: a system call without arguments.
    unsafe { libc::setsid() >= 0 }
}

fn set_stdio(plan: &Plan) -> bool {
    // SAFETY: dup2 and close_range take numbers; every source lies above 63, every target below.
    unsafe {
        libc::dup2(plan.null.as_raw_fd(), 0) >= 0
            && plan.stdio.iter().all(|&(from, to)| libc::dup2(from, to) >= 0)
            && libc::syscall(libc::SYS_close_range, plan.highest + 1, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0
    }
}

fn reset_signals(_: &Plan) -> bool {
    // SAFETY: dispositions and mask of this process; the set is initialised before it is used.
    unsafe {
        for number in 1..=64 {
            libc::signal(number, libc::SIG_DFL); // Fails for KILL, STOP and the C library's own, which is right.
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none) == 0 && libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) == 0
    }
}

fn set_rlimits(plan: &Plan) -> bool {
    // SAFETY: each limit is a whole struct of the plan.
    plan.rlimits.iter().all(|(resource, limit)| unsafe { libc::setrlimit(*resource, limit) == 0 })
}

fn set_groups(plan: &Plan) -> bool {
    // SAFETY: pointer and length are of one slice.
    plan.identity.as_ref().is_none_or(|who| unsafe { libc::setgroups(who.groups.len(), who.groups.as_ptr()) == 0 })
}

fn set_gid(plan: &Plan) -> bool {
    // SAFETY: a system call on numbers.
    plan.identity.as_ref().is_none_or(|who| unsafe { libc::setresgid(who.gid, who.gid, who.gid) == 0 })
}

fn set_uid(plan: &Plan) -> bool {
    let Some(who) = &plan.identity else { return true };
    // SAFETY: system calls on numbers; the last one proves that root cannot be had back.
    unsafe { libc::setresuid(who.uid, who.uid, who.uid) == 0 && (who.uid == 0 || libc::setresuid(0, 0, 0) != 0) }
}

fn change_directory(plan: &Plan) -> bool {
    // SAFETY: the string is of the plan.
    unsafe {
        libc::umask(plan.umask);
        libc::chdir(plan.directory.as_ptr()) == 0
    }
}

fn die_with_parent(plan: &Plan) -> bool {
    // SAFETY: system calls on numbers. Set after the identity, whose change clears it; the parent may be gone by then.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 && libc::getppid() == plan.parent }
}

fn execute(plan: &Plan) -> i32 {
    let mut worst = libc::ENOENT;
    for path in &plan.candidates {
        // SAFETY: both lists end in null and point into strings of the plan.
        unsafe { libc::execve(path.as_ptr(), plan.argv.as_ptr(), plan.environment.as_ptr()) };
        let why = errno();
        if why != libc::ENOENT && why != libc::ENOTDIR {
            worst = why;
        }
    }
    worst
}
