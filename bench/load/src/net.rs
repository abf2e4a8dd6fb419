//! Sockets that do not block, and the poll that says what can be done with them.

use rustix::buffer::spare_capacity;
use rustix::event::{epoll, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    bind, connect, listen, socket_with, sockopt, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const BACKLOG: i32 = 4096;
const EVENTS: usize = 256;

/// Where to listen or to connect: `127.0.0.1:8080` or `unix:/path`.
#[derive(Clone)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = io::Error;

    fn from_str(word: &str) -> io::Result<Self> {
        match word.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => word.parse().map(Self::Tcp).map_err(|_| io::Error::other(format!("no address: {word}"))),
        }
    }
}

impl Address {
    fn socket(&self) -> io::Result<OwnedFd> {
        let family = match self {
            Self::Tcp(_) => AddressFamily::INET,
            Self::Unix(_) => AddressFamily::UNIX,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        if matches!(self, Self::Tcp(_)) {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        Ok(socket)
    }

    /// Listen here.
    pub fn listen(&self) -> io::Result<OwnedFd> {
        let socket = self.socket()?;
        match self {
            Self::Tcp(address) => bind(&socket, address)?,
            Self::Unix(path) => bind(&socket, &SocketAddrUnix::new(path)?)?,
        }
        listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// Connect to it; writing waits until that is done.
    pub fn dial(&self) -> io::Result<OwnedFd> {
        let socket = self.socket()?;
        let begun = match self {
            Self::Tcp(address) => connect(&socket, address),
            Self::Unix(path) => connect(&socket, &SocketAddrUnix::new(path)?),
        };
        match begun {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error.into()),
        }
    }
}

/// What an event is about, with its place.
#[derive(Clone, Copy)]
pub enum Token {
    /// A line for us.
    Orders,
    /// A client wants to connect.
    Listener(u32),
    /// A connection that was accepted.
    Guest(u32),
    /// A connection that was dialled.
    Client(u32),
}

impl Token {
    fn number(self) -> u64 {
        let (kind, place) = match self {
            Self::Orders => (0, 0),
            Self::Listener(place) => (1, place),
            Self::Guest(place) => (2, place),
            Self::Client(place) => (3, place),
        };
        kind << 32 | u64::from(place)
    }

    fn from_number(number: u64) -> Self {
        let place = number as u32;
        match number >> 32 {
            1 => Self::Listener(place),
            2 => Self::Guest(place),
            3 => Self::Client(place),
            _ => Self::Orders,
        }
    }
}

/// The poll.
pub struct Poll(OwnedFd);

impl Poll {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watch for what can be read.
    pub fn add(&self, what: impl AsFd, token: Token) -> io::Result<()> {
        Ok(epoll::add(&self.0, what, epoll::EventData::new_u64(token.number()), epoll::EventFlags::IN)?)
    }

    /// Watch for changes of what can be read or written.
    pub fn add_connection(&self, what: impl AsFd, token: Token) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        Ok(epoll::add(&self.0, what, epoll::EventData::new_u64(token.number()), flags)?)
    }

    /// Wait for events, no longer than `patience`.
    pub fn wait(&self, tokens: &mut Vec<Token>, patience: Option<Duration>) -> io::Result<()> {
        let patience =
            patience.map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() });
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.0, spare_capacity(&mut events), patience.as_ref()) {
            Ok(_) => tokens.extend(events.iter().map(|event| Token::from_number(event.data.u64()))),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
