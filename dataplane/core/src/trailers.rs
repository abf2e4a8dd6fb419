//! Trailer fields of a chunked body, where a route lets them pass: read as strictly as those of a head, without those that
//! would change a message after the fact (RFC 9110 section 6.5.1).

use crate::{fields, headers};

/// Most trailer fields of one body.
const FIELDS_MOST: usize = 64;
/// Fields that mean something only before a body, besides those the proxy owns or a message is framed by.
const FORBIDDEN: [&str; 30] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "cache-control",
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "expect",
    "expires",
    "from",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "retry-after",
    "set-cookie",
    "vary",
    "via",
    "www-authenticate",
];

/// The bytes are no trailer fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedTrailers;

/// What ends a chunked body: the last chunk and those of the trailer fields in `received` that may pass, appended to
/// `out`. `received` ends in the empty line behind them; it is empty if there are none.
///
/// # Errors
/// [`MalformedTrailers`].
pub fn write_end(out: &mut Vec<u8>, received: &[u8]) -> Result<(), MalformedTrailers> {
    out.extend_from_slice(b"0\r\n");
    if !received.is_empty() {
        let mut slots = [httparse::EMPTY_HEADER; FIELDS_MOST];
        let parsed = httparse::parse_headers(received, &mut slots).map_err(|_| MalformedTrailers)?;
        let httparse::Status::Complete((used, fields)) = parsed else { return Err(MalformedTrailers) };
        if used != received.len() || fields.iter().any(|field| field.name.is_empty()) {
            return Err(MalformedTrailers);
        }
        for field in fields.iter().filter(|field| passes(field.name)) {
            fields::write_field(out, field.name.as_bytes(), field.value);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn passes(name: &str) -> bool {
    !headers::reserved(name) && !FORBIDDEN.iter().any(|one| one.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(received: &str) -> Result<String, MalformedTrailers> {
        let mut out = Vec::new();
        write_end(&mut out, received.as_bytes()).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn fields_that_follow_a_body_pass_as_they_came() {
        assert_eq!(written(""), Ok("0\r\n\r\n".to_owned()));
        let two = "Grpc-Status: 0\r\nETag:\t\"x\" \r\n\r\n";
        assert_eq!(written(two), Ok("0\r\nGrpc-Status: 0\r\nETag: \"x\"\r\n\r\n".to_owned()));
    }

    #[test]
    fn fields_that_belong_before_a_body_are_dropped() {
        for name in [
            "Content-Length",
            "Transfer-Encoding",
            "HOST",
            "Authorization",
            "Cookie",
            "Set-Cookie",
            "Connection",
            "Trailer",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "content_length",
            "Forwarded",
            "Content-Type",
            "If-Match",
        ] {
            assert_eq!(written(&format!("{name}: 1\r\nX: 2\r\n\r\n")), Ok("0\r\nX: 2\r\n\r\n".to_owned()), "{name}");
        }
    }

    #[test]
    fn what_are_no_fields_is_refused() {
        for text in
            ["no colon\r\n\r\n", "A : 1\r\n\r\n", ": 1\r\n\r\n", "A: \u{1}\r\n\r\n", "A: 1\r\n b\r\n\r\n", "A: 1\r\n"]
        {
            assert_eq!(written(text), Err(MalformedTrailers), "{text:?}");
        }
        assert_eq!(written(&format!("{}\r\n", "A: 1\r\n".repeat(65))), Err(MalformedTrailers));
    }
}
