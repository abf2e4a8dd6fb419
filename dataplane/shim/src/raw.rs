//! Every call that needs `unsafe`: descriptors given by number, signals, and the child between fork and exec, which may
//! only do what signal-safety(7) allows, because another thread may hold any lock: no allocation, no formatting.
#![allow(unsafe_code)] // The only file that may; each block says why it is sound.

use crate::step::{ExecFault, Report, Step};
use libc::{c_char, c_int};
use pinfold_wire::shim::Resource;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Descriptors a proxy finds its own at: 3, 4 and 5. No descriptor of the shim that a child is given has such a number.
const FIRST_EXTRA_FD: RawFd = 3;
/// The last real-time signal (signal(7)).
const LAST_SIGNAL: c_int = 64;
/// Words enough for the kernel's `struct sigaction`, whose order differs by machine.
const KERNEL_SIGACTION_WORDS: usize = 4;

/// Take the descriptor `fd` that whoever started this process has left open; it is closed on exec from now on.
///
/// # Errors
/// `fd` is not open.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on a number has no memory effects, and fails on one that is not open.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and the caller, at the very start of main, is the only one that knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Close every descriptor from `first` on. To be called before any of them is owned.
pub fn close_from(first: RawFd) {
    // SAFETY: called at the very start of main, when nothing owns a descriptor from `first` on.
    unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) };
}

/// Keep buffers past 64 KiB out of the heap, so that the memory of a burst goes back to the system when it is over.
#[cfg(target_env = "gnu")]
pub fn return_memory() {
    // SAFETY: mallopt(3) only sets parameters of the allocator; no other thread runs yet.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 64 * 1024) };
}

/// Other C libraries give it back by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn return_memory() {}

/// Ignore a signal; children get the default back.
pub fn ignore(signal: c_int) {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Block these signals, in this thread and those it starts, and read them from the descriptor instead (signalfd(2)).
///
/// # Errors
/// The system call fails.
pub fn route_signals(signals: &[c_int]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set the others read; all pointers are to live locals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
        let fd = checked(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Send a signal by number, real-time ones included, to the process of a pidfd.
///
/// # Errors
/// As pidfd_send_signal(2): `ESRCH` when it has ended, `EINVAL` for no signal, `EPERM`.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for as long as it is borrowed; a null siginfo asks for that of kill(2).
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The process id of some child that has ended and has not been waited for.
pub fn first_zombie() -> Option<i32> {
    // SAFETY: all zeros is a valid siginfo_t; waitid fills it in, and leaves the pid 0 when there is no such child.
    unsafe {
        let mut found: libc::siginfo_t = mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let result = libc::waitid(libc::P_ALL, 0, &raw mut found, flags);
        (result == 0 && found.si_pid() != 0).then(|| found.si_pid())
    }
}

/// User id of the process at the other end of a unix socket, as of when it connected.
///
/// # Errors
/// As getsockopt(2).
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = u32::try_from(mem::size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes, which is the size of `peer`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    checked(result).map(|_| peer.uid)
}

/// A resource limit to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// The limit in force.
    pub soft: u64,
    /// How far the process itself may raise it.
    pub hard: u64,
}

/// Everything a child needs to become its program, prepared before the fork.
pub struct Plan {
    /// Where the program may be, in the order to try.
    pub candidates: Vec<CString>,
    /// Its arguments, its name first.
    pub argv: Vec<CString>,
    /// Its whole environment.
    pub environment: Vec<CString>,
    /// Where it starts.
    pub working_directory: CString,
    /// Whose rights it gets: user, group, supplementary groups.
    pub identity: Option<(libc::uid_t, libc::gid_t, Vec<libc::gid_t>)>,
    /// Its file mode mask.
    pub umask: libc::mode_t,
    /// Its limits, in the order to set.
    pub rlimits: Vec<Limit>,
}

/// What becomes of descriptors; all of them numbered above 5.
pub struct Descriptors<'a> {
    /// Standard input, output and error.
    pub standard: [BorrowedFd<'a>; 3],
    /// For 3 and on.
    pub extra: Vec<BorrowedFd<'a>>,
    /// Where a failure is reported; closed on exec.
    pub report: BorrowedFd<'a>,
}

/// Pointers into a [`Plan`], null-terminated as execve(2) wants them.
struct Pointers {
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

/// Start a child on its way; returns its pid at once. It becomes the program, or writes a [`Report`] and ends.
///
/// # Errors
/// fork(2) fails.
pub fn fork(plan: &Plan, descriptors: &Descriptors<'_>) -> io::Result<i32> {
    let pointers = Pointers { argv: pointers(&plan.argv), environment: pointers(&plan.environment) };
    let parent = i32::try_from(std::process::id()).unwrap_or(0);
    // SAFETY: the child only calls `become_program`, which does nothing that is not async-signal-safe and never returns.
    unsafe {
        match checked(libc::fork())? {
            0 => become_program(plan, &pointers, descriptors, parent),
            pid => Ok(pid),
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

type Failure = (Step, u32);

/// SAFETY: only in a child just forked.
unsafe fn become_program(plan: &Plan, pointers: &Pointers, descriptors: &Descriptors<'_>, parent: i32) -> ! {
    // SAFETY: as this function demands; the report is written with one write(2) from a local.
    unsafe {
        let Err((step, detail)) = prepare(plan, descriptors, parent).and_then(|()| execute(plan, pointers));
        let report = Report { step, detail, errno: *libc::__errno_location() }.encode();
        libc::write(descriptors.report.as_raw_fd(), report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

/// Every step but the last.
///
/// SAFETY: only in a child just forked.
unsafe fn prepare(plan: &Plan, descriptors: &Descriptors<'_>, parent: i32) -> Result<(), Failure> {
    // SAFETY: plain system calls on numbers and on memory of the plan, which outlives the child's use of it.
    unsafe {
        step(libc::setsid(), Step::Setsid)?;
        die_with(parent)?;
        for (target, source) in (0..).zip(&descriptors.standard) {
            step(libc::dup2(source.as_raw_fd(), target), Step::Stdio)?;
        }
        let mut target = FIRST_EXTRA_FD;
        for source in &descriptors.extra {
            step(libc::dup2(source.as_raw_fd(), target), Step::Stdio)?;
            target += 1;
        }
        // Every descriptor of the shim is closed on exec by itself; this holds even if one were forgotten.
        libc::syscall(libc::SYS_close_range, target, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC);
        default_signals();
        for (index, limit) in (0..).zip(&plan.rlimits) {
            set_limit(*limit).map_err(|(step, _)| (step, index))?;
        }
        if let Some((uid, gid, groups)) = &plan.identity {
            change_identity(*uid, *gid, groups)?;
            die_with(parent)?; // The kernel forgets it when the user changes (PR_SET_PDEATHSIG(2const)).
        }
        libc::umask(plan.umask);
        step(libc::chdir(plan.working_directory.as_ptr()), Step::Chdir)
    }
}

fn set_limit(limit: Limit) -> Result<(), Failure> {
    let resource = match limit.resource {
        Resource::Core => libc::RLIMIT_CORE,
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::Processes => libc::RLIMIT_NPROC,
    };
    let values = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: a pointer to a live local.
    step(unsafe { libc::setrlimit(resource, &raw const values) }, Step::Rlimit)
}

/// SAFETY: only in a child just forked.
unsafe fn die_with(parent: i32) -> Result<(), Failure> {
    // SAFETY: system calls on numbers.
    unsafe {
        step(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), Step::Pdeathsig)?;
        if libc::getppid() != parent {
            libc::_exit(127); // The shim died before the call above; nobody reads a report.
        }
    }
    Ok(())
}

/// By the system call: the C library leaves out two signals of its own, which somebody may have ignored all the same.
///
/// SAFETY: only in a child just forked.
unsafe fn default_signals() {
    let default = [0_u64; KERNEL_SIGACTION_WORDS];
    // SAFETY: all zeros is the default action in the kernel's own layout; the set is initialised before it is read.
    unsafe {
        for signal in 1..=LAST_SIGNAL {
            let none = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, mem::size_of::<u64>());
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Groups first, while there is still the right to; then user, and make sure there is no way back.
///
/// SAFETY: only in a child just forked.
unsafe fn change_identity(uid: libc::uid_t, gid: libc::gid_t, groups: &[libc::gid_t]) -> Result<(), Failure> {
    // SAFETY: system calls on numbers and on a slice with its own length.
    unsafe {
        step(libc::setgroups(groups.len() as _, groups.as_ptr()), Step::Setgroups)?;
        step(libc::setresgid(gid, gid, gid), Step::Setgid)?;
        step(libc::setresuid(uid, uid, uid), Step::Setuid)?;
        if uid != 0 && libc::setresuid(0, 0, 0) == 0 {
            *libc::__errno_location() = libc::EPERM;
            return Err((Step::Setuid, 0));
        }
    }
    Ok(())
}

/// Try each candidate as execvp(3) does: one that is absent or forbidden is passed over, and what was forbidden is told.
///
/// SAFETY: only in a child just forked.
unsafe fn execute(plan: &Plan, pointers: &Pointers) -> Result<std::convert::Infallible, Failure> {
    let mut worst = (libc::ENOENT, ExecFault::Plain);
    for candidate in &plan.candidates {
        // SAFETY: null-terminated arrays of strings that live in the plan.
        let (errno, exists) = unsafe {
            libc::execve(candidate.as_ptr(), pointers.argv.as_ptr(), pointers.environment.as_ptr());
            (*libc::__errno_location(), exists(candidate))
        };
        match errno {
            libc::ENOENT if exists => worst = (errno, ExecFault::NoInterpreter),
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => worst = (errno, ExecFault::Plain),
            _ => {
                worst = (errno, ExecFault::Plain);
                break;
            }
        }
    }
    // SAFETY: errno of this thread.
    unsafe { *libc::__errno_location() = worst.0 };
    Err((Step::Exec, worst.1 as u32))
}

/// SAFETY: only in a child just forked.
unsafe fn exists(path: &CStr) -> bool {
    // SAFETY: a null-terminated string; errno is read before.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

fn step(result: c_int, step: Step) -> Result<(), Failure> {
    if result < 0 {
        Err((step, 0))
    } else {
        Ok(())
    }
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
