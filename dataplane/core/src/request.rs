//! A request head, read once and strictly (RFC 9112 sections 2 to 5). What comes out borrows from the bytes that came in.

use crate::fields::{kind, straight, Ending, Kind, Options};
use crate::framing::{self, Body, FramingError, Told, Version};
use crate::headers;
use memchr::memmem;
use std::sync::LazyLock;

/// Most header fields that can be read, whatever the listener allows.
pub const FIELDS_MOST: usize = 256;

/// Most options of all `Connection` fields together, empty ones included.
const OPTIONS_MOST: u32 = 32;

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
    /// The bytes it was read from, its empty line included.
    pub bytes: &'a [u8],
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
    /// What `Connection` says.
    pub options: Options,
    pub(crate) ending: Ending,
}

impl<'a> Head<'a, '_> {
    /// The path of the target, without query, as received.
    pub fn path(&self) -> &'a str {
        let query = memchr::memchr(b'?', self.target.as_bytes());
        let target = query.and_then(|end| self.target.get(..end)).unwrap_or(self.target);
        if target.starts_with('/') {
            target
        } else {
            path_of_absolute(target)
        }
    }
}

fn path_of_absolute(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://") else { return target }; // `*`
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}

/// The length of the first whole head in `bytes`, its empty line included.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    static END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));
    END.find(bytes).map(|at| at + 4)
}

/// A bound of the first head in `bytes`: exact, but when the bytes end as a head does, which is looked at first; then
/// [`parse`] finds its end. `known` bytes have been looked at before.
pub fn head_bound(bytes: &[u8], known: usize) -> Option<usize> {
    if bytes.ends_with(b"\r\n\r\n") {
        return Some(bytes.len());
    }
    let start = known.saturating_sub(3);
    bytes.get(start..).and_then(head_length).map(|length| start + length)
}

/// Whether these bytes, which are no whole head yet, can still become one: so that one is refused that never will, a
/// TLS greeting for example, or lines that end without CR.
pub fn may_become_head(bytes: &[u8]) -> bool {
    let begins = bytes.first().is_none_or(|&byte| byte.is_ascii_graphic() || byte == b'\r');
    let control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n');
    begins && !bytes.iter().any(control) && straight_lines(bytes)
}

/// The first head in `bytes`, which hold at least one whole (see [`head_length`]).
///
/// # Errors
/// See [`HeadError`].
pub fn parse<'a, 'f>(bytes: &'a [u8], fields: &'f mut [Field<'a>]) -> Result<Head<'a, 'f>, HeadError> {
    let mut request = httparse::Request::new(fields);
    let used = match request.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
        Err(httparse::Error::Version) => return Err(version_error(bytes)),
        _ => return Err(HeadError::Malformed),
    };
    let bytes = bytes.get(..used).ok_or(HeadError::Malformed)?;
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(HeadError::Malformed) };
    let version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let fields: &'f [Field<'a>] = request.headers;
    // httparse skips empty lines before the request line.
    if !bytes.starts_with(method.as_bytes()) || !straight(bytes, fields) {
        return Err(HeadError::Malformed);
    }
    let telling = Telling::of(fields, headers::ends).ok_or(HeadError::Malformed)?;
    let host = host(version, &telling.host)?;
    judge_target(method, target, host)?;
    let body = framing::request_body(version, telling.length, telling.encoding).map_err(HeadError::Framing)?;
    Ok(Head { bytes, method, target, host, version, fields, body, options: telling.options, ending: telling.ending })
}

/// What the fields say that framing and routing hang on, read in one go.
#[derive(Default)]
pub(crate) struct Telling<'a> {
    pub(crate) host: Told<'a>,
    pub(crate) length: Told<'a>,
    pub(crate) encoding: Told<'a>,
    pub(crate) options: Options,
    pub(crate) ending: Ending,
}

impl<'a> Telling<'a> {
    /// None if a field has no name, or `Connection` too many options; `ends` tells which kinds end at the proxy.
    pub(crate) fn of(fields: &[Field<'a>], ends: impl Fn(Kind) -> bool) -> Option<Self> {
        let mut telling = Self::default();
        for (index, field) in fields.iter().enumerate() {
            let kind = kind(field.name);
            if ends(kind) {
                telling.ending.add(index);
            }
            match kind {
                Kind::Connection => telling.options.add(field.value),
                Kind::ContentLength => telling.length.add(field.value),
                Kind::Host => telling.host.add(field.value),
                Kind::TransferEncoding => telling.encoding.add(field.value),
                Kind::Plain if field.name.is_empty() => return None,
                Kind::Fixed | Kind::Hop | Kind::Owned | Kind::Plain | Kind::Upgrade => {}
            }
        }
        // Each field may have to be looked for among them.
        (telling.options.count <= OPTIONS_MOST).then_some(telling)
    }
}

/// The values of every field of this name, in order.
pub fn values<'a, 'f>(fields: &'f [Field<'a>], name: &'f str) -> impl Iterator<Item = &'a [u8]> + 'f {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// Whether every line so far ends in CRLF, and none is folded.
fn straight_lines(bytes: &[u8]) -> bool {
    let follows = bytes.iter().zip(bytes.iter().skip(1));
    // Without a branch, so that many bytes are judged at once.
    let crooked = follows.fold(0u8, |crooked, (&one, &next)| {
        let bare = u8::from(next == b'\n') & u8::from(one != b'\r');
        let folded = u8::from(one == b'\n') & (u8::from(next == b' ') | u8::from(next == b'\t'));
        crooked | bare | folded
    });
    crooked == 0 && bytes.first() != Some(&b'\n')
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

fn host<'a>(version: Version, told: &Told<'a>) -> Result<&'a str, HeadError> {
    match told {
        Told::Never if version == Version::Http10 => Ok(""),
        Told::Once(host) => valid_host(host).ok_or(HeadError::Host),
        Told::Never | Told::Often => Err(HeadError::Host),
    }
}

/// `uri-host [":" port]` (RFC 9110 section 7.2) of the characters RFC 3986 section 3.2.2 allows.
pub(crate) fn valid_host(host: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(host).ok()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (text, ""),
    };
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(is_host_byte),
    };
    (good && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// Of the characters of a registered name (RFC 3986 section 3.2.2).
fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'=')
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
        Some(authority) if !authority.is_empty() && authority.eq_ignore_ascii_case(host) => Ok(()),
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
        let found = parse_whole("OPTIONS * HTTP/1.1\r\nHost: ex.org\r\n\r\n");
        assert_eq!(found.map(|(_, path, _)| path), Ok("*".to_owned()));
        let found = parse_whole("GET http://ex.org?x=/admin HTTP/1.1\r\nHost: ex.org\r\n\r\n");
        assert_eq!(found.map(|(_, path, _)| path), Ok("/".to_owned()));
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
    fn a_head_is_found_wherever_it_ends() {
        let one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
        for (behind, bound) in [(b"".as_slice(), 27), (b"body", 27), (one, 54)] {
            let bytes = [one, behind].concat();
            assert_eq!(head_bound(&bytes, 0), Some(bound));
            let mut fields = [httparse::EMPTY_HEADER; 8];
            assert_eq!(parse(&bytes[..bound], &mut fields).unwrap().bytes, one);
        }
        assert_eq!(head_bound(&[one, b"body"].concat(), 25), Some(27));
        assert_eq!(head_bound(&one[..26], 0), None);
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
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,", Malformed),
            ("GET http:///admin HTTP/1.0", Host),
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
