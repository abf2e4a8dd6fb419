//! Connections to endpoints: opened when there is none to spare, kept open between requests, shared by all clients of a core.

use crate::clock::{self, Moment};
use crate::endpoint::{Address, Endpoint, Open};
use crate::peer::{Peer, Stream};
use crate::watch::{Watch, Watches};
use pinfold_core::failure::Cause;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Idle connections kept for one endpoint on one core.
const IDLE_MOST: usize = 128;
/// Milliseconds after which an idle connection is closed.
const IDLE_MS: u64 = 30_000;
/// Milliseconds after which an idle connection is no longer good enough for a request that must not be sent twice:
/// endpoints that close idle connections do so after seconds, and may just be about to.
const FRESH_MS: u64 = 2_000;
/// Pauses between attempts to connect to a unix socket whose queue is full; TCP does this in the kernel.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// A connection to an endpoint.
pub struct Connection {
    /// The connection itself.
    pub peer: Peer,
    /// Whether a request has been sent on it before.
    pub reused: bool,
    open: Open,
    since: Moment,
}

impl Connection {
    /// To which endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.open.endpoint()
    }
}

/// The idle connections of one core.
pub struct Connections {
    idle: RefCell<HashMap<u64, Vec<Connection>, BuildHasherDefault<OwnHash>>>,
    watches: Rc<Watches>,
}

/// Ids of endpoints are numbers in a row that no client chooses: they are their own hash.
#[derive(Default)]
struct OwnHash(u64);

impl Hasher for OwnHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, id: u64) {
        // The table looks at the highest bits too.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Which of the idle connections a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Any that is open.
    Any,
    /// One that was in use a moment ago.
    Fresh,
    /// None.
    New,
}

impl Connections {
    /// None yet.
    pub fn new(watches: &Rc<Watches>) -> Self {
        Self { idle: RefCell::default(), watches: Rc::clone(watches) }
    }

    /// An idle connection to the endpoint, the one used last, if there is one that is open and of the choice.
    pub fn take(&self, endpoint: &Endpoint, choice: Choice) -> Option<Connection> {
        if choice == Choice::New {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&endpoint.id)?;
        while let Some(connection) = kept.pop() {
            if choice == Choice::Fresh && clock::now() > connection.since.after_ms(FRESH_MS) {
                kept.push(connection);
                return None;
            }
            if connection.peer.quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Keep a connection on which everything has been said.
    pub fn keep(&self, mut connection: Connection) {
        let endpoint = connection.open.endpoint();
        if !endpoint.accepting() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(endpoint.id).or_default();
        if kept.len() < IDLE_MOST {
            connection.since = clock::now();
            connection.reused = true;
            self.watches.look_at(connection.since.after_ms(IDLE_MS));
            kept.push(connection);
        }
    }

    /// Close those to endpoints that are to get no more requests.
    pub fn close_unwanted(&self) {
        self.idle.borrow_mut().retain(|_, kept| kept.first().is_some_and(|one| one.open.endpoint().accepting()));
    }

    /// Close those that have been idle for long or were closed by the endpoint; tells when to look again.
    pub fn expire(&self, now: Moment) -> Moment {
        let mut next = Moment::NEVER;
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(|connection| now < connection.since.after_ms(IDLE_MS) && connection.peer.quiet());
            next = kept.iter().map(|connection| connection.since.after_ms(IDLE_MS)).fold(next, Moment::min);
            !kept.is_empty()
        });
        next
    }
}

/// A new connection to the endpoint, within the deadline of `watch`.
///
/// # Errors
/// Why there is none.
pub async fn connect(endpoint: &Arc<Endpoint>, watch: &Watch) -> Result<Connection, Cause> {
    match watch.limit(dial(&endpoint.address)).await {
        Ok(Ok(stream)) => {
            let open = Open::begin(endpoint);
            Ok(Connection { peer: Peer::new(stream), reused: false, open, since: clock::now() })
        }
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Cause::ConnectRefused,
            io::ErrorKind::TimedOut => Cause::ConnectTimeout,
            _ => Cause::ConnectFailed,
        }),
        Err(_) => Err(Cause::ConnectTimeout),
    }
}

/// Have a connection that stays on this machine sent without pacing: where the system's choice is BBR, long bodies would
/// cost a quarter more. Where it may not be chosen, it stays as it is.
pub fn pace_for_loopback(socket: impl AsFd) {
    let _ = rustix::net::sockopt::set_tcp_congestion(socket, "reno");
}

async fn dial(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            if address.ip().is_loopback() {
                pace_for_loopback(&stream);
            }
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => loop {
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_PAUSE).await,
                dialled => return dialled.map(Stream::Unix),
            }
        },
    }
}
