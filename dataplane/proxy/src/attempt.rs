//! In: a request and a connection to an endpoint. Out: the request sent, the answer relayed; or how far it had got.

use crate::answer::{self, Ended};
use crate::buffer::Buffer;
use crate::connections::Connection;
use crate::exchange::{add, Exchange, Failed};
use crate::peer::Stall;
use crate::tunnel;
use crate::upload::{keep, Upload};
use crate::watch::Watch;
use pinfold_core::failure::{Cause, Side};
use pinfold_core::retry::Progress;
use pinfold_wire::SendProxy;
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::task::Poll;

/// Try the request on this connection. True: the connection of the client stays open.
///
/// # Errors
/// [`Failed`]. What was taken from `buffer` is used up if the progress is `Begun`; otherwise it is all still there, or
/// counted in `Tally::kept`.
pub async fn attempt(
    exchange: &Exchange<'_>,
    head: &mut Vec<u8>,
    buffer: &mut Buffer,
    connection: Connection,
) -> Result<bool, Failed> {
    let mut upload = Upload::new(exchange.facts.body, exchange.listener.limits.body_bytes, exchange.facts.trailers);
    let head_bytes = head.len();
    let taken = upload.take(buffer.filled(), head);
    let sent = match taken {
        Ok(_) => send(exchange, head, &connection).await,
        Err(cause) => Err(Failed::begun(cause)),
    };
    head.truncate(head_bytes);
    sent?;
    let taken = taken.map_err(Failed::begun)?;
    add(&exchange.tally.received, taken.payload);
    exchange.tally.replayable.set(true);
    keep(exchange, buffer, taken.used);
    let answered = if upload.ended() {
        exchange.tally.uploaded.set(true);
        buffer.release();
        exchange.await_answer();
        answer::relay(exchange, &connection).await
    } else {
        both_ways(exchange, upload, buffer, &connection).await
    };
    let replayable = exchange.tally.replayable.get();
    let ended = answered.map_err(|failed| if replayable { failed } else { Failed::begun(failed.cause) })?;
    match ended {
        Ended::Whole { reusable, stays } => {
            // One that was told of its client carries no other's requests.
            if reusable && exchange.pool.settings.send_proxy == SendProxy::Off {
                exchange.client.core.connections.keep(connection);
            }
            Ok(stays)
        }
        Ended::Upgraded(rest) => {
            if let Some(total) = &exchange.total {
                total.disarm();
            }
            tunnel::run(exchange, buffer, &connection, rest).await;
            Ok(false)
        }
    }
}

/// Write the head, and what is at hand of the body.
async fn send(exchange: &Exchange<'_>, bytes: &[u8], connection: &Connection) -> Result<(), Failed> {
    let mut written = 0;
    exchange.watch().arm_ms(exchange.pool.settings.timeouts.silence_ms);
    match connection.peer.write(bytes, exchange.watch(), &mut written).await {
        Ok(()) => Ok(()),
        Err(Stall::Broken) if written == 0 => Err(Failed { cause: Cause::EndpointClosed, progress: Progress::Unsent }),
        // It may have answered before it closed, but has not read what it was sent: an answer to it would be a guess.
        Err(Stall::Broken) => Err(Failed { cause: Cause::EndpointClosed, progress: Progress::Sent }),
        Err(Stall::Interrupted(_)) => Err(Failed::begun(Cause::SilenceTimeout)),
    }
}

/// Send the rest of the body and relay the answer, at the same time: an endpoint may answer before it has read all.
async fn both_ways(
    exchange: &Exchange<'_>,
    upload: Upload,
    buffer: &mut Buffer,
    connection: &Connection,
) -> Result<Ended, Failed> {
    let upload_watch = Watch::new(&exchange.client.core.watches);
    // The endpoint owes nothing as long as it has not got everything.
    exchange.watch().disarm();
    let mut upload = pin!(upload.run(exchange, buffer, connection, &upload_watch));
    let mut answer = pin!(answer::relay(exchange, connection));
    let mut uploading = true;
    poll_fn(|cx| {
        if uploading {
            match upload.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(sent) => {
                    uploading = false;
                    match sent {
                        Ok(()) => exchange.tally.uploaded.set(true),
                        Err(cause) if cause.side() == Side::Client => return Poll::Ready(Err(Failed::begun(cause))),
                        Err(_) => {} // It takes no more, but may have answered why.
                    }
                    if !exchange.answered() {
                        exchange.await_answer();
                    }
                }
            }
        }
        answer.as_mut().poll(cx)
    })
    .await
}
