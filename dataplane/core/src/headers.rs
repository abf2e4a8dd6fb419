//! Which fields of a request go on to the endpoint, and which the proxy sets itself. A client's copies of what the proxy
//! owns go first, ours come last, so a client can neither forge them nor strip them by naming them in `Connection`.

use crate::fields::{kind, named_in_connection, write_field, write_passing, Kind};
use crate::forwarding::Told;
use crate::framing::{Body, Version};
use crate::request::{values, Field, Head};

/// The head as the endpoint gets it, appended to `out`: method, target and fields as they came, but for those of one hop
/// and those the proxy owns; then what the proxy sets.
///
/// `told` is of the client's connection. `address`, which the client connected to, stands in for the `Host` that
/// HTTP/1.0 does not demand. With `trailers`, they are announced and asked for as the client does.
pub fn write_request(out: &mut Vec<u8>, head: &Head<'_, '_>, told: &Told, address: &str, trailers: bool) {
    for part in [head.method, " ", head.target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let ends = |field: &Field<'_>| {
        let kind = kind(field.name);
        ends(kind) || (kind == Kind::Plain && head.options.others && named_in_connection(head.fields, field.name))
    };
    write_passing(out, head.bytes, head.fields, head.ending.unless(head.options.others), ends);
    if head.host.is_empty() {
        write_field(out, b"Host", address.as_bytes());
    }
    told.write(out, head);
    if head.body == Body::Chunked {
        if trailers {
            write_trailer_names(out, head.fields);
        }
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if let Some(protocol) = upgrade(head) {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        write_field(out, b"Upgrade", protocol);
    } else if trailers && wants_trailers(head.fields) {
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The `Trailer` fields as they came (RFC 9110 section 6.6.2), appended to `out`.
pub(crate) fn write_trailer_names(out: &mut Vec<u8>, fields: &[Field<'_>]) {
    for names in values(fields, "trailer") {
        write_field(out, b"Trailer", names);
    }
}

/// Whether trailers are asked for (RFC 9110 section 10.1.4).
fn wants_trailers(fields: &[Field<'_>]) -> bool {
    let codings = values(fields, "te").flat_map(|value| value.split(|&byte| byte == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// The protocol a request asks to switch to (RFC 9110 section 7.8), if it may be passed on.
///
/// None beside a body, which could not be told from what the other protocol says. None for `h2c`: an endpoint that takes
/// it up would answer requests that no route has seen.
pub fn upgrade<'a>(head: &Head<'a, '_>) -> Option<&'a [u8]> {
    if !head.options.upgrade {
        return None;
    }
    let mut protocols = head.fields.iter().filter(|field| kind(field.name) == Kind::Upgrade).map(|field| field.value);
    let (protocol, None) = (protocols.next()?, protocols.next()) else { return None };
    let bare = head.version == Version::Http11 && head.body == Body::Length(0);
    let h2c = protocol.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    (bare && !h2c && !protocol.is_empty()).then_some(protocol)
}

/// Whether the client wants its connection to stay open behind the answer (RFC 9112 section 9.3).
pub fn client_stays(head: &Head<'_, '_>) -> bool {
    match head.version {
        Version::Http11 => !head.options.close,
        Version::Http10 => head.options.keep_alive && !head.options.close,
    }
}

/// Whether a field of a request ends here, by its name alone.
pub(crate) fn ends(kind: Kind) -> bool {
    match kind {
        Kind::Connection | Kind::Hop | Kind::Owned | Kind::TransferEncoding | Kind::Upgrade => true,
        Kind::ContentLength | Kind::Fixed | Kind::Host | Kind::Plain => false,
    }
}

/// Whether the proxy owns the field, or a message is framed, routed or authorized by it; in any spelling.
pub(crate) fn reserved(name: &str) -> bool {
    kind(name) != Kind::Plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forwarding::Client;
    use crate::request;
    use pinfold_wire::Forwarded;

    fn forwarded(fields: &str) -> Vec<String> {
        let text = format!("GET / HTTP/1.1\r\nHost: ex.org:8772\r\n{fields}\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 32];
        let head = request::parse(text.as_bytes(), &mut slots).unwrap();
        let mut out = Vec::new();
        let client = Client { address: None, proto: "http", port: None };
        write_request(&mut out, &head, &Told::new(client, Forwarded::None, None), "127.0.0.1", false);
        let mut again = [httparse::EMPTY_HEADER; 32];
        request::parse(&out, &mut again).unwrap().fields.iter().map(|field| field.name.to_owned()).collect()
    }

    #[test]
    fn a_client_cannot_forge_what_the_proxy_sets_in_any_spelling() {
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-forwarded-proto",
            "x-forwarded-protocol",
            "x-forwarded-scheme",
            "x-forwarded-server",
            "x-forwarded-ssl",
            "x-real-ip",
            "x-url-scheme",
            "front-end-https",
        ] {
            for spelling in [name.to_owned(), name.to_uppercase(), name.replace('-', "_"), name.replacen('-', "_", 1)] {
                assert_eq!(forwarded(&format!("{spelling}: 6.6.6.6\r\n")), ["Host"], "{spelling}");
            }
        }
    }

    #[test]
    fn hop_by_hop_fields_and_those_named_in_connection_end_here() {
        let fields = "Connection: close, X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Keep: 1\r\nConnection: x-too\r\nX-Too: 1\r\n";
        assert_eq!(forwarded(fields), ["Host", "X-Keep"]);
    }

    #[test]
    fn connection_cannot_take_away_what_the_message_is() {
        let fields = "Connection: host, content-length, cookie, authorization\r\nContent-Length: 0\r\nCookie: a\r\n";
        assert_eq!(forwarded(fields), ["Host", "Content-Length", "Cookie"]);
    }

    fn written(text: &str) -> String {
        written_with(text, false)
    }

    fn written_with(text: &str, trailers: bool) -> String {
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let head = request::parse(text.as_bytes(), &mut slots).unwrap();
        let client = Client { address: "::ffff:192.0.2.7".parse().ok(), proto: "https", port: Some(8772) };
        let told = Told::new(client, Forwarded::XForwarded, None);
        let mut out = Vec::new();
        write_request(&mut out, &head, &told, "127.0.0.1:8772", trailers);
        String::from_utf8(out).unwrap()
    }

    const OWN: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8772\r\n";

    #[test]
    fn the_endpoint_is_told_the_client_once_and_the_rest_is_as_it_came() {
        let text = "POST /a%2F?b=%20 HTTP/1.1\r\nhost: ex.org:8772\r\nX-Forwarded-For: 6.6.6.6\r\nA: 1\r\na:  2 \r\nTransfer-Encoding: chunked\r\n\r\n";
        let wanted = format!(
            "POST /a%2F?b=%20 HTTP/1.1\r\nhost: ex.org:8772\r\nA: 1\r\na:  2 \r\nX-Forwarded-Host: ex.org:8772\r\n{OWN}Transfer-Encoding: chunked\r\n\r\n"
        );
        assert_eq!(written(text), wanted);
    }

    #[test]
    fn http_1_0_without_host_is_sent_on_with_the_address_it_came_to() {
        let wanted = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:8772\r\n{OWN}\r\n");
        assert_eq!(written("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), wanted);
    }

    #[test]
    fn an_upgrade_passes_but_not_to_h2c_nor_beside_a_body() {
        let ask = |protocol: &str, more: &str| {
            written(&format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n{more}\r\n"
            ))
        };
        assert!(ask("websocket", "").ends_with("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
        for plain in [ask("h2c", ""), ask("x, H2C", ""), ask("websocket", "Content-Length: 1\r\n")] {
            assert!(!plain.contains("Upgrade"), "{plain}");
        }
    }

    #[test]
    fn trailers_are_announced_and_asked_for_only_where_they_pass() {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=1, Trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (with, without) = (written_with(text, true), written(text));
        assert!(
            with.ends_with("Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\nConnection: TE\r\nTE: trailers\r\n\r\n"),
            "{with}"
        );
        assert!(!without.contains("Trailer:") && !without.contains("TE:"), "{without}");
        let plain = written_with("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\nTrailer: X\r\n\r\n", true);
        assert!(!plain.contains("Trailer:") && !plain.contains("TE"), "{plain}");
    }

    #[test]
    fn who_closes_the_connection_is_told_by_version_and_connection() {
        for (version, value, wanted) in [
            ("1.1", "keep-alive", true),
            ("1.1", "x, Close", false),
            ("1.0", "x", false),
            ("1.0", "Keep-Alive", true),
            ("1.0", "keep-alive, close", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {value}\r\n\r\n");
            let mut slots = [httparse::EMPTY_HEADER; 4];
            assert_eq!(
                client_stays(&request::parse(text.as_bytes(), &mut slots).unwrap()),
                wanted,
                "{version} {value}"
            );
        }
    }
}
