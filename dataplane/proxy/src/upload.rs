//! The body of a request on its way from the client to the endpoint: its length is checked, chunks are written anew.

use crate::buffer::Buffer;
use crate::clock;
use crate::connections::Connection;
use crate::exchange::{add, Exchange};
use crate::peer::Stall;
use crate::watch::Watch;
use pinfold_core::chunked::{write_begin, Decoder, Piece, CHUNK_END};
use pinfold_core::failure::Cause;
use pinfold_core::framing::Body;
use pinfold_core::pace;
use pinfold_core::trailers::write_end;

/// How far a body has been taken.
pub struct Upload {
    left: Left,
    /// Payload that may still come; None: no bound.
    allowed: Option<u64>,
}

enum Left {
    Bytes(u64),
    Chunks(Decoder),
}

/// What was taken of the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes used.
    pub used: usize,
    /// Payload among them.
    pub payload: usize,
}

impl Upload {
    /// Nothing of the body is taken yet; `limit` bounds it, 0 does not. With `trailers`, they pass.
    pub fn new(body: Body, limit: u64, trailers: bool) -> Self {
        let left = match body {
            Body::Length(length) => Left::Bytes(length),
            Body::Chunked => Left::Chunks(Decoder::new(trailers)),
        };
        Self { left, allowed: (limit > 0).then_some(limit) }
    }

    /// Whether all of it is taken.
    pub fn ended(&self) -> bool {
        match &self.left {
            Left::Bytes(left) => *left == 0,
            Left::Chunks(decoder) => decoder.ended(),
        }
    }

    /// Take what belongs to the body from `bytes`, and append to `out` what the endpoint is to get of it.
    ///
    /// # Errors
    /// The body is none, or too large.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Taken, Cause> {
        match &mut self.left {
            Left::Bytes(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                out.extend_from_slice(bytes.get(..used).unwrap_or_default());
                *left -= used as u64;
                Ok(Taken { used, payload: used })
            }
            Left::Chunks(decoder) => take_chunks(decoder, &mut self.allowed, bytes, out),
        }
    }

    /// Send what is left of the body as it comes from the client.
    ///
    /// # Errors
    /// Why it has not gone whole; the side of the cause says who is to blame.
    pub async fn run(
        mut self,
        exchange: &Exchange<'_>,
        buffer: &mut Buffer,
        connection: &Connection,
        watch: &Watch,
    ) -> Result<(), Cause> {
        let (body_ms, silence_ms) = (exchange.listener.timeouts.body_ms, exchange.pool.settings.timeouts.silence_ms);
        let mut out = exchange.client.core.buffers.scratch();
        let (rate, mut waited) = (exchange.listener.limits.body_rate, 0);
        while !self.ended() {
            if buffer.is_full() {
                stop_keeping(exchange, buffer);
            }
            let received = exchange.tally.received.get();
            // Who expects to be asked for the body is not waited for, but the endpoint.
            let asked = received > 0 || !exchange.facts.expects;
            let left = pace::left_ms(rate, received, waited).filter(|_| asked).unwrap_or(u64::MAX);
            if left == 0 {
                return Err(Cause::BodyTooSlow);
            }
            let cause = if left < body_ms { Cause::BodyTooSlow } else { Cause::BodyTimeout };
            let began = clock::now();
            watch.arm_ms(left.min(body_ms));
            match exchange.client.peer.read(buffer, watch).await {
                Ok(1..) => {}
                Ok(0) | Err(Stall::Broken) => return Err(Cause::ClientClosed),
                Err(Stall::Interrupted(_)) => return Err(cause),
            }
            waited += if asked { clock::now().micros_since(began) } else { 0 };
            let kept = exchange.tally.kept.get();
            let taken = self.take(buffer.filled().get(kept..).unwrap_or_default(), &mut out)?;
            keep(exchange, buffer, taken.used);
            add(&exchange.tally.received, taken.payload);
            watch.arm_ms(silence_ms);
            match connection.peer.write(&out, watch, &mut 0).await {
                Ok(()) => out.clear(),
                Err(Stall::Broken) => return Err(Cause::EndpointClosed),
                Err(Stall::Interrupted(_)) => return Err(Cause::SilenceTimeout),
            }
        }
        exchange.client.core.buffers.give_scratch(out);
        Ok(())
    }
}

/// So many more bytes of the buffer have been sent: keep them in case the request has to be sent again, if it may be.
pub fn keep(exchange: &Exchange<'_>, buffer: &mut Buffer, used: usize) {
    let tally = &exchange.tally;
    tally.kept.set(tally.kept.get() + used);
    let most = if exchange.facts.idempotent { exchange.pool.settings.retry.replay_bytes } else { 0 };
    if !tally.replayable.get() || tally.kept.get() as u64 > most || exchange.answered() {
        stop_keeping(exchange, buffer);
    }
}

fn stop_keeping(exchange: &Exchange<'_>, buffer: &mut Buffer) {
    buffer.consume(exchange.tally.kept.take());
    exchange.tally.replayable.set(false);
}

fn take_chunks(
    decoder: &mut Decoder,
    allowed: &mut Option<u64>,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<Taken, Cause> {
    let mut taken = Taken { used: 0, payload: 0 };
    loop {
        let rest = bytes.get(taken.used..).unwrap_or_default();
        let (used, piece) = decoder.next(rest).map_err(|_| Cause::MalformedBody)?;
        taken.used += used;
        match piece {
            Piece::Begin(size) => {
                if let Some(allowed) = allowed {
                    *allowed = allowed.checked_sub(size).ok_or(Cause::BodyTooLarge)?;
                }
                write_begin(out, size);
            }
            Piece::Payload { bytes: count, ends } => {
                out.extend_from_slice(rest.get(used - count..used).unwrap_or_default());
                taken.payload += count;
                if ends {
                    out.extend_from_slice(CHUNK_END);
                }
            }
            Piece::End => {
                write_end(out, decoder.trailers()).map_err(|_| Cause::MalformedBody)?;
                return Ok(taken);
            }
            Piece::More => return Ok(taken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(mut upload: Upload, pieces: &[&[u8]]) -> (Result<usize, Cause>, Vec<u8>, bool) {
        let (mut out, mut payload) = (Vec::new(), 0);
        for piece in pieces {
            match upload.take(piece, &mut out) {
                Ok(taken) => payload += taken.payload,
                Err(cause) => return (Err(cause), out, false),
            }
        }
        (Ok(payload), out, upload.ended())
    }

    #[test]
    fn a_body_of_known_length_leaves_what_follows() {
        let mut upload = Upload::new(Body::Length(3), 0, false);
        let mut out = Vec::new();
        assert_eq!(upload.take(b"abcGET", &mut out), Ok(Taken { used: 3, payload: 3 }));
        assert!(upload.ended() && out == b"abc");
        assert!(Upload::new(Body::Length(0), 0, false).ended());
    }

    #[test]
    fn chunks_keep_their_bounds_and_lose_extensions_and_trailers() {
        let pieces: [&[u8]; 3] = [b"003;x=y\r\nab", b"c\r\n1\r\n.\r", b"\n0\r\nX: 1\r\n\r\n"];
        let (payload, out, ended) = take_all(Upload::new(Body::Chunked, 0, false), &pieces);
        assert_eq!((payload, ended), (Ok(4), true));
        assert_eq!(out, b"3\r\nabc\r\n1\r\n.\r\n0\r\n\r\n");
    }

    #[test]
    fn trailers_pass_where_they_may_and_must_be_fields() {
        let pieces: [&[u8]; 2] = [b"1\r\n.\r\n0\r\nX-Sum: 1\r\nHost: b", b"\r\n\r\n"];
        let (payload, out, ended) = take_all(Upload::new(Body::Chunked, 0, true), &pieces);
        assert_eq!((payload, ended), (Ok(1), true));
        assert_eq!(out, b"1\r\n.\r\n0\r\nX-Sum: 1\r\n\r\n");
        let (found, ..) = take_all(Upload::new(Body::Chunked, 0, true), &[b"0\r\nno colon\r\n\r\n"]);
        assert_eq!(found, Err(Cause::MalformedBody));
    }

    #[test]
    fn chunks_past_the_bound_are_refused_when_they_begin() {
        let (found, out, _) = take_all(Upload::new(Body::Chunked, 4, false), &[b"3\r\nabc\r\n2\r\n"]);
        assert_eq!((found, out.as_slice()), (Err(Cause::BodyTooLarge), b"3\r\nabc\r\n".as_slice()));
        let (found, ..) = take_all(Upload::new(Body::Chunked, 3, false), &[b"3\r\nabc\r\n0\r\n\r\n"]);
        assert_eq!(found, Ok(3));
    }
}
