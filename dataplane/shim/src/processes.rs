//! The processes that were spawned, until they are forgotten; their births and their ends.
use crate::listen::Sockets;
use crate::logs::Logs;
use crate::output::{self, Style};
use crate::spawn::{self, Handed, STEPS};
use crate::tree;
use pinfold_wire::proxy::{Sockets as SocketsMessage, ToProxyLink};
use pinfold_wire::shim::{Exit, Process, Role};
use pinfold_wire::Problem;
use socket2::{Domain, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;

/// How long the child may take from fork to exec.
const EXEC_DEADLINE: Duration = Duration::from_secs(5);

/// What became of a child.
pub enum Happening {
    /// It runs its program, or could not.
    Executed { serial: u64, key: String, outcome: Result<(), Problem> },
    /// It has ended.
    Exited { key: String, exit: Exit },
}

/// A process that was spawned.
pub struct Record {
    /// Text of the daemon.
    pub label: String,
    /// What it is.
    pub role: Role,
    /// Its pid.
    pub pid: i32,
    /// With the pid its identity.
    pub start_ticks: u64,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// To a proxy: where listening sockets are sent.
    pub link: Option<Socket>,
}

/// Forks `process`; what becomes of it is told to `happenings`.
///
/// # Errors
/// What failed before the child was on its own, as a problem.
pub fn start(
    serial: u64,
    process: &Process,
    control: Option<OwnedFd>,
    logs: &Logs,
    happenings: &mpsc::Sender<Happening>,
) -> Result<Record, Problem> {
    begin(serial, process, control, logs, happenings).map_err(|error| Problem {
        place: "fork".to_owned(),
        what: format!("cannot start {}: {error}", process.key),
        errno: error.raw_os_error(),
    })
}

fn begin(
    serial: u64,
    process: &Process,
    control: Option<OwnedFd>,
    logs: &Logs,
    happenings: &mpsc::Sender<Happening>,
) -> io::Result<Record> {
    let (out, child_out) = spawn::pipe()?;
    let (err, child_err) = spawn::pipe()?;
    let mut descriptors = vec![(child_out, 1), (child_err, 2)];
    let (mut link, mut access) = (None, None);
    if let Some(control) = control {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET.cloexec(), None)?;
        ours.set_nonblocking(true)?;
        descriptors.push((control, pinfold_wire::PROXY_CONTROL_FD));
        descriptors.push((theirs.into(), pinfold_wire::PROXY_LINK_FD));
        link = Some(ours);
        if let Some(file) = &process.access_log {
            let (read, write) = spawn::pipe()?;
            descriptors.push((write, pinfold_wire::PROXY_ACCESS_LOG_FD));
            access = Some((read, file.clone()));
        }
    }
    let child = spawn::fork(process, Handed { descriptors })?;
    output::read(out, Style::Stamped(child.pid, "out"), process.log.clone(), logs.clone())?;
    output::read(err, Style::Stamped(child.pid, "err"), process.log.clone(), logs.clone())?;
    if let Some((pipe, file)) = access {
        output::read(pipe, Style::Plain, file, logs.clone())?;
    }
    follow(serial, process, Receiver::from_owned_fd(child.report)?, child.pidfd.try_clone()?, happenings.clone());
    let start_ticks = tree::start_ticks(child.pid);
    let (label, role) = (process.label.clone(), process.role);
    Ok(Record { label, role, pid: child.pid, start_ticks, exit: None, pidfd: child.pidfd, link })
}

fn follow(serial: u64, process: &Process, report: Receiver, pidfd: OwnedFd, happenings: mpsc::Sender<Happening>) {
    let (key, program) = (process.key.clone(), process.argv.first().cloned().unwrap_or_default());
    tokio::spawn(async move {
        let outcome = executed(report, &program).await;
        drop(happenings.send(Happening::Executed { serial, key: key.clone(), outcome }).await);
        if let Ok(exit) = ended(pidfd).await {
            drop(happenings.send(Happening::Exited { key, exit }).await);
        }
    });
}

async fn executed(mut report: Receiver, program: &str) -> Result<(), Problem> {
    let mut message = [0u8; 8];
    match tokio::time::timeout(EXEC_DEADLINE, report.read_exact(&mut message)).await {
        Ok(Ok(_)) => {
            let (step, errno) = message.split_at(4);
            let step = u32::from_ne_bytes(step.try_into().unwrap_or_default());
            let errno = i32::from_ne_bytes(errno.try_into().unwrap_or_default());
            let place = STEPS.get(usize::try_from(step).unwrap_or(usize::MAX)).copied().unwrap_or("exec");
            let why = io::Error::from_raw_os_error(errno);
            Err(Problem { place: place.to_owned(), what: format!("{program}: {why}"), errno: Some(errno) })
        }
        Ok(Err(_)) => Ok(()), // The end of the pipe: exec has closed it.
        Err(_) => Err(Problem { place: "exec".to_owned(), what: format!("{program}: not in time"), errno: None }),
    }
}

/// Waits for the end of a child and reaps it (waitid(2) with P_PIDFD).
async fn ended(pidfd: OwnedFd) -> io::Result<Exit> {
    // SAFETY: the pidfd is owned, moved in, and open until `watched` is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE)? };
    drop(watched.readable().await?);
    let id = watched.as_raw_fd().unsigned_abs();
    let mut found = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: waitid fills the struct; it is zeroed before and read only after success.
    let status = unsafe {
        if libc::waitid(libc::P_PIDFD, id, found.as_mut_ptr(), libc::WEXITED) != 0 {
            return Err(io::Error::last_os_error());
        }
        found.assume_init()
    };
    // SAFETY: for a child that has ended si_status is set.
    let number = unsafe { status.si_status() };
    Ok(if status.si_code == libc::CLD_EXITED {
        Exit { code: Some(number), signal: None }
    } else {
        Exit { code: None, signal: Some(number) }
    })
}

/// Hands the sockets of these addresses to a proxy, one datagram an address.
///
/// # Errors
/// The proxy is gone, or does not read.
pub fn hand_over(link: &Socket, sockets: &Sockets, addresses: &[&String]) -> io::Result<()> {
    for address in addresses {
        let Some(held) = sockets.get(*address) else { continue };
        let count = u32::try_from(held.len()).unwrap_or(0);
        let message = ToProxyLink::Sockets(SocketsMessage { address: (*address).clone(), count });
        let frame = pinfold_wire::encode(&message).map_err(io::Error::other)?;
        let numbers: Vec<i32> = held.iter().map(|socket| socket.as_raw_fd()).collect();
        send_with_descriptors(link, frame.get(pinfold_wire::HEADER_BYTES..).unwrap_or_default(), &numbers)?;
    }
    Ok(())
}

fn send_with_descriptors(link: &Socket, bytes: &[u8], numbers: &[i32]) -> io::Result<()> {
    let payload = u32::try_from(std::mem::size_of_val(numbers)).unwrap_or(0);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the control buffer has the size CMSG_SPACE asks for and is aligned as u64; all pointers outlive the call.
    unsafe {
        let space = usize::try_from(libc::CMSG_SPACE(payload)).unwrap_or(0);
        let mut buffer = vec![0u64; space.div_ceil(8)];
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = buffer.as_mut_ptr().cast();
        header.msg_controllen = space;
        let control = libc::CMSG_FIRSTHDR(&header);
        (*control).cmsg_level = libc::SOL_SOCKET;
        (*control).cmsg_type = libc::SCM_RIGHTS;
        (*control).cmsg_len = usize::try_from(libc::CMSG_LEN(payload)).unwrap_or(0);
        std::ptr::copy_nonoverlapping(numbers.as_ptr(), libc::CMSG_DATA(control).cast(), numbers.len());
        if libc::sendmsg(link.as_raw_fd(), &header, libc::MSG_NOSIGNAL) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
