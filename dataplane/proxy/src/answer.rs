//! In: a connection on which a request was sent. Out: the answer, rewritten and relayed to the client as it comes.

use crate::buffer::Buffer;
use crate::connections::Connection;
use crate::exchange::{add, Exchange, Failed};
use crate::peer::Stall;
use pinfold_core::chunked::{write_begin, Decoder, Piece, CHUNK_END, LAST_CHUNK};
use pinfold_core::failure::Cause;
use pinfold_core::framing::Version;
use pinfold_core::request::{self, Field};
use pinfold_core::response::{self, AnswerBody, AnswerHead, Passage};
use pinfold_core::retry::Progress;
use pinfold_core::trailers::write_end;
use std::future::poll_fn;
use std::task::Poll;

/// Fields of an answer for which there is room.
const FIELDS_MOST: usize = 256;
/// Fields for which there is room at first.
const FIELDS_FEW: usize = 48;
/// 1xx answers before the one that counts.
const INTERIM_MOST: u32 = 16;
/// Bytes of the head of an answer.
const HEAD_BYTES_MOST: usize = 65536;
/// Bytes of a body that are copied behind the head, to be written with it.
const COPY_MOST: usize = 16 * 1024;

/// How an answer ended.
pub enum Ended {
    /// The endpoint has switched to another protocol; these bytes of it have come already.
    Upgraded(Buffer),
    /// It was relayed.
    Whole {
        /// The connection to the endpoint can be used again.
        reusable: bool,
        /// The connection of the client stays open.
        stays: bool,
    },
}

/// The head that counts, once its bytes are gone.
#[derive(Clone, Copy)]
struct Begun {
    status: u16,
    body: AnswerBody,
    passage: Passage,
    reusable: bool,
    stays: bool,
}

/// What the bytes at hand were.
enum Translated {
    /// The head that counts; it stands in `out`.
    Final(Begun),
    /// A head that another one follows; it stands in `out`.
    Interim,
    /// No whole head.
    Partial,
}

/// Relay the answer.
///
/// # Errors
/// [`Failed`], with progress `Sent` if nothing of an answer came.
pub async fn relay(exchange: &Exchange<'_>, connection: &Connection) -> Result<Ended, Failed> {
    let buffers = &exchange.client.core.buffers;
    let mut buffer = Buffer::new(buffers);
    read_more(exchange, connection, &mut buffer).await?;
    let mut out = buffers.scratch();
    let relayed = relay_head(exchange, connection, &mut buffer, &mut out).await;
    let ended = match relayed {
        Ok(begun) if begun.status == 101 => {
            exchange.tally.status.set(begun.status);
            write(exchange, &out).await.map(|()| Ended::Upgraded(buffer))
        }
        Ok(begun) => {
            let mut body = Body::new(begun, exchange.facts.trailers);
            let whole = body.relay(exchange, connection, &mut buffer, &mut out).await;
            // An endpoint that answered an `Expect` without a 100 may not have read the body, and take it for a request.
            let read = !exchange.facts.expects || exchange.continued.get();
            let reusable = begun.reusable && buffer.is_empty() && exchange.tally.uploaded.get() && read;
            whole.map(|()| Ended::Whole { reusable, stays: begun.stays })
        }
        Err(failed) => Err(failed),
    };
    buffers.give_scratch(out);
    ended
}

/// Go through heads until the one that counts; it is left in `out` for the client.
async fn relay_head(
    exchange: &Exchange<'_>,
    connection: &Connection,
    buffer: &mut Buffer,
    out: &mut Vec<u8>,
) -> Result<Begun, Failed> {
    let (mut interim, mut known) = (0, 0);
    loop {
        // Whole at first sight, as a rule; once it was not, its end is looked for before it is read again.
        let whole = known == 0 || request::head_bound(buffer.filled(), known).is_some();
        let translated = if whole { translate(exchange, buffer, out) } else { Ok(Translated::Partial) };
        match translated.map_err(Failed::begun)? {
            Translated::Final(begun) => {
                exchange.note_head(connection.endpoint(), begun.status, out);
                return Ok(begun);
            }
            Translated::Interim if interim == INTERIM_MOST => return Err(Failed::begun(Cause::MalformedAnswer)),
            Translated::Interim => {
                // HTTP/1.0 knows none (RFC 9110 section 15.2).
                if exchange.facts.version == Version::Http11 {
                    exchange.tally.interim.set(true);
                    write(exchange, out).await?;
                    exchange.tally.interim.set(false);
                }
                out.clear();
                (interim, known) = (interim + 1, 0);
                if buffer.is_empty() {
                    read_more(exchange, connection, buffer).await?;
                }
            }
            Translated::Partial => {
                known = buffer.filled().len();
                read_more(exchange, connection, buffer).await?;
            }
        }
    }
}

/// Read on in what comes before the body.
async fn read_more(exchange: &Exchange<'_>, connection: &Connection, buffer: &mut Buffer) -> Result<(), Failed> {
    if buffer.filled().len() >= HEAD_BYTES_MOST {
        return Err(Failed::begun(Cause::MalformedAnswer));
    }
    // Behind an interim answer the wait for a first byte begins anew.
    let fresh = buffer.is_empty();
    let read = if fresh { wait(exchange, connection, buffer).await? } else { read(exchange, connection, buffer).await };
    let first = !exchange.heard.get();
    match read {
        Ok(1..) => {
            exchange.heard.set(true);
            if first {
                exchange.note_first_byte(connection.endpoint());
            }
            arm_silence(exchange);
            Ok(())
        }
        Ok(0) | Err(Stall::Broken) => {
            let progress = if first { Progress::Sent } else { Progress::Begun };
            Err(Failed { cause: Cause::EndpointClosed, progress })
        }
        Err(Stall::Interrupted(_)) => {
            Err(Failed::begun(if fresh { Cause::FirstByteTimeout } else { Cause::SilenceTimeout }))
        }
    }
}

async fn read(exchange: &Exchange<'_>, connection: &Connection, buffer: &mut Buffer) -> Result<usize, Stall> {
    connection.peer.read(buffer, exchange.watch()).await
}

/// Wait for the answer to begin, as long as the client does.
async fn wait(
    exchange: &Exchange<'_>,
    connection: &Connection,
    buffer: &mut Buffer,
) -> Result<Result<usize, Stall>, Failed> {
    // While the body is still on its way, who sends it also sees to the deadline.
    if exchange.tally.uploaded.get() {
        exchange.watch().arm_ms(exchange.pool.settings.timeouts.first_byte_ms);
    }
    let mut watching = true;
    poll_fn(|cx| {
        if let Poll::Ready(read) = connection.peer.poll_read(cx, buffer, exchange.watch()) {
            return Poll::Ready(Ok(read));
        }
        if watching {
            match exchange.client.peer.poll_reset(cx) {
                Poll::Ready(true) => return Poll::Ready(Err(Failed::begun(Cause::ClientClosed))),
                Poll::Ready(false) => watching = false,
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

/// Use up the head that the buffer begins with, and append to `out` what the client is to get for it.
fn translate(exchange: &Exchange<'_>, buffer: &mut Buffer, out: &mut Vec<u8>) -> Result<Translated, Cause> {
    let facts = &exchange.facts;
    let bytes = buffer.filled();
    let mut few = [httparse::EMPTY_HEADER; FIELDS_FEW];
    let mut many: [Field<'_>; FIELDS_MOST];
    let parsed = match response::parse(bytes, &mut few, facts.to_head) {
        Err(_) => {
            many = [httparse::EMPTY_HEADER; FIELDS_MOST];
            response::parse(bytes, &mut many, facts.to_head)
        }
        parsed => parsed,
    };
    let Some(mut head) = parsed.map_err(|_| Cause::MalformedAnswer)? else { return Ok(Translated::Partial) };
    if facts.version == Version::Http10 {
        head.hide_coding();
    }
    let used = head.bytes.len();
    if used > HEAD_BYTES_MOST {
        return Err(Cause::MalformedAnswer);
    }
    let translated = if head.interim() {
        exchange.continued.set(exchange.continued.get() || head.status == 100);
        response::write_head(out, &head, Passage::AsIs, response::Connection::Silent, false);
        Translated::Interim
    } else if head.status == 101 && !facts.upgrade {
        return Err(Cause::MalformedAnswer);
    } else {
        let begun = begin(exchange, &head);
        response::write_head(out, &head, begun.passage, connection_field(facts.version, &begun), facts.trailers);
        Translated::Final(begun)
    };
    buffer.consume(used);
    Ok(translated)
}

fn begin(exchange: &Exchange<'_>, head: &AnswerHead<'_, '_>) -> Begun {
    let facts = &exchange.facts;
    let passage = response::passage(head.body, facts.version);
    let table = exchange.client.core.table();
    let going = exchange.client.core.stopping() || table.listener(exchange.listener.key).is_none();
    let stays = facts.stays && passage != Passage::UntilClose && exchange.tally.uploaded.get() && !going;
    Begun { status: head.status, body: head.body, passage, reusable: head.reusable, stays }
}

fn connection_field(version: Version, begun: &Begun) -> response::Connection {
    match (begun.status, begun.stays, version) {
        (101, ..) => response::Connection::Upgrade,
        (_, false, _) => response::Connection::Close,
        (_, true, Version::Http10) => response::Connection::KeepAlive,
        (_, true, Version::Http11) => response::Connection::Silent,
    }
}

fn arm_silence(exchange: &Exchange<'_>) {
    exchange.watch().arm_ms(exchange.pool.settings.timeouts.silence_ms);
}

/// Write to the client.
async fn write(exchange: &Exchange<'_>, bytes: &[u8]) -> Result<(), Failed> {
    exchange.watch().arm_ms(exchange.listener.timeouts.body_ms);
    match exchange.client.peer.write(bytes, exchange.watch(), &mut 0).await {
        Ok(()) => {
            arm_silence(exchange);
            Ok(())
        }
        Err(Stall::Broken) => Err(Failed::begun(Cause::ClientClosed)),
        Err(Stall::Interrupted(_)) => Err(Failed::begun(Cause::BodyTimeout)),
    }
}

/// A body on its way to the client.
struct Body {
    left: Left,
    passage: Passage,
    status: u16,
}

enum Left {
    Bytes(u64),
    Chunks(Decoder),
    /// Until the endpoint closes.
    Open,
}

impl Body {
    fn new(begun: Begun, trailers: bool) -> Self {
        let left = match begun.body {
            AnswerBody::None => Left::Bytes(0),
            AnswerBody::Length(length) => Left::Bytes(length),
            AnswerBody::Chunked => Left::Chunks(Decoder::new(trailers)),
            AnswerBody::UntilClose => Left::Open,
        };
        Self { left, passage: begun.passage, status: begun.status }
    }

    fn ended(&self) -> bool {
        match &self.left {
            Left::Bytes(left) => *left == 0,
            Left::Chunks(decoder) => decoder.ended(),
            Left::Open => false,
        }
    }

    /// Relay it, behind the head that is in `out`.
    async fn relay(
        &mut self,
        exchange: &Exchange<'_>,
        connection: &Connection,
        buffer: &mut Buffer,
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        loop {
            let used = match &mut self.left {
                Left::Bytes(left) => {
                    exchange.tally.status.set(self.status);
                    let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.filled().len());
                    *left -= piece as u64;
                    write_plain(exchange, buffer.filled().get(..piece).unwrap_or_default(), out).await?;
                    piece
                }
                Left::Chunks(_) | Left::Open => {
                    let used = self.encode(exchange, buffer.filled(), out).map_err(Failed::begun)?;
                    exchange.tally.status.set(self.status);
                    if !out.is_empty() {
                        write(exchange, out).await?;
                        out.clear();
                    }
                    used
                }
            };
            buffer.consume(used);
            if self.ended() {
                return Ok(());
            }
            arm_silence(exchange);
            match connection.peer.read(buffer, exchange.watch()).await {
                Ok(1..) => {}
                Ok(0) if matches!(self.left, Left::Open) => return self.close(exchange).await,
                Ok(0) | Err(Stall::Broken) => return Err(Failed::begun(Cause::TruncatedAnswer)),
                Err(Stall::Interrupted(_)) => return Err(Failed::begun(Cause::SilenceTimeout)),
            }
        }
    }

    /// What the client is to get of `bytes`, appended to `out`; how many of them are used.
    fn encode(&mut self, exchange: &Exchange<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Cause> {
        let chunked = self.passage == Passage::Chunked;
        let Left::Chunks(decoder) = &mut self.left else {
            add(&exchange.tally.sent, bytes.len());
            if chunked && !bytes.is_empty() {
                write_begin(out, bytes.len() as u64);
            }
            out.extend_from_slice(bytes);
            if chunked && !bytes.is_empty() {
                out.extend_from_slice(CHUNK_END);
            }
            return Ok(bytes.len());
        };
        let mut total = 0;
        loop {
            let rest = bytes.get(total..).unwrap_or_default();
            let (used, piece) = decoder.next(rest).map_err(|_| Cause::MalformedAnswer)?;
            total += used;
            match piece {
                Piece::Begin(size) if chunked => write_begin(out, size),
                Piece::Begin(_) => {}
                Piece::Payload { bytes: count, ends } => {
                    add(&exchange.tally.sent, count);
                    out.extend_from_slice(rest.get(used - count..used).unwrap_or_default());
                    if ends && chunked {
                        out.extend_from_slice(CHUNK_END);
                    }
                }
                Piece::End => {
                    if chunked {
                        write_end(out, decoder.trailers()).map_err(|_| Cause::MalformedAnswer)?;
                    }
                    return Ok(total);
                }
                Piece::More => return Ok(total),
            }
        }
    }

    /// The endpoint has closed, which ends the body.
    async fn close(&self, exchange: &Exchange<'_>) -> Result<(), Failed> {
        if self.passage == Passage::Chunked {
            write(exchange, LAST_CHUNK).await?;
        }
        Ok(())
    }
}

/// Write the head in `out`, if it is still there, and a piece of the body: together if that costs little.
async fn write_plain(exchange: &Exchange<'_>, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
    add(&exchange.tally.sent, piece.len());
    if out.is_empty() {
        return if piece.is_empty() { Ok(()) } else { write(exchange, piece).await };
    }
    let together = piece.len() <= COPY_MOST;
    if together {
        out.extend_from_slice(piece);
    }
    write(exchange, out).await?;
    out.clear();
    if together {
        return Ok(());
    }
    write(exchange, piece).await
}
