//! The chunked coding (RFC 9112 section 7.1), read byte by byte as it comes: payload is handed on as slices of the input,
//! extensions are dropped, trailers kept if asked for, and everything else but the letter of the RFC is refused.

/// Most bytes of one size line, extensions included, and of all trailers.
const LINE_MOST: u32 = 4096;

/// The bytes are no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkError;

/// What the bytes read by one call of [`Decoder::next`] were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A chunk of so many bytes begins.
    Begin(u64),
    /// The body is over, trailers included; what follows belongs to the next message.
    End,
    /// Nothing yet; all input is used.
    More,
    /// The last so many of the bytes used are payload; `ends` the chunk.
    Payload {
        /// How many.
        bytes: usize,
        /// Whether the chunk has no more.
        ends: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { digits: u8 },
    Extension,
    SizeEnd,
    Payload,
    PayloadCr,
    PayloadLf,
    TrailerStart,
    TrailerName,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// How far a chunked body has been read.
#[derive(Clone, Debug)]
pub struct Decoder {
    at: At,
    left: u64,
    line: u32,
    /// What followed the last chunk, if it is kept.
    trailers: Option<Vec<u8>>,
}

impl Decoder {
    /// One for a body of which nothing has been read; with `trailers`, they are kept.
    pub fn new(trailers: bool) -> Self {
        Self { at: At::Size { digits: 0 }, left: 0, line: 0, trailers: trailers.then(Vec::new) }
    }

    /// The trailer fields with the empty line behind them, for [`crate::trailers::write_end`]; empty if there are none, or
    /// if they are not kept.
    pub fn trailers(&self) -> &[u8] {
        self.trailers.as_deref().unwrap_or_default()
    }

    /// Whether the last chunk and the end of the trailers have been read.
    pub fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Reads from `input` up to and with the next piece: how many bytes of it are used, and what they were.
    ///
    /// # Errors
    /// [`ChunkError`]; the connection cannot be used any more.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, Piece), ChunkError> {
        for (index, &byte) in input.iter().enumerate() {
            match self.at {
                At::End => return Ok((index, Piece::End)),
                At::Payload => {
                    let bytes = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - index);
                    self.left -= bytes as u64;
                    let ends = self.left == 0;
                    if ends {
                        self.at = At::PayloadCr;
                    }
                    return Ok((index + bytes, Piece::Payload { bytes, ends }));
                }
                _ => self.step(byte)?,
            }
            if self.at == At::Payload {
                return Ok((index + 1, Piece::Begin(self.left)));
            }
        }
        Ok((input.len(), if self.ended() { Piece::End } else { Piece::More }))
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.line += 1;
        if self.line > LINE_MOST {
            return Err(ChunkError);
        }
        if let (At::TrailerStart | At::TrailerName | At::Trailer | At::TrailerLf | At::EndLf, Some(trailers)) =
            (self.at, &mut self.trailers)
        {
            // Without a field there is nothing to keep.
            if byte.is_ascii_graphic() || !trailers.is_empty() {
                trailers.push(byte);
            }
        }
        self.at = match (self.at, byte) {
            (At::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = char::from(byte).to_digit(16).ok_or(ChunkError)?;
                self.left = self.left * 16 + u64::from(digit);
                At::Size { digits: digits + 1 }
            }
            (At::Size { digits: 1.. }, b'\r') => At::SizeEnd,
            (At::Size { digits: 1.. }, b';') => At::Extension,
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => At::Extension,
            (At::SizeEnd, b'\n') if self.left == 0 => At::TrailerStart,
            (At::SizeEnd, b'\n') => self.begin(At::Payload),
            (At::PayloadCr, b'\r') => At::PayloadLf,
            (At::PayloadLf, b'\n') => self.begin(At::Size { digits: 0 }),
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::TrailerStart | At::TrailerName, byte) if is_token(byte) => At::TrailerName,
            (At::TrailerName, b':') => At::Trailer,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Trailer, b'\t' | b' '..=b'~' | 0x80..) => At::Trailer,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::EndLf, b'\n') => At::End,
            _ => return Err(ChunkError),
        };
        Ok(())
    }

    fn begin(&mut self, at: At) -> At {
        self.line = 0;
        at
    }
}

/// Whether the byte may be part of a name (`tchar`, RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The line that begins a chunk of so many bytes, appended to `out`.
pub fn write_begin(out: &mut Vec<u8>, bytes: u64) {
    let digits = (u64::BITS - bytes.leading_zeros()).div_ceil(4).max(1);
    out.extend(
        (0..digits)
            .rev()
            .filter_map(|digit| char::from_digit(((bytes >> (digit * 4)) & 15) as u32, 16))
            .map(|c| c as u8),
    );
    out.extend_from_slice(b"\r\n");
}

/// What follows the payload of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The last chunk, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload, the sizes of the chunks, whether the body ended and how many bytes were used.
    type Found = (Vec<u8>, Vec<u64>, bool, usize);

    fn read(pieces: &[&[u8]]) -> Result<Found, ChunkError> {
        let (mut decoder, mut payload, mut sizes, mut total) = (Decoder::new(false), Vec::new(), Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (used, found) = decoder.next(rest)?;
                match found {
                    Piece::Begin(size) => sizes.push(size),
                    Piece::Payload { bytes, .. } => payload.extend_from_slice(&rest[used - bytes..used]),
                    Piece::End | Piece::More => {}
                }
                rest = &rest[used..];
                total += used;
                if found == Piece::End {
                    break;
                }
            }
        }
        Ok((payload, sizes, decoder.ended(), total))
    }

    const GOOD: &[u8] = b"5;a=\"b\"\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nX-Sum: 1\r\n\r\nGET";

    #[test]
    fn any_split_of_the_bytes_gives_the_same_payload_and_leaves_what_follows() {
        for at in 0..=GOOD.len() {
            let found = read(&[&GOOD[..at], &GOOD[at..]]).unwrap();
            assert_eq!(found, (b"hello, world!!!".to_vec(), vec![5, 10], true, GOOD.len() - 3), "{at}");
        }
    }

    #[test]
    fn each_chunk_is_seen_to_begin_and_to_end() {
        let mut decoder = Decoder::new(true);
        assert_eq!(decoder.next(b"3\r\nabc\r\n"), Ok((3, Piece::Begin(3))));
        assert_eq!(decoder.next(b"ab"), Ok((2, Piece::Payload { bytes: 2, ends: false })));
        assert_eq!(decoder.next(b"c\r\n0\r\n\r\n"), Ok((1, Piece::Payload { bytes: 1, ends: true })));
        assert_eq!(decoder.next(b"\r\n0\r\n\r"), Ok((6, Piece::More)));
        assert_eq!(decoder.next(b"\nnext"), Ok((1, Piece::End)));
        assert_eq!(decoder.trailers(), b"");
    }

    #[test]
    fn trailers_are_kept_if_asked_for() {
        for (trailers, wanted) in [(true, b"X-Sum: 1\r\n\r\n".as_slice()), (false, b"")] {
            let mut decoder = Decoder::new(trailers);
            let mut rest = GOOD;
            while !decoder.ended() {
                let (used, _) = decoder.next(&rest[..rest.len().min(3)]).unwrap();
                rest = &rest[used..];
            }
            assert_eq!((decoder.trailers(), rest), (wanted, b"GET".as_slice()));
        }
    }

    #[test]
    fn sizes_are_written_as_plain_hexadecimal() {
        for (bytes, wanted) in
            [(0, "0\r\n"), (9, "9\r\n"), (16, "10\r\n"), (65535, "ffff\r\n"), (u64::MAX, "ffffffffffffffff\r\n")]
        {
            let mut out = Vec::new();
            write_begin(&mut out, bytes);
            assert_eq!(out, wanted.as_bytes());
        }
    }

    #[test]
    fn what_is_no_chunked_body_is_refused() {
        let bad: [&[u8]; 16] = [
            b"0\r\nX\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
            b"0\r\n: x\r\n\r\n",
            b"\r\n",
            b";x\r\n",
            b"g\r\n",
            b"5 \r\n",
            b"+5\r\n",
            b"0x5\r\n",
            b"5\n",
            b"5\rx",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"1;a\nb\r\n",
            b"0\r\n folded\r\n",
            b"1000000000000000\r\n",
        ];
        for bytes in bad {
            assert_eq!(read(&[bytes]), Err(ChunkError), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(read(&[b"1;", &[b'x'; 5000]]), Err(ChunkError));
    }
}
