//! Which fields of a request go on to the endpoint, and which the proxy sets itself. A client's copies of what the proxy
//! owns go first, ours come last, so a client can neither forge them nor strip them by naming them in `Connection`.

use crate::request::{values, Field, Head};
use std::net::IpAddr;

/// Fields the proxy owns: a client's copies never go on, in any spelling.
const OWNED: [&str; 9] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-real-ip",
];
/// Fields of one hop (RFC 9110 section 7.6.1); framing is written anew.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
/// Fields that a `Connection` option cannot take away: without them the message would be another one.
const UNSTRIPPABLE: [&str; 4] = ["authorization", "content-length", "cookie", "host"];

/// What the endpoint is told of the client.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Its address; None on a unix socket.
    pub address: Option<IpAddr>,
    /// `http` or `https`.
    pub proto: &'a str,
    /// Port of the listener; None on a unix socket.
    pub port: Option<u16>,
}

/// Whether the field goes on to the endpoint as it is.
pub fn passes(head: &Head<'_, '_>, field: &Field<'_>) -> bool {
    let name = field.name;
    if is_one_of(name, &HOP_BY_HOP) || is_one_of(name, &OWNED) || aliases(name) {
        return false;
    }
    is_one_of(name, &UNSTRIPPABLE) || !options(head).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

/// The fields the proxy sets, appended to `out` as whole lines.
pub fn write_own(out: &mut Vec<u8>, head: &Head<'_, '_>, client: Client<'_>) {
    let mut line = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    };
    if let Some(address) = client.address {
        line("X-Forwarded-For", &address.to_canonical().to_string());
    }
    line("X-Forwarded-Proto", client.proto);
    if !head.host.is_empty() {
        line("X-Forwarded-Host", head.host);
    }
    if let Some(port) = client.port {
        line("X-Forwarded-Port", &port.to_string());
    }
}

/// The options of all `Connection` fields.
fn options<'f>(head: &'f Head<'_, '_>) -> impl Iterator<Item = &'f [u8]> {
    values(head.fields, "connection").flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

fn is_one_of(name: &str, list: &[&str]) -> bool {
    list.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Whether the name becomes, in programs that turn `-` and `_` into the same variable, that of a field the proxy owns or
/// a message is framed by.
fn aliases(name: &str) -> bool {
    let same = |one: &&str| {
        one.len() == name.len()
            && one.bytes().zip(name.bytes()).all(|(a, b)| a == b.to_ascii_lowercase() || (a == b'-' && b == b'_'))
    };
    name.contains('_') && OWNED.iter().chain(&HOP_BY_HOP).chain(&UNSTRIPPABLE).any(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;

    fn forwarded(fields: &str) -> Vec<String> {
        let text = format!("GET / HTTP/1.1\r\nHost: ex.org:8772\r\n{fields}\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 32];
        let head = request::parse(text.as_bytes(), &mut slots).unwrap();
        let passed = head.fields.iter().filter(|field| passes(&head, field)).map(|field| field.name.to_owned());
        passed.collect()
    }

    #[test]
    fn a_client_cannot_forge_what_the_proxy_sets_in_any_spelling() {
        for name in OWNED {
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

    #[test]
    fn the_endpoint_is_told_the_client_once() {
        let mut slots = [httparse::EMPTY_HEADER; 4];
        let head = request::parse(b"GET / HTTP/1.1\r\nHost: ex.org:8772\r\n\r\n", &mut slots).unwrap();
        let client = Client { address: "::ffff:192.0.2.7".parse().ok(), proto: "https", port: Some(8772) };
        let mut out = Vec::new();
        write_own(&mut out, &head, client);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: ex.org:8772\r\nX-Forwarded-Port: 8772\r\n"
        );
    }
}
