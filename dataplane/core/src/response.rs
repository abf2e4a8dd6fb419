//! The head of an answer, read as strictly as that of a request (RFC 9112 sections 4 and 6), and how it is written for the
//! client. Whatever an endpoint and a client could read differently is refused.

use crate::fields::{kind, named_in_connection, straight, write_passing, Ending, Kind};
use crate::framing::{decimal, Told, Version};
use crate::headers;
use crate::request::{Field, Telling};

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// After the last chunk.
    Chunked,
    /// After this many bytes.
    Length(u64),
    /// There is none, whatever the fields say (RFC 9110 section 6.4.1).
    None,
    /// When the endpoint closes the connection.
    UntilClose,
}

/// The answer is no HTTP, or its length can be told in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedAnswer;

/// The head of an answer.
#[derive(Debug)]
pub struct AnswerHead<'a, 'f> {
    /// The bytes it was read from, its empty line included.
    pub bytes: &'a [u8],
    /// 100 to 999.
    pub status: u16,
    /// As received; may be empty.
    pub reason: &'a str,
    /// All fields, in order.
    pub fields: &'f [Field<'a>],
    /// Where the body ends.
    pub body: AnswerBody,
    /// Whether the endpoint keeps the connection open behind it.
    pub reusable: bool,
    /// Whether `Connection` names fields.
    names: bool,
    /// Whether there is a `Transfer-Encoding` field.
    encoded: bool,
    ending: Ending,
}

impl AnswerHead<'_, '_> {
    /// Whether another head follows: 1xx, but not 101 (RFC 9110 section 15.2).
    pub fn interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Hide from a client of HTTP/1.0, which knows no chunks, that the body would have come in some.
    pub fn hide_coding(&mut self) {
        self.encoded = false;
    }
}

/// How an answer goes on to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// As it came: its length is told by `Content-Length`, or there is no body.
    AsIs,
    /// In chunks.
    Chunked,
    /// Its end is told by closing the connection: to HTTP/1.0 clients.
    UntilClose,
}

/// How a body goes on to a client of this version.
pub fn passage(body: AnswerBody, client: Version) -> Passage {
    match (body, client) {
        (AnswerBody::Length(_) | AnswerBody::None, _) => Passage::AsIs,
        (AnswerBody::Chunked | AnswerBody::UntilClose, Version::Http11) => Passage::Chunked,
        (AnswerBody::Chunked | AnswerBody::UntilClose, Version::Http10) => Passage::UntilClose,
    }
}

/// What the `Connection` field of the answer is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: an HTTP/1.1 connection stays open.
    Silent,
    /// `close`
    Close,
    /// `keep-alive`, for HTTP/1.0 clients that asked for it.
    KeepAlive,
    /// `Upgrade`, beside a 101.
    Upgrade,
}

/// The first head in `bytes`, of an answer to a `HEAD` request or to another; None while it is not there whole.
///
/// # Errors
/// [`MalformedAnswer`]; nothing is guessed.
pub fn parse<'a, 'f>(
    bytes: &'a [u8],
    slots: &'f mut [Field<'a>],
    to_head: bool,
) -> Result<Option<AnswerHead<'a, 'f>>, MalformedAnswer> {
    let mut answer = httparse::Response::new(slots);
    let used = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(MalformedAnswer),
    };
    let bytes = bytes.get(..used).ok_or(MalformedAnswer)?;
    let (Some(status @ 100..), Some(version)) = (answer.code, answer.version) else { return Err(MalformedAnswer) };
    let fields: &'f [Field<'a>] = answer.headers;
    // httparse skips empty lines before the status line.
    if !bytes.starts_with(b"HTTP/1.") || !straight(bytes, fields) {
        return Err(MalformedAnswer);
    }
    let telling = Telling::of(fields, ends).ok_or(MalformedAnswer)?;
    let body = body(status, version == 1, to_head, &telling)?;
    let options = telling.options;
    let stays = !options.close && (version == 1 || options.keep_alive);
    let reusable = stays && body != AnswerBody::UntilClose && status != 101;
    let reason = answer.reason.unwrap_or_default();
    let encoded = telling.encoding != Told::Never;
    Ok(Some(AnswerHead {
        bytes,
        status,
        reason,
        fields,
        body,
        reusable,
        names: options.others,
        encoded,
        ending: telling.ending,
    }))
}

/// Whether a field of an answer ends here, by its name alone.
fn ends(kind: Kind) -> bool {
    match kind {
        Kind::Connection | Kind::Hop | Kind::TransferEncoding | Kind::Upgrade => true,
        Kind::ContentLength | Kind::Fixed | Kind::Host | Kind::Owned | Kind::Plain => false,
    }
}

/// RFC 9112 section 6.3, with each way to read it twice shut.
fn body(status: u16, http11: bool, to_head: bool, telling: &Telling<'_>) -> Result<AnswerBody, MalformedAnswer> {
    let length = match telling.length {
        Told::Never => None,
        Told::Once(text) => Some(decimal(text).ok_or(MalformedAnswer)?),
        Told::Often => return Err(MalformedAnswer),
    };
    let chunked = match telling.encoding {
        Told::Never => false,
        Told::Once(coding) if http11 && coding.eq_ignore_ascii_case(b"chunked") => true,
        Told::Once(_) | Told::Often => return Err(MalformedAnswer),
    };
    if chunked && length.is_some() {
        return Err(MalformedAnswer);
    }
    Ok(match (status, length) {
        (100..=199 | 204 | 304, _) => AnswerBody::None,
        _ if to_head => AnswerBody::None,
        _ if chunked => AnswerBody::Chunked,
        (_, Some(length)) => AnswerBody::Length(length),
        (_, None) => AnswerBody::UntilClose,
    })
}

/// The head as the client gets it, appended to `out`.
///
/// Fields of one hop end here (RFC 9110 section 7.6.1) and framing is told anew; everything else passes as it came, in
/// its order. No `Via` and no `Date` is added.
///
/// With `trailers`, those of a chunked body are announced as the endpoint did.
pub fn write_head(
    out: &mut Vec<u8>,
    head: &AnswerHead<'_, '_>,
    passage: Passage,
    connection: Connection,
    trailers: bool,
) {
    let status = head.status;
    let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or(0));
    for part in [b"HTTP/1.1 ".as_slice(), &digits, b" ", head.reason.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
    // Neither may come with these (RFC 9110 section 8.6, RFC 9112 section 6.1).
    let bare = status < 200 || status == 204;
    let unusual = head.names || bare || status == 101 || passage != Passage::AsIs;
    write_passing(out, head.bytes, head.fields, head.ending.unless(unusual), |field| match kind(field.name) {
        Kind::ContentLength => bare || passage != Passage::AsIs,
        Kind::Upgrade => status != 101,
        kind if ends(kind) => true,
        _ => head.names && named_in_connection(head.fields, field.name),
    });
    // An answer to HEAD tells how the body would have come.
    let told = head.body == AnswerBody::None && !bare && head.encoded;
    if trailers && passage == Passage::Chunked {
        headers::write_trailer_names(out, head.fields);
    }
    if passage == Passage::Chunked || told {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(match connection {
        Connection::Silent => b"\r\n".as_slice(),
        Connection::Close => b"Connection: close\r\n\r\n",
        Connection::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        Connection::Upgrade => b"Connection: Upgrade\r\n\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str, to_head: bool) -> Result<(u16, AnswerBody, bool), MalformedAnswer> {
        let text = format!("{lines}\r\n\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let head = parse(text.as_bytes(), &mut slots, to_head)?.unwrap();
        Ok((head.status, head.body, head.reusable))
    }

    fn written(lines: &str, to_head: bool, client: Version, connection: Connection) -> String {
        let text = format!("{lines}\r\n\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let head = parse(text.as_bytes(), &mut slots, to_head).unwrap().unwrap();
        let mut out = Vec::new();
        write_head(&mut out, &head, passage(head.body, client), connection, false);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_row_of_the_framing_table() {
        use AnswerBody::*;
        for (lines, to_head, wanted) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5", false, Ok((200, Length(5), true))),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", false, Ok((200, Chunked, true))),
            ("HTTP/1.1 200 OK", false, Ok((200, UntilClose, false))),
            ("HTTP/1.1 200", false, Ok((200, UntilClose, false))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5", true, Ok((200, None, true))),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", true, Ok((200, None, true))),
            ("HTTP/1.1 204 No Content", false, Ok((204, None, true))),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5", false, Ok((304, None, true))),
            ("HTTP/1.1 100 Continue", false, Ok((100, None, true))),
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x", false, Ok((101, None, false))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close", false, Ok((200, Length(5), false))),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5", false, Ok((200, Length(5), false))),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive", false, Ok((200, Length(5), true))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", false, Err(MalformedAnswer)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", false, Err(MalformedAnswer)),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5", false, Err(MalformedAnswer)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", false, Err(MalformedAnswer)),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", false, Err(MalformedAnswer)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity", true, Err(MalformedAnswer)),
            ("HTTP/1.1 20 OK", false, Err(MalformedAnswer)),
            ("HTTP/1.1 2000 OK", false, Err(MalformedAnswer)),
            ("HTTP/2.0 200 OK", false, Err(MalformedAnswer)),
            ("\r\nHTTP/1.1 200 OK", false, Err(MalformedAnswer)),
            ("ICY 200 OK", false, Err(MalformedAnswer)),
            ("HTTP/1.1 200 OK\r\nX : 1", false, Err(MalformedAnswer)),
            ("HTTP/1.1 200 OK\r\nX: 1\r\n folded", false, Err(MalformedAnswer)),
            ("HTTP/1.1 200 OK\nX: 1", false, Err(MalformedAnswer)),
        ] {
            assert_eq!(read(lines, to_head), wanted, "{lines:?} {to_head}");
        }
    }

    #[test]
    fn fields_pass_as_they_came_but_for_those_of_one_hop() {
        let lines = "HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nKeep-Alive: 5\r\nConnection: X-Hop\r\nx-hop: 1\r\nset-cookie: b\r\nContent-Length: 2";
        let wanted = "HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(written(lines, false, Version::Http11, Connection::Silent), wanted);
    }

    #[test]
    fn a_body_without_length_is_chunked_for_1_1_and_closed_for_1_0() {
        let lines = "HTTP/1.0 200 OK\r\nServer: x";
        let chunked = "HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(written(lines, false, Version::Http11, Connection::Silent), chunked);
        let closed = "HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close\r\n\r\n";
        assert_eq!(written(lines, false, Version::Http10, Connection::Close), closed);
    }

    #[test]
    fn an_answer_to_head_tells_the_length_and_204_tells_none() {
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(written("HTTP/1.1 200 OK\r\nContent-Length: 9", true, Version::Http11, Connection::Silent), sized);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked";
        assert_eq!(written(chunked, true, Version::Http11, Connection::Silent), format!("{chunked}\r\n\r\n"));
        let none = "HTTP/1.1 204 \r\nContent-Length: 0";
        assert_eq!(written(none, false, Version::Http11, Connection::Silent), "HTTP/1.1 204 \r\n\r\n");
    }

    #[test]
    fn an_upgrade_keeps_its_name() {
        let lines =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x";
        let wanted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\n\r\n";
        assert_eq!(written(lines, false, Version::Http11, Connection::Upgrade), wanted);
    }
}
