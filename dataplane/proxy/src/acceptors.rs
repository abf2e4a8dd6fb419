//! The accept loops of one core: one for each address, on the socket the shim bound for this core.

use crate::clients::Who;
use crate::connections::pace_for_loopback;
use crate::endpoint::count;
use crate::introduction;
use crate::journal;
use crate::peer::{Peer, Stream};
use crate::runtime::{spawn, Core, Counted};
use crate::serve::{self, Arrival};
use crate::table::ListenerCounters;
use crate::watch::Watch;
use pinfold_core::networks::Networks;
use pinfold_core::proxy_protocol::Carried;
use pinfold_wire::ProxyProtocol;
use rustix::net::sockopt::set_tcp_nodelay;
use rustls::ServerConfig;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
    /// With its address, if that is the one every client connects to.
    Tcp(TcpListener, Option<SocketAddr>),
    Unix(UnixListener),
}

enum Raw {
    /// With the address of who connected, and the one it connected to, if that is known already.
    Tcp(TcpStream, SocketAddr, Option<SocketAddr>),
    Unix(UnixStream),
}

impl Raw {
    /// The address of who connected.
    fn client(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, client, _) => Some(*client),
            Self::Unix(_) => None,
        }
    }

    /// That, and the address it connected to.
    fn ends(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        match self {
            Self::Tcp(stream, client, local) => (Some(*client), local.or_else(|| stream.local_addr().ok())),
            Self::Unix(_) => (None, None),
        }
    }
}

impl Socket {
    /// A copy of the socket for this core.
    fn adopt(wanted: &Wanted) -> io::Result<Self> {
        let copy = wanted.socket.try_clone()?;
        rustix::io::ioctl_fionbio(&copy, true)?;
        if wanted.address.starts_with("unix:") {
            return Ok(Self::Unix(UnixListener::from_std(copy.into())?));
        }
        // Connections inherit both from the socket they are accepted on.
        set_tcp_nodelay(&copy, true)?;
        let listener = TcpListener::from_std(copy.into())?;
        let address = listener.local_addr().ok();
        if address.is_some_and(|address| address.ip().is_loopback()) {
            pace_for_loopback(&listener);
        }
        Ok(Self::Tcp(listener, address.filter(|address| !address.ip().is_unspecified())))
    }

    async fn accept(&self) -> io::Result<Raw> {
        match self {
            Self::Tcp(listener, local) => {
                listener.accept().await.map(|(stream, client)| Raw::Tcp(stream, client, *local))
            }
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
struct Place {
    counters: Arc<ListenerCounters>,
    /// As whose it is counted besides.
    who: Option<Who>,
}

impl Place {
    /// Count it as one of this client too; false if that has as many as it may.
    fn enter(&mut self, client: IpAddr, most: u64) -> bool {
        if most > 0 {
            self.who = self.counters.clients.enter(client, most);
        }
        most == 0 || self.who.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(who) = self.who {
            self.counters.clients.leave(who);
        }
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Take a connection in, unless the listener, or this client, has enough of them.
fn admit(core: &Rc<Core>, key: u32, raw: Raw) {
    let table = core.table();
    let Some(listener) = table.listener(key) else { return };
    count(&listener.counters.accepted);
    let most = listener.limits.connections;
    if listener.counters.connections.fetch_add(1, Ordering::Relaxed) >= most && most > 0 {
        listener.counters.connections.fetch_sub(1, Ordering::Relaxed);
        return count(&listener.counters.refused);
    }
    let mut place = Place { counters: Arc::clone(&listener.counters), who: None };
    let most = listener.limits.connections_per_client;
    let trusted = raw.client().is_some_and(|client| listener.trusted.contains(client.ip()));
    let unbounded = |client: &SocketAddr| trusted || place.enter(client.ip(), most);
    if !raw.client().as_ref().is_none_or(unbounded) {
        return count(&listener.counters.refused);
    }
    let announces = trusted && listener.proxy_protocol == ProxyProtocol::Accept;
    let introduction = announces.then(|| Introduction { trusted: Arc::clone(&listener.trusted), most });
    let (tls, head_ms) = (listener.tls.clone(), listener.timeouts.head_ms);
    let (core, counted) = (Rc::clone(core), Counted::begin(core));
    spawn(async move {
        let secure = tls.is_some();
        let watch = Watch::new(&core.watches);
        watch.arm_ms(head_ms);
        let (mut client, mut local) = raw.ends();
        if let (Some(introduction), Raw::Tcp(stream, ..)) = (introduction, &raw) {
            // On the heap, because it is gone before the first request of a connection that may idle for long.
            let carried = Box::pin(introduction::read(stream, &core.buffers, &watch)).await;
            match carried {
                None => return count(&place.counters.handshake_failures),
                Some(Carried::Own) => {}
                Some(Carried::Unix) => (client, local) = (None, None),
                Some(Carried::Ends(ends)) => {
                    (client, local) = (Some(ends.client), Some(ends.local));
                    if !introduction.admits(ends.client.ip(), &mut place) {
                        return count(&place.counters.refused);
                    }
                }
            }
        }
        match greet(raw, tls, &watch).await {
            Some(stream) => {
                let peer = Peer::new(stream);
                serve::serve(&core, Arrival { key, peer, watch, client, local, secure }).await;
            }
            None => count(&place.counters.handshake_failures),
        }
        drop((place, counted));
    });
}

/// What is made of a trusted proxy that tells whose connection it carries.
struct Introduction {
    trusted: Arc<Networks>,
    /// Connections one client may have.
    most: u64,
}

impl Introduction {
    /// Whether this client may have another connection.
    fn admits(&self, client: IpAddr, place: &mut Place) -> bool {
        self.trusted.contains(client) || place.enter(client, self.most)
    }
}

/// The connection ready for HTTP; None when the TLS handshake failed or took too long.
async fn greet(raw: Raw, tls: Option<Arc<ServerConfig>>, watch: &Watch) -> Option<Stream> {
    match (raw, tls) {
        (Raw::Tcp(stream, ..), None) => Some(Stream::Tcp(stream)),
        (Raw::Unix(stream), None) => Some(Stream::Unix(stream)),
        // On the heap, because a handshake needs much and is gone before the first request.
        (Raw::Tcp(stream, ..), Some(tls)) => Some(Stream::TlsTcp(Box::pin(handshake(stream, tls, watch)).await?)),
        (Raw::Unix(stream), Some(tls)) => Some(Stream::TlsUnix(Box::pin(handshake(stream, tls, watch)).await?)),
    }
}

async fn handshake<S>(stream: S, tls: Arc<ServerConfig>, watch: &Watch) -> Option<Box<TlsStream<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = watch.limit(TlsAcceptor::from(tls).accept(stream)).await.ok()?;
    accepted.ok().map(Box::new)
}
