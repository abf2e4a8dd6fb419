//! One connection, to a client or to an endpoint: reads and writes with a deadline. Both directions can be used at once by
//! the one task that owns the connection.

use crate::buffer::Buffer;
use crate::watch::{Interrupt, Watch};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// The kinds of connection.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// TLS on TCP.
    TlsTcp(Box<TlsStream<TcpStream>>),
    /// TLS on a unix socket.
    TlsUnix(Box<TlsStream<UnixStream>>),
    /// A unix socket.
    Unix(UnixStream),
}

/// Why a read or a write came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// The connection is broken.
    Broken,
    /// The wait was interrupted.
    Interrupted(Interrupt),
}

/// A connection.
pub struct Peer {
    stream: RefCell<Stream>,
}

impl Peer {
    /// One on this stream.
    pub fn new(stream: Stream) -> Self {
        Self { stream: RefCell::new(stream) }
    }

    /// Read what is there into the buffer, at least one byte, and return how many; 0 at the end. While nothing comes, an
    /// empty buffer has no memory.
    ///
    /// # Errors
    /// [`Stall`].
    pub async fn read(&self, buffer: &mut Buffer, watch: &Watch) -> Result<usize, Stall> {
        poll_fn(|cx| self.poll_read(cx, buffer, watch)).await
    }

    /// As [`Peer::read`].
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut Buffer, watch: &Watch) -> Poll<Result<usize, Stall>> {
        let mut room = ReadBuf::new(buffer.room());
        let polled = self.stream.borrow_mut().poll_read(cx, &mut room);
        let count = room.filled().len();
        match polled {
            Poll::Ready(Ok(())) => {
                buffer.extend(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Stall::Broken)),
            Poll::Pending => {
                buffer.release();
                watch.poll(cx).map(|interrupt| Err(Stall::Interrupted(interrupt)))
            }
        }
    }

    /// Whether the peer, of which nothing is read just now, has reset the connection: then nobody waits for an answer.
    /// One that has only ended its side still does. Ready(false): there is something to read, so it cannot be told.
    pub fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let stream = self.stream.borrow();
        let tcp = match &*stream {
            Stream::Tcp(stream) => stream,
            Stream::TlsTcp(stream) => stream.get_ref().0,
            Stream::TlsUnix(_) | Stream::Unix(_) => return Poll::Ready(false),
        };
        tcp.poll_read_ready(cx).map(|_| matches!(tcp.take_error(), Ok(Some(_)) | Err(_)))
    }

    /// Write all of `bytes`, adding to `written` as they go.
    ///
    /// # Errors
    /// [`Stall`].
    pub async fn write(&self, bytes: &[u8], watch: &Watch, written: &mut usize) -> Result<(), Stall> {
        let mut rest = bytes;
        poll_fn(|cx| loop {
            let mut stream = self.stream.borrow_mut();
            let polled =
                if rest.is_empty() { stream.poll_flush(cx).map_ok(|()| 0) } else { stream.poll_write(cx, rest) };
            match polled {
                Poll::Ready(Ok(_)) if rest.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Stall::Broken)),
                Poll::Ready(Ok(count)) => {
                    *written += count;
                    rest = rest.get(count..).unwrap_or_default();
                    if !rest.is_empty() {
                        watch.rearm();
                    }
                }
                Poll::Pending => return watch.poll(cx).map(|interrupt| Err(Stall::Interrupted(interrupt))),
            }
        })
        .await
    }

    /// Say good-bye before the connection is dropped: over TLS the end has to be told (RFC 8446 section 6.1), else dropping
    /// tells it.
    pub async fn part(&self, watch: &Watch) {
        let plain = matches!(&*self.stream.borrow(), Stream::Tcp(_) | Stream::Unix(_));
        if !plain {
            self.end(watch).await;
        }
    }

    /// Tell the peer that no more is to come from here; what fails is of no interest any more.
    pub async fn end(&self, watch: &Watch) {
        let ended = poll_fn(|cx| self.stream.borrow_mut().poll_shutdown(cx));
        let _ = watch.limit(ended).await;
    }

    /// Have the connection reset when it is dropped, so that a cut answer cannot be taken for a whole one.
    pub fn cut(&self) {
        if let Stream::Tcp(stream) = &*self.stream.borrow() {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO));
        }
    }

    /// Whether the connection is open and nothing has come: what a kept connection must be to be used again.
    pub fn quiet(&self) -> bool {
        let nothing = |read: io::Result<usize>| read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        match &*self.stream.borrow() {
            Stream::Tcp(stream) => nothing(stream.try_read(&mut [0])),
            Stream::Unix(stream) => nothing(stream.try_read(&mut [0])),
            Stream::TlsTcp(_) | Stream::TlsUnix(_) => false, // Endpoints are not spoken to over TLS.
        }
    }
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, room),
            Self::TlsTcp(stream) => Pin::new(stream).poll_read(cx, room),
            Self::TlsUnix(stream) => Pin::new(stream).poll_read(cx, room),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, room),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::TlsTcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::TlsUnix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::TlsTcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::TlsUnix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsTcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsUnix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
