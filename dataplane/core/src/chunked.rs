//! The chunked coding (RFC 9112 section 7.1), read byte by byte as it comes: payload is handed on as slices of the input,
//! extensions and trailers are dropped, and everything else but the letter of the RFC is refused.

/// Most bytes of one size line, extensions included, and of all trailers.
const LINE_MOST: u32 = 4096;

/// The bytes are no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { digits: u8 },
    Extension,
    SizeEnd,
    Payload,
    PayloadCr,
    PayloadLf,
    TrailerStart,
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
}

impl Default for Decoder {
    fn default() -> Self {
        Self { at: At::Size { digits: 0 }, left: 0, line: 0 }
    }
}

impl Decoder {
    /// Whether the last chunk and the end of the trailers have been read.
    pub fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Reads from `input` up to and with the next piece of payload: how many bytes of it are used, and how many of those,
    /// at their end, are payload. With nothing left to use both are 0.
    ///
    /// # Errors
    /// [`ChunkError`]; the connection cannot be used any more.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, usize), ChunkError> {
        let mut used = 0;
        while let Some(rest) = input.get(used..) {
            if self.at == At::Payload && !rest.is_empty() {
                let piece = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                self.left -= piece as u64;
                if self.left == 0 {
                    self.at = At::PayloadCr;
                }
                return Ok((used + piece, piece));
            }
            let Some(&byte) = rest.first() else { break };
            if self.at == At::End {
                break;
            }
            self.step(byte)?;
            used += 1;
        }
        Ok((used, 0))
    }

    fn step(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.line += 1;
        if self.line > LINE_MOST {
            return Err(ChunkError);
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
            (At::TrailerStart, b'!'..=b'~') => At::Trailer,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, usize), ChunkError> {
        let (mut decoder, mut payload, mut total) = (Decoder::default(), Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let (used, found) = decoder.next(rest)?;
                payload.extend_from_slice(&rest[used - found..used]);
                rest = &rest[used..];
                total += used;
                if used == 0 || rest.is_empty() {
                    break;
                }
            }
        }
        Ok((payload, decoder.ended(), total))
    }

    const GOOD: &[u8] = b"5;a=\"b\"\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nX-Sum: 1\r\n\r\nGET";

    #[test]
    fn any_split_of_the_bytes_gives_the_same_payload_and_leaves_what_follows() {
        for at in 0..GOOD.len() {
            let (payload, ended, used) = read(&[&GOOD[..at], &GOOD[at..]]).unwrap();
            assert_eq!((payload.as_slice(), ended, used), (b"hello, world!!!".as_slice(), true, GOOD.len() - 3));
        }
    }

    #[test]
    fn what_is_no_chunked_body_is_refused() {
        let bad: [&[u8]; 13] = [
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
