//! How long the body of a request is (RFC 9112 section 6), decided in one table. Whatever two parsers could read
//! differently is refused: smuggling lives on the difference.

/// The HTTP versions we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// After the last chunk.
    Chunked,
    /// After this many bytes; 0 is no body.
    Length(u64),
}

/// Why the length of a body cannot be told; each is a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// Both `Content-Length` and `Transfer-Encoding`: 400.
    BothLengths,
    /// Not one plain decimal number: 400.
    ContentLength,
    /// `Transfer-Encoding` on HTTP/1.0: 400.
    EncodingOnHttp10,
    /// `chunked` not exactly once: 400.
    TransferEncoding,
    /// A coding we do not know: 501.
    UnknownCoding,
}

/// What fields of one name say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told<'a> {
    /// There is none.
    #[default]
    Never,
    /// There is one, of this value.
    Once(&'a [u8]),
    /// There are several.
    Often,
}

impl<'a> Told<'a> {
    /// There is another field, of this value.
    pub fn add(&mut self, value: &'a [u8]) {
        *self = if *self == Self::Never { Self::Once(value) } else { Self::Often };
    }
}

/// The body of a request with this `Content-Length` and this `Transfer-Encoding`.
///
/// # Errors
/// See [`FramingError`]; nothing is guessed.
pub fn request_body(version: Version, length: Told<'_>, encoding: Told<'_>) -> Result<Body, FramingError> {
    let length = only_length(length)?;
    match (version, length, only_encoding(encoding)?) {
        (_, None, None) => Ok(Body::Length(0)),
        (_, Some(length), None) => Ok(Body::Length(length)),
        (_, Some(_), Some(_)) => Err(FramingError::BothLengths),
        (Version::Http10, None, Some(_)) => Err(FramingError::EncodingOnHttp10),
        (Version::Http11, None, Some(Chunked)) => Ok(Body::Chunked),
    }
}

struct Chunked;

fn only_length(length: Told<'_>) -> Result<Option<u64>, FramingError> {
    match length {
        Told::Never => Ok(None),
        Told::Once(text) => decimal(text).map(Some).ok_or(FramingError::ContentLength),
        Told::Often => Err(FramingError::ContentLength),
    }
}

fn only_encoding(encoding: Told<'_>) -> Result<Option<Chunked>, FramingError> {
    let coding = match encoding {
        Told::Never => return Ok(None),
        Told::Once(coding) => coding,
        Told::Often => return Err(FramingError::TransferEncoding),
    };
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Some(Chunked));
    }
    let lower = coding.to_ascii_lowercase();
    let mentions = lower.windows(b"chunked".len()).any(|window| window == b"chunked");
    Err(if mentions || coding.is_empty() { FramingError::TransferEncoding } else { FramingError::UnknownCoding })
}

/// A plain decimal number: digits only, at least one, no overflow.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(version: Version, lengths: &[&'static str], encodings: &[&'static str]) -> Result<Body, FramingError> {
        let told = |texts: &[&'static str]| {
            let mut told = Told::default();
            texts.iter().for_each(|text| told.add(text.as_bytes()));
            told
        };
        request_body(version, told(lengths), told(encodings))
    }

    #[test]
    fn each_row_of_the_table() {
        use FramingError::*;
        use Version::*;
        type Row<'a> = (Version, &'a [&'static str], &'a [&'static str], Result<Body, FramingError>);
        let rows: &[Row<'_>] = &[
            (Http11, &[], &[], Ok(Body::Length(0))),
            (Http10, &[], &[], Ok(Body::Length(0))),
            (Http11, &["0"], &[], Ok(Body::Length(0))),
            (Http11, &["17"], &[], Ok(Body::Length(17))),
            (Http10, &["17"], &[], Ok(Body::Length(17))),
            (Http11, &[], &["chunked"], Ok(Body::Chunked)),
            (Http11, &[], &["CHUNKED"], Ok(Body::Chunked)),
            (Http11, &["1"], &["chunked"], Err(BothLengths)),
            (Http10, &[], &["chunked"], Err(EncodingOnHttp10)),
            (Http11, &["1", "1"], &[], Err(ContentLength)),
            (Http11, &["1", "2"], &[], Err(ContentLength)),
            (Http11, &["1, 1"], &[], Err(ContentLength)),
            (Http11, &["+1"], &[], Err(ContentLength)),
            (Http11, &["-1"], &[], Err(ContentLength)),
            (Http11, &["0x1"], &[], Err(ContentLength)),
            (Http11, &["1 1"], &[], Err(ContentLength)),
            (Http11, &[""], &[], Err(ContentLength)),
            (Http11, &["99999999999999999999"], &[], Err(ContentLength)),
            (Http11, &[], &["chunked", "chunked"], Err(TransferEncoding)),
            (Http11, &[], &["gzip", "chunked"], Err(TransferEncoding)),
            (Http11, &[], &["gzip, chunked"], Err(TransferEncoding)),
            (Http11, &[], &["chunked, chunked"], Err(TransferEncoding)),
            (Http11, &[], &["\x0bchunked"], Err(TransferEncoding)),
            (Http11, &[], &["xchunked"], Err(TransferEncoding)),
            (Http11, &[], &[""], Err(TransferEncoding)),
            (Http11, &[], &["gzip"], Err(UnknownCoding)),
            (Http11, &[], &["identity"], Err(UnknownCoding)),
        ];
        for (version, lengths, encodings, wanted) in rows {
            assert_eq!(body(*version, lengths, encodings), *wanted, "{version:?} {lengths:?} {encodings:?}");
        }
    }
}
