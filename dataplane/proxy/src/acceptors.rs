//! The accept loops of one core: one for each address, on the socket the shim bound for this core.

use crate::endpoint::count;
use crate::journal;
use crate::peer::{Peer, Stream};
use crate::runtime::{spawn, Core, Counted};
use crate::serve::{self, Arrival};
use crate::table::ListenerCounters;
use crate::watch::Watch;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;

/// Pause when the system is out of what a connection needs, descriptors for example: some will come free.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// A socket to accept on.
pub struct Wanted {
    /// Key of the listener.
    pub key: u32,
    /// Its address.
    pub address: String,
    /// Counts the sockets the shim has sent; another number is another socket.
    pub serial: u64,
    /// The socket.
    pub socket: Arc<OwnedFd>,
}

struct Acceptor {
    key: u32,
    address: String,
    serial: u64,
    task: JoinHandle<()>,
}

/// The accept loops that run.
#[derive(Default)]
pub struct Acceptors {
    running: Vec<Acceptor>,
}

impl Acceptors {
    /// Accept on exactly the sockets wanted; returns once all others are closed on this core.
    pub async fn change(&mut self, core: &Rc<Core>, wanted: Vec<Wanted>) {
        let same = |one: &Wanted, acceptor: &Acceptor| {
            one.key == acceptor.key && one.address == acceptor.address && one.serial == acceptor.serial
        };
        let running = std::mem::take(&mut self.running);
        let (stay, leave): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|acceptor| wanted.iter().any(|one| same(one, acceptor)));
        self.running = stay;
        for acceptor in leave {
            acceptor.task.abort();
            let _ = acceptor.task.await;
        }
        for one in wanted {
            if self.running.iter().any(|acceptor| same(&one, acceptor)) {
                continue;
            }
            match Socket::adopt(&one) {
                Ok(socket) => self.running.push(Acceptor {
                    key: one.key,
                    address: one.address,
                    serial: one.serial,
                    task: spawn(accept(Rc::clone(core), one.key, socket)),
                }),
                Err(error) => journal::note(format_args!("{}: cannot be accepted on: {error}", one.address)),
            }
        }
    }
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Raw {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Socket {
    /// A copy of the socket for this core.
    fn adopt(wanted: &Wanted) -> io::Result<Self> {
        let copy = wanted.socket.try_clone()?;
        rustix::io::ioctl_fionbio(&copy, true)?;
        if wanted.address.starts_with("unix:") {
            return Ok(Self::Unix(UnixListener::from_std(copy.into())?));
        }
        Ok(Self::Tcp(TcpListener::from_std(copy.into())?))
    }

    async fn accept(&self) -> io::Result<Raw> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| Raw::Tcp(stream, peer)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Raw::Unix(stream)),
        }
    }
}

async fn accept(core: Rc<Core>, key: u32, socket: Socket) {
    loop {
        match socket.accept().await {
            Ok(raw) => admit(&core, key, raw),
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                journal::note(format_args!("cannot take a connection: {error}"));
                tokio::time::sleep(SHORTAGE_PAUSE).await;
            }
        }
    }
}

/// Whether the error is that of one connection, gone before it was taken (accept(2)).
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// An open connection of a listener, counted as long as this lives.
struct OfListener(Arc<ListenerCounters>);

impl Drop for OfListener {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Take a connection in, unless the listener has enough of them.
fn admit(core: &Rc<Core>, key: u32, raw: Raw) {
    let table = core.table();
    let Some(listener) = table.listener(key) else { return };
    count(&listener.counters.accepted);
    let most = listener.limits.connections;
    if listener.counters.connections.fetch_add(1, Ordering::Relaxed) >= most && most > 0 {
        listener.counters.connections.fetch_sub(1, Ordering::Relaxed);
        return count(&listener.counters.refused);
    }
    let of_listener = OfListener(Arc::clone(&listener.counters));
    let (tls, head_ms) = (listener.tls.clone(), listener.timeouts.head_ms);
    let (core, counted) = (Rc::clone(core), Counted::begin(core));
    spawn(async move {
        let secure = tls.is_some();
        let (client, local) = match &raw {
            Raw::Tcp(stream, peer) => (Some(peer.ip()), stream.local_addr().ok()),
            Raw::Unix(_) => (None, None),
        };
        let watch = Watch::new(&core.watches);
        watch.arm_ms(head_ms);
        match greet(raw, tls, &watch).await {
            Some(stream) => {
                let peer = Peer::new(stream);
                serve::serve(&core, Arrival { key, peer, watch, client, local, secure }).await;
            }
            None => count(&of_listener.0.handshake_failures),
        }
        drop((of_listener, counted));
    });
}

/// The connection ready for HTTP; None when the TLS handshake failed or took too long.
async fn greet(raw: Raw, tls: Option<Arc<ServerConfig>>, watch: &Watch) -> Option<Stream> {
    match (raw, tls) {
        (Raw::Tcp(stream, _), tls) => {
            let _ = stream.set_nodelay(true); // Refused only when the connection is gone already.
            match tls {
                None => Some(Stream::Tcp(stream)),
                Some(tls) => Some(Stream::TlsTcp(handshake(stream, tls, watch).await?)),
            }
        }
        (Raw::Unix(stream), None) => Some(Stream::Unix(stream)),
        (Raw::Unix(stream), Some(tls)) => Some(Stream::TlsUnix(handshake(stream, tls, watch).await?)),
    }
}

async fn handshake<S>(stream: S, tls: Arc<ServerConfig>, watch: &Watch) -> Option<Box<TlsStream<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = watch.limit(TlsAcceptor::from(tls).accept(stream)).await.ok()?;
    accepted.ok().map(Box::new)
}
