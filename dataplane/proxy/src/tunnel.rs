//! A connection that has switched to another protocol: bytes go both ways until both sides have ended, or fall silent.

use crate::buffer::Buffer;
use crate::connections::Connection;
use crate::endpoint::{count, Endpoint};
use crate::exchange::{add, Exchange};
use crate::peer::Peer;
use crate::watch::Watch;
use std::cell::Cell;
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

/// One way through the tunnel.
struct Way<'a> {
    from: &'a Peer,
    to: &'a Peer,
    watch: &'a Watch,
    silence_ms: u64,
    counter: &'a Cell<u64>,
}

/// Relay until the end; `rest` is what the endpoint has said behind its answer.
pub async fn run(exchange: &Exchange<'_>, buffer: &mut Buffer, connection: &Connection, mut rest: Buffer) {
    let endpoint = connection.endpoint();
    let _open = Tunnel::begin(endpoint);
    let (client, tally) = (&exchange.client.peer, &exchange.tally);
    let silence_ms = exchange.pool.settings.timeouts.silence_ms;
    let way = |from, to, counter| Way { from, to, watch: exchange.watch(), silence_ms, counter };
    let mut out = pin!(way(client, &connection.peer, &tally.received).relay(buffer));
    let mut back = pin!(way(&connection.peer, client, &tally.sent).relay(&mut rest));
    let (mut out_ended, mut back_ended) = (false, false);
    // A side that has ended may still be told things; one that is broken, or both silent, ends it all.
    poll_fn(|cx| {
        if !out_ended {
            match out.as_mut().poll(cx) {
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Ready(true) => out_ended = true,
                Poll::Pending => {}
            }
        }
        if !back_ended {
            match back.as_mut().poll(cx) {
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Ready(true) => back_ended = true,
                Poll::Pending => {}
            }
        }
        if out_ended && back_ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// A tunnel, counted as long as this lives.
struct Tunnel<'a>(&'a Endpoint);

impl<'a> Tunnel<'a> {
    fn begin(endpoint: &'a Endpoint) -> Self {
        count(&endpoint.counters.tunnels);
        Self(endpoint)
    }
}

impl Drop for Tunnel<'_> {
    fn drop(&mut self) {
        self.0.counters.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Way<'_> {
    /// Relay until the sender ends; false if the tunnel as a whole is to end.
    async fn relay(self, buffer: &mut Buffer) -> bool {
        loop {
            self.watch.arm_ms(self.silence_ms);
            if self.to.write(buffer.filled(), self.watch, &mut 0).await.is_err() {
                return false;
            }
            add(self.counter, buffer.filled().len());
            buffer.consume(buffer.filled().len());
            self.watch.arm_ms(self.silence_ms);
            match self.from.read(buffer, self.watch).await {
                Ok(1..) => {}
                Ok(0) => {
                    self.to.end(self.watch).await;
                    return true;
                }
                Err(_) => return false,
            }
        }
    }
}
