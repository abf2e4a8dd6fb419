//! Chunked bodies: however they are cut, they are read alike, and as the second opinion reads them.

use crate::differential::OWNED;
use crate::plain;
use pinfold_core::chunked::{write_begin, ChunkError, Decoder, Piece, CHUNK_END};
use pinfold_core::trailers::write_end;

/// Bytes of a size line or of the trailers up to which the second opinion, which knows no limits, must agree.
const SHORT: usize = 4096;

/// A body that was read: its payload, the bytes used, and how it is sent on.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// What it carries.
    pub payload: Vec<u8>,
    /// Bytes used.
    pub used: usize,
    /// What the endpoint gets.
    pub sent: Vec<u8>,
    /// Whether the end was seen.
    pub ended: bool,
}

/// Reads a body that comes in these pieces, as the proxy relays it, with its trailers or without.
///
/// # Errors
/// As [`Decoder::next`]; trailers that are none are one too.
pub fn read(pieces: &[&[u8]], trailers: bool) -> Result<Read, ChunkError> {
    let mut decoder = Decoder::new(trailers);
    let mut read = Read { payload: Vec::new(), used: 0, sent: Vec::new(), ended: false };
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !read.ended {
            let (used, found) = decoder.next(rest)?;
            assert!(found != Piece::More || used == rest.len(), "bytes left over");
            read.take(&rest[..used], found);
            rest = &rest[used..];
        }
    }
    assert_eq!(decoder.ended(), read.ended);
    if read.ended {
        write_end(&mut read.sent, decoder.trailers()).map_err(|_| ChunkError)?;
    }
    Ok(read)
}

impl Read {
    fn take(&mut self, used: &[u8], found: Piece) {
        self.used += used.len();
        match found {
            Piece::Begin(size) => write_begin(&mut self.sent, size),
            Piece::Payload { bytes, ends } => {
                self.payload.extend_from_slice(&used[used.len() - bytes..]);
                self.sent.extend_from_slice(&used[used.len() - bytes..]);
                self.sent.extend_from_slice(if ends { CHUNK_END } else { b"" });
            }
            Piece::End => self.ended = true,
            Piece::More => {}
        }
    }
}

/// Panics when a cut changes what is read, or when the second opinion differs. The first byte says where to cut, and
/// whether trailers are kept.
pub fn check(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let (at, trailers) = (usize::from(how / 2) % (bytes.len() + 1), how % 2 == 1);
    let whole = read(&[bytes], trailers);
    let (first, second) = bytes.split_at(at);
    assert_eq!(whole, read(&[first, second], trailers), "cut at {at}");
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(whole, read(&single, trailers), "byte by byte");
    match (whole, plain::chunked(bytes)) {
        (Ok(found), second) if found.ended => {
            let second = second.expect("a body that is none");
            assert_eq!((&second.payload, second.bytes), (&found.payload, found.used));
            let sent = plain::chunked(&found.sent).expect("what is sent on is no body");
            assert_eq!((sent.payload, sent.bytes), (found.payload, found.sent.len()), "sent on");
            let may = |one: &(&[u8], &[u8])| trailers && second.trailers.contains(one) && !means_more(one.0);
            assert!(sent.trailers.iter().all(may), "a trailer that was not said, or may not be sent on");
        }
        (Ok(_), second) => assert!(second.is_none(), "not seen to end"),
        (Err(ChunkError), Some(second)) => assert!(second.bytes > SHORT || refused_all_the_same(bytes), "refused"),
        (Err(ChunkError), None) => {}
    }
}

/// Whether a field would frame, route or authorize a message, in the spelling of any program.
fn means_more(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
    let named =
        ["content-length", "transfer-encoding", "host", "connection", "authorization", "cookie", "te", "trailer"];
    named.contains(&name.as_str()) || OWNED.contains(&name.as_str())
}

/// Sizes of more than 15 digits are, whatever they come to; and more than 64 trailers.
fn refused_all_the_same(bytes: &[u8]) -> bool {
    bytes.split(|byte| !byte.is_ascii_hexdigit()).any(|digits| digits.len() > 15)
        || bytes.iter().filter(|&&byte| byte == b':').count() > 64
}
