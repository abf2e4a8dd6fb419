//! A request head, read once and strictly (RFC 9112 sections 2 to 5). What comes out borrows from the bytes that came in.

use crate::framing::{self, Body, FramingError, Version};
use memchr::memmem;
use std::sync::LazyLock;

/// Most header fields that can be read, whatever the listener allows.
pub const FIELDS_MOST: usize = 256;

/// One header field as received.
pub type Field<'a> = httparse::Header<'a>;

/// Why a head is refused; `respond` in the proxy gives each its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// `CONNECT` is not offered: 501.
    Connect,
    /// See [`FramingError`].
    Framing(FramingError),
    /// Missing, repeated or invalid `Host`, or one that disagrees with the target: 400.
    Host,
    /// The bytes are no head: 400.
    Malformed,
    /// The target is no target of this method: 400.
    Target,
    /// More fields than allowed: 431.
    TooManyFields,
    /// Neither 1.0 nor 1.1: 505.
    Version,
}

/// A request head that may be forwarded.
#[derive(Debug)]
pub struct Head<'a, 'f> {
    /// As received.
    pub method: &'a str,
    /// As received, byte for byte.
    pub target: &'a str,
    /// As received; empty on HTTP/1.0 without one.
    pub host: &'a str,
    /// Of the request.
    pub version: Version,
    /// All fields, in order.
    pub fields: &'f [Field<'a>],
    /// Where the body ends.
    pub body: Body,
}

impl<'a> Head<'a, '_> {
    /// The path of the target, without query, as received.
    pub fn path(&self) -> &'a str {
        let target = if self.target.starts_with('/') { self.target } else { path_of_absolute(self.target) };
        memchr::memchr(b'?', target.as_bytes()).and_then(|end| target.get(..end)).unwrap_or(target)
    }
}

fn path_of_absolute(target: &str) -> &str {
    let after = target.split_once("://").map_or(target, |(_, rest)| rest);
    after.find('/').and_then(|at| after.get(at..)).unwrap_or("/")
}

/// The length of the first whole head in `bytes`, its empty line included.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    static END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));
    END.find(bytes).map(|at| at + 4)
}

/// Whether these bytes, which are no whole head yet, can still become one: so that one is refused that never will, a
/// TLS greeting for example, or lines that end without CR.
pub fn may_become_head(bytes: &[u8]) -> bool {
    let begins = bytes.first().is_none_or(|&byte| byte.is_ascii_graphic() || byte == b'\r');
    let control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n');
    begins && !bytes.iter().any(control) && refuse_bare_line_ends(bytes).is_ok()
}

/// The head in `bytes`, which are exactly one (see [`head_length`]).
///
/// # Errors
/// See [`HeadError`].
pub fn parse<'a, 'f>(bytes: &'a [u8], fields: &'f mut [Field<'a>]) -> Result<Head<'a, 'f>, HeadError> {
    refuse_bare_line_ends(bytes)?;
    let mut request = httparse::Request::new(fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(used)) if used == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
        Err(httparse::Error::Version) => return Err(version_error(bytes)),
        _ => return Err(HeadError::Malformed),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(HeadError::Malformed) };
    let version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let fields: &'f [Field<'a>] = request.headers;
    if fields.iter().any(|field| field.name.is_empty()) {
        return Err(HeadError::Malformed);
    }
    let host = host(version, fields)?;
    judge_target(method, target, host)?;
    let body = framing::request_body(version, values(fields, "content-length"), values(fields, "transfer-encoding"))
        .map_err(HeadError::Framing)?;
    Ok(Head { method, target, host, version, fields, body })
}

/// The values of every field of this name, in order.
pub fn values<'a, 'f>(fields: &'f [Field<'a>], name: &'f str) -> impl Iterator<Item = &'a [u8]> + 'f {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// httparse takes a bare LF for a line end; RFC 9112 section 2.2 lets us, and smuggling forbids it.
///
/// # Errors
/// [`HeadError::Malformed`] for a line that ends otherwise, and for a folded one.
pub(crate) fn refuse_bare_line_ends(bytes: &[u8]) -> Result<(), HeadError> {
    let mut before = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        if at == 0 || bytes.get(at - 1) != Some(&b'\r') {
            return Err(HeadError::Malformed);
        }
        // A continuation line (obs-fold) begins with white space.
        if before > 0 && matches!(bytes.get(before), Some(b' ' | b'\t')) {
            return Err(HeadError::Malformed);
        }
        before = at + 1;
    }
    Ok(())
}

fn version_error(bytes: &[u8]) -> HeadError {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    match line.rsplit(|&byte| byte == b' ').next() {
        Some(b"HTTP/1.0" | b"HTTP/1.1") => HeadError::Malformed, // The fault is before it.
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            HeadError::Version
        }
        _ => HeadError::Malformed,
    }
}

fn host<'a>(version: Version, fields: &[Field<'a>]) -> Result<&'a str, HeadError> {
    let mut hosts = values(fields, "host");
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::Http10 => Ok(""),
        (Some(host), None) => valid_host(host).ok_or(HeadError::Host),
        _ => Err(HeadError::Host),
    }
}

/// `uri-host [":" port]` (RFC 9110 section 7.2) of the characters RFC 3986 section 3.2.2 allows.
fn valid_host(host: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(host).ok()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (text, ""),
    };
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte))
        }
    };
    (good && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn judge_target(method: &str, target: &str, host: &str) -> Result<(), HeadError> {
    if method == "CONNECT" {
        return Err(HeadError::Connect);
    }
    if target.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || byte == b'#') {
        return Err(HeadError::Target);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(());
    }
    let authority = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| rest.split(['/', '?']).next().unwrap_or_default())
    });
    match authority {
        Some(authority) if authority.eq_ignore_ascii_case(host) => Ok(()),
        Some(_) => Err(HeadError::Host),
        None => Err(HeadError::Target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_whole(text: &str) -> Result<(String, String, Body), HeadError> {
        let mut fields = [httparse::EMPTY_HEADER; 8];
        parse(text.as_bytes(), &mut fields).map(|head| (head.host.to_owned(), head.path().to_owned(), head.body))
    }

    fn error(lines: &str) -> HeadError {
        parse_whole(&format!("{lines}\r\n\r\n")).expect_err(lines)
    }

    #[test]
    fn a_plain_request_is_read_as_it_is() {
        let found = parse_whole("POST /a%2Fb?x=/y HTTP/1.1\r\nHost: ex.org:8772\r\nContent-Length: 3\r\n\r\n");
        assert_eq!(found, Ok(("ex.org:8772".to_owned(), "/a%2Fb".to_owned(), Body::Length(3))));
    }

    #[test]
    fn an_absolute_target_must_agree_with_host() {
        let found = parse_whole("GET http://Ex.org/p?q HTTP/1.1\r\nHost: ex.org\r\n\r\n");
        assert_eq!(found.map(|(_, path, _)| path), Ok("/p".to_owned()));
        assert_eq!(error("GET http://evil/ HTTP/1.1\r\nHost: ex.org"), HeadError::Host);
    }

    #[test]
    fn what_never_becomes_a_head_is_known_before_its_end() {
        for (bytes, wanted) in [
            (b"".as_slice(), true),
            (b"GET", true),
            (b"GET / HTTP/1.1\r", true),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", true),
            (b"GET / HTTP/1.1\n", false),
            (b"\x16\x03\x01", false),
            (b"GET / HTTP/1.1\r\nA: \0", false),
            (b"\x80", false),
        ] {
            assert_eq!(may_become_head(bytes), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn http_1_0_needs_no_host() {
        assert!(parse_whole("GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use HeadError::*;
        for (lines, wanted) in [
            ("GET / HTTP/1.1", Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a", Host),
            ("GET / HTTP/1.1\r\nHost: a b", Host),
            ("GET / HTTP/1.1\r\nHost: a@b", Host),
            ("GET / HTTP/1.1\r\nHost:", Host),
            ("GET / HTTP/1.1\r\nHost: a:80x", Host),
            ("GET / HTTP/1.1\r\nHost: [::1", Host),
            ("GET / HTTP/1.1\r\nHost : a", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded", Malformed),
            ("GET / HTTP/1.1\r\n Host: a", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\nX: 1", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \0", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\n: x", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nno colon", Malformed),
            ("GET  / HTTP/1.1\r\nHost: a", Malformed),
            ("G(T / HTTP/1.1\r\nHost: a", Malformed),
            ("GET /  HTTP/1.1\r\nHost: a", Malformed),
            ("GET /a b HTTP/1.1\r\nHost: a", Malformed),
            ("GET / HTTP/2.0\r\nHost: a", Version),
            ("GET / HTTP/1.2\r\nHost: a", Version),
            ("GET / HTP/1.1\r\nHost: a", Malformed),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1", Connect),
            ("GET * HTTP/1.1\r\nHost: a", Target),
            ("GET a HTTP/1.1\r\nHost: a", Target),
            ("GET /#x HTTP/1.1\r\nHost: a", Target),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
                Framing(FramingError::BothLengths),
            ),
        ] {
            assert_eq!(error(lines), wanted, "{lines:?}");
        }
    }
}
