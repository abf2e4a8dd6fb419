//! The only place that turns a failure into an answer: cause to status, and the bytes the client gets.

use pinfold_core::failure::Cause;

/// The status a cause is answered with; 0 where no answer makes sense.
pub fn status(cause: Cause) -> u16 {
    match cause {
        Cause::InvalidHost | Cause::InvalidTarget | Cause::MalformedBody | Cause::MalformedHead => 400,
        Cause::NoRoute => 404,
        Cause::MethodNotAllowed => 405,
        Cause::BodyTimeout | Cause::BodyTooSlow | Cause::HeadTimeout => 408,
        Cause::BodyTooLarge => 413,
        Cause::TargetTooLong => 414,
        Cause::HeadTooLarge | Cause::TooManyFields => 431,
        Cause::ConnectMethod | Cause::UnknownCoding => 501,
        Cause::ConnectFailed | Cause::EndpointClosed | Cause::MalformedAnswer | Cause::TruncatedAnswer => 502,
        Cause::ConnectRefused | Cause::NoEndpoint | Cause::QueueFull | Cause::QueueTimeout => 503,
        Cause::ConnectTimeout | Cause::FirstByteTimeout | Cause::SilenceTimeout | Cause::TotalTimeout => 504,
        Cause::VersionNotSupported => 505,
        Cause::ClientClosed => 0,
    }
}

/// The reason phrase (RFC 9110 section 15) of a status that [`status`] gives.
fn reason(status: u16) -> &'static str {
    match status {
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    }
}

/// How an answer of our own is to be written.
pub struct Manner<'a> {
    /// Methods that are allowed, for 405.
    pub allow: &'a [String],
    /// The connection is closed behind it.
    pub close: bool,
    /// It answers a `HEAD`: no body.
    pub to_head: bool,
}

/// The answer to a failure, appended to `out`; returns the bytes of its body.
pub fn write(out: &mut Vec<u8>, cause: Cause, manner: &Manner<'_>) -> u64 {
    let status = status(cause);
    let reason = reason(status);
    let body = format!("{status} {reason}: {}\n", cause.word().replace('_', " "));
    let mut head = format!("HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n");
    if status == 503 {
        head.push_str("Retry-After: 1\r\n");
    }
    if status == 405 {
        head.push_str(&format!("Allow: {}\r\n", manner.allow.join(", ")));
    }
    if manner.close {
        head.push_str("Connection: close\r\n");
    }
    head.push_str(&format!("Cache-Control: no-store\r\nContent-Length: {}\r\n\r\n", body.len()));
    out.extend_from_slice(head.as_bytes());
    if manner.to_head {
        return 0;
    }
    out.extend_from_slice(body.as_bytes());
    body.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_core::failure::Side;

    #[test]
    fn the_class_of_the_status_says_whose_fault_it_is() {
        for cause in Cause::ALL {
            let class = status(cause) / 100;
            match cause.side() {
                Side::Client if cause == Cause::ClientClosed => assert_eq!(class, 0),
                // What we do not implement is asked for by the client, and answered 5xx all the same.
                Side::Client if matches!(status(cause), 501 | 505) => {}
                Side::Client => assert_eq!(class, 4, "{cause:?}"),
                Side::Endpoint => assert_eq!(class, 5, "{cause:?}"),
                Side::Proxy => assert!(matches!(status(cause), 404 | 503 | 504), "{cause:?}"),
            }
        }
    }

    #[test]
    fn the_answer_has_its_length_and_says_why() {
        let mut out = Vec::new();
        let allow = ["GET".to_owned(), "HEAD".to_owned()];
        write(&mut out, Cause::MethodNotAllowed, &Manner { allow: &allow, close: true, to_head: false });
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nAllow: GET, HEAD\r\nConnection: close\r\n"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(body, "405 Method Not Allowed: method not allowed\n");
        let mut out = Vec::new();
        let sent = write(&mut out, Cause::NoEndpoint, &Manner { allow: &[], close: false, to_head: true });
        assert!(sent == 0 && out.ends_with(b"\r\n\r\n"));
    }
}
