//! The PROXY protocol on both sides: read from a trusted proxy before anything else, written to an endpoint that wants it.

use crate::buffer::Buffers;
use crate::connections::Connection;
use crate::exchange::Exchange;
use crate::watch::Watch;
use pinfold_core::failure::Cause;
use pinfold_core::proxy_protocol::{self, Carried, Ends, Found, HEADER_MOST};
use pinfold_wire::SendProxy;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Read the header from the beginning of a stream, and nothing behind it; None if there is none, or not in time.
pub async fn read(stream: &TcpStream, buffers: &Buffers, watch: &Watch) -> Option<Carried> {
    let mut header = buffers.scratch();
    let carried = watch.limit(take(stream, &mut header)).await;
    buffers.give_scratch(header);
    carried.ok()?.ok()
}

/// What has come is looked at first, so that only bytes of the header are taken.
async fn take(stream: &TcpStream, header: &mut Vec<u8>) -> io::Result<Carried> {
    loop {
        let taken = header.len();
        header.resize(HEADER_MOST, 0);
        let seen = stream.peek(header.get_mut(taken..).unwrap_or_default()).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        header.truncate(taken + seen);
        let found = proxy_protocol::read(header).map_err(|_| io::ErrorKind::InvalidData)?;
        let end = match found {
            Found::More => header.len(),
            Found::Whole(length, _) => length,
        };
        // They are there, so this does not wait.
        let part = header.get_mut(taken..end).unwrap_or_default();
        if stream.try_read(part)? != part.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Found::Whole(_, carried) = found {
            return Ok(carried);
        }
    }
}

/// Tell the endpoint on a new connection whose request it carries, if its pool wants that.
///
/// # Errors
/// It does not take it.
pub async fn write(exchange: &Exchange<'_>, connection: &Connection) -> Result<(), Cause> {
    let ends = ends(exchange);
    let mut header = exchange.client.core.buffers.scratch();
    match exchange.pool.settings.send_proxy {
        SendProxy::Off => {}
        SendProxy::V1 => proxy_protocol::write_v1(&mut header, ends),
        SendProxy::V2 => proxy_protocol::write_v2(&mut header, ends),
    }
    let written = connection.peer.write(&header, exchange.watch(), &mut 0).await;
    exchange.client.core.buffers.give_scratch(header);
    written.map_err(|_| Cause::ConnectFailed)
}

/// Who sent the request, and where to; the port of who is known only by what trusted proxies say is not.
fn ends(exchange: &Exchange<'_>) -> Option<Ends> {
    let (from, local) = (exchange.client.from, exchange.client.local?);
    let sender = exchange.facts.sender?;
    let port = from.filter(|from| from.ip().to_canonical() == sender).map_or(0, |from| from.port());
    Some(Ends { client: SocketAddr::new(sender, port), local })
}
