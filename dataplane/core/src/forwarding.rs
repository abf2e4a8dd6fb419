//! How an endpoint is told of the client, and who the client is: whoever connects, unless that is a trusted proxy. Then
//! what it says is kept as far as it is well-formed, who connected is added, and the client is the rightmost address that
//! is no trusted proxy's.

use crate::fields::write_field;
use crate::framing::decimal;
use crate::networks::Networks;
use crate::request::{valid_host, values, Field, Head};
use pinfold_wire::Forwarded;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

const FOR: &str = "x-forwarded-for";

/// Who has connected.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its address; None on a unix socket.
    pub address: Option<IpAddr>,
    /// `http` or `https`.
    pub proto: &'static str,
    /// Port of the listener; None on a unix socket.
    pub port: Option<u16>,
}

/// What endpoints are told on behalf of one connection of a client.
#[derive(Debug)]
pub struct Told {
    client: Client,
    how: Forwarded,
    /// Present: the client is a trusted proxy, one of these.
    trusted: Option<Arc<Networks>>,
    /// The lines of `X-Forwarded-*` that no request changes, then the `for=` of `Forwarded`.
    own: Box<[u8]>,
    lines: usize,
}

impl Told {
    /// For a connection of this client; `trusted` has all trusted proxies if it is one of them.
    pub fn new(client: Client, how: Forwarded, trusted: Option<Arc<Networks>>) -> Self {
        let client = Client { address: client.address.map(|address| address.to_canonical()), ..client };
        let mut own = Vec::with_capacity(128);
        if by_x(how) && trusted.is_none() {
            if let Some(address) = client.address {
                write_field(&mut own, b"X-Forwarded-For", address.to_string().as_bytes());
            }
            write_field(&mut own, b"X-Forwarded-Proto", client.proto.as_bytes());
            if let Some(port) = client.port {
                write_field(&mut own, b"X-Forwarded-Port", port.to_string().as_bytes());
            }
        }
        let lines = own.len();
        let station = match client.address {
            None => "for=unknown".to_owned(),
            Some(IpAddr::V4(address)) => format!("for={address}"),
            Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        };
        own.extend_from_slice(station.as_bytes());
        Self { client, how, trusted, own: own.into_boxed_slice(), lines }
    }

    /// The address of who sent a request with these fields, if it is known.
    pub fn sender(&self, fields: &[Field<'_>]) -> Option<IpAddr> {
        let Some(trusted) = &self.trusted else { return self.client.address };
        let mut way = Way { trusted, sender: None };
        let known = match self.how {
            Forwarded::Rfc7239 => walk_forwarded(fields, &mut |hop| way.step(hop)),
            Forwarded::Both | Forwarded::None | Forwarded::XForwarded => walk_for(fields, &mut |hop| way.step(hop)),
        };
        known.and(way.sender).or(self.client.address)
    }

    /// Whether every request is told of alike, and has the same sender.
    pub fn plain(&self) -> bool {
        self.trusted.is_none()
    }

    /// The fields for a request, appended to `out`.
    pub fn write(&self, out: &mut Vec<u8>, head: &Head<'_, '_>) {
        if by_x(self.how) {
            if self.plain() {
                if !head.host.is_empty() {
                    write_field(out, b"X-Forwarded-Host", head.host.as_bytes());
                }
                out.extend_from_slice(self.own.get(..self.lines).unwrap_or_default());
            } else {
                self.write_x(out, head);
            }
        }
        if matches!(self.how, Forwarded::Both | Forwarded::Rfc7239) {
            self.write_forwarded(out, head);
        }
    }

    /// `X-Forwarded-*` behind a trusted proxy.
    fn write_x(&self, out: &mut Vec<u8>, head: &Head<'_, '_>) {
        let fields = head.fields;
        let host = claim(fields, "x-forwarded-host", |host| valid_host(host).is_some());
        let host = host.unwrap_or(head.host.as_bytes());
        if !host.is_empty() {
            write_field(out, b"X-Forwarded-Host", host);
        }
        let received = walk_for(fields, &mut |_| {}).is_some();
        let mut chain = values(fields, FOR).filter(|_| received).peekable();
        if chain.peek().is_some() || self.client.address.is_some() {
            out.extend_from_slice(b"X-Forwarded-For: ");
            for line in chain {
                out.extend_from_slice(line);
                out.extend_from_slice(b", ");
            }
            self.write_address(out);
            out.extend_from_slice(b"\r\n");
        }
        let proto = claim(fields, "x-forwarded-proto", |proto| matches!(proto, b"http" | b"https"));
        write_field(out, b"X-Forwarded-Proto", proto.unwrap_or(self.client.proto.as_bytes()));
        let good = |port: &[u8]| port.len() <= 5 && matches!(decimal(port), Some(1..=65535));
        match (claim(fields, "x-forwarded-port", good), self.client.port) {
            (Some(port), _) => write_field(out, b"X-Forwarded-Port", port),
            (None, Some(port)) => write_number(out, b"X-Forwarded-Port: ", port),
            (None, None) => {}
        }
    }

    fn write_address(&self, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = match self.client.address {
            Some(address) => write!(out, "{address}"),
            None => write!(out, "unknown"),
        };
    }

    /// `Forwarded` (RFC 7239 section 4).
    fn write_forwarded(&self, out: &mut Vec<u8>, head: &Head<'_, '_>) {
        out.extend_from_slice(b"Forwarded: ");
        if !self.plain() && walk_forwarded(head.fields, &mut |_| {}).is_some() {
            for line in values(head.fields, "forwarded") {
                out.extend_from_slice(line);
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(self.own.get(self.lines..).unwrap_or_default());
        if !head.host.is_empty() {
            // A valid host has neither quotes nor backslashes.
            let quote = if head.host.bytes().all(|byte| is_token(&byte)) { "" } else { "\"" };
            for part in [";host=", quote, head.host, quote] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        for part in [";proto=", self.client.proto, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

fn by_x(how: Forwarded) -> bool {
    matches!(how, Forwarded::Both | Forwarded::XForwarded)
}

fn write_number(out: &mut Vec<u8>, name: &[u8], number: u16) {
    out.extend_from_slice(name);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number}\r\n");
}

/// The only value of the field, if it is good.
fn claim<'a>(fields: &[Field<'a>], name: &str, good: impl Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
    let mut found = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
    match (found.next(), found.next()) {
        (Some(value), None) if good(value) => Some(value),
        _ => None,
    }
}

/// One station a request has passed, as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hop {
    Address(IpAddr),
    /// `unknown`, or a name that somebody made up to tell nothing.
    Hidden,
}

/// Finds the rightmost address that is no trusted proxy's, while the way is walked from the left.
struct Way<'a> {
    trusted: &'a Networks,
    sender: Option<IpAddr>,
}

impl Way<'_> {
    fn step(&mut self, hop: Hop) {
        match hop {
            // Nobody left of it can be believed, so whoever comes next is the first that is known.
            Hop::Hidden => self.sender = None,
            Hop::Address(address) => {
                if self.sender.is_none() || !self.trusted.contains(address) {
                    self.sender = Some(address);
                }
            }
        }
    }
}

/// Walk along all `X-Forwarded-For`; None if anything in them is malformed.
fn walk_for(fields: &[Field<'_>], step: &mut impl FnMut(Hop)) -> Option<()> {
    for line in values(fields, FOR) {
        for station in line.split(|&byte| byte == b',') {
            step(hop(station.trim_ascii())?);
        }
    }
    Some(())
}

/// Walk along all `Forwarded`; None if anything in them is malformed.
fn walk_forwarded(fields: &[Field<'_>], step: &mut impl FnMut(Hop)) -> Option<()> {
    for line in values(fields, "forwarded") {
        let mut rest = line.trim_ascii();
        loop {
            let (hop, after) = element(rest)?;
            step(hop);
            match after.trim_ascii_start().split_first() {
                None => break,
                Some((b',', after)) => rest = after.trim_ascii_start(),
                Some(_) => return None,
            }
        }
    }
    Some(())
}

/// `forwarded-element`: pairs with `;` between them, none of them twice.
fn element(bytes: &[u8]) -> Option<(Hop, &[u8])> {
    let mut known: [Option<&[u8]>; 4] = [None; 4];
    let mut rest = bytes;
    loop {
        let (name, value, after) = pair(rest)?;
        let place = [b"for".as_slice(), b"by", b"host", b"proto"].iter().position(|one| one.eq_ignore_ascii_case(name));
        if let Some(slot) = place.and_then(|place| known.get_mut(place)) {
            if slot.replace(value).is_some() {
                return None;
            }
        }
        match after.split_first() {
            Some((b';', after)) => rest = after.trim_ascii_start(), // Some write a space there.
            _ => {
                let [station, ..] = known;
                return Some((station.map_or(Some(Hop::Hidden), hop)?, after));
            }
        }
    }
}

/// `token "=" ( token / quoted-string )`: name, value, and what follows. Nothing that is told here needs a backslash.
fn pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = token(bytes)?;
    let rest = rest.strip_prefix(b"=")?;
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let (value, rest) = token(rest)?;
        return Some((name, value, rest));
    };
    let end = memchr::memchr(b'"', quoted)?;
    let (value, rest) = quoted.split_at_checked(end)?;
    let plain = value.iter().all(|byte| matches!(byte, b' '..=b'~' if *byte != b'\\'));
    Some((name, value, rest.strip_prefix(b"\"")?)).filter(|_| plain)
}

/// The token at the beginning, and what follows it.
fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| !is_token(byte)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// A `node` (RFC 7239 section 6): an address, with a port or not, IPv6 in brackets or not; or a word that hides it.
fn hop(station: &[u8]) -> Option<Hop> {
    let text = std::str::from_utf8(station).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Hop::Address(address.to_canonical()));
    }
    let hidden = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if text.eq_ignore_ascii_case("unknown")
        || text.strip_prefix('_').is_some_and(|name| !name.is_empty() && hidden(name))
    {
        return Some(Hop::Hidden);
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let address = IpAddr::from(address.parse::<Ipv6Addr>().ok()?);
            (address.to_canonical(), if port.is_empty() { "0" } else { port.strip_prefix(':')? })
        }
        None => {
            let (address, port) = text.split_once(':')?;
            (IpAddr::V4(address.parse().ok()?), port)
        }
    };
    let good = port.len() <= 5 && decimal(port.as_bytes()).is_some_and(|port| port <= 65535);
    good.then_some(Hop::Address(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;

    const PEER: &str = "10.0.0.1";

    fn told(address: &str, how: Forwarded, trusted: &[&str]) -> Told {
        let mut networks = Networks::default();
        trusted.iter().for_each(|text| networks.add(text).unwrap());
        let client = Client { address: address.parse().ok(), proto: "http", port: Some(80) };
        Told::new(client, how, (!networks.is_empty()).then(|| Arc::new(networks)))
    }

    /// What is written of a request with these lines, and its sender.
    fn of(told: &Told, lines: &str) -> (String, Option<String>) {
        let text = format!("GET / HTTP/1.1\r\nHost: ex.org:81\r\n{lines}\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let head = request::parse(text.as_bytes(), &mut slots).unwrap();
        let mut out = Vec::new();
        told.write(&mut out, &head);
        (String::from_utf8(out).unwrap(), told.sender(head.fields).map(|address| address.to_string()))
    }

    fn line(written: &str, name: &str) -> Vec<String> {
        let named = written.lines().filter_map(|line| line.split_once(": ")).filter(|(key, _)| *key == name);
        named.map(|(_, value)| value.to_owned()).collect()
    }

    #[test]
    fn who_is_not_trusted_is_told_of_as_it_connected_whatever_it_says() {
        let spoof = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";
        let x = "X-Forwarded-Host: ex.org:81\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n";
        let f = "Forwarded: for=10.0.0.1;host=\"ex.org:81\";proto=http\r\n";
        for (how, wanted) in [
            (Forwarded::XForwarded, x.to_owned()),
            (Forwarded::Rfc7239, f.to_owned()),
            (Forwarded::Both, format!("{x}{f}")),
            (Forwarded::None, String::new()),
        ] {
            assert_eq!(of(&told(PEER, how, &[]), spoof), (wanted, Some(PEER.to_owned())), "{how:?}");
        }
    }

    #[test]
    fn forwarded_quotes_what_is_no_token() {
        let found = of(&told("2001:db8::1", Forwarded::Rfc7239, &[]), "");
        assert_eq!(found.0, "Forwarded: for=\"[2001:db8::1]\";host=\"ex.org:81\";proto=http\r\n");
        let unix = Client { address: None, proto: "https", port: None };
        let found = of(&Told::new(unix, Forwarded::Both, None), "");
        assert_eq!(line(&found.0, "Forwarded"), ["for=unknown;host=\"ex.org:81\";proto=https"]);
        assert_eq!((line(&found.0, "X-Forwarded-For").len(), found.1), (0, None));
    }

    #[test]
    fn a_trusted_proxy_is_added_to_what_it_says_and_the_sender_is_the_rightmost_that_is_none() {
        let told = told(PEER, Forwarded::Both, &["10.0.0.0/8", "2001:db8::/32"]);
        for (lines, chain, sender) in [
            ("", "10.0.0.1", "10.0.0.1"),
            ("X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4, 10.0.0.1", "1.2.3.4"),
            (
                "X-Forwarded-For: 6.6.6.6,1.2.3.4\r\nx-forwarded-for: 10.9.9.9\r\n",
                "6.6.6.6,1.2.3.4, 10.9.9.9, 10.0.0.1",
                "1.2.3.4",
            ),
            ("X-Forwarded-For: 10.2.2.2, 10.3.3.3\r\n", "10.2.2.2, 10.3.3.3, 10.0.0.1", "10.2.2.2"),
            ("X-Forwarded-For: 1.2.3.4:99, [2001:db8::7]:5\r\n", "1.2.3.4:99, [2001:db8::7]:5, 10.0.0.1", "1.2.3.4"),
            ("X-Forwarded-For: 1.2.3.4, unknown, 10.4.4.4\r\n", "1.2.3.4, unknown, 10.4.4.4, 10.0.0.1", "10.4.4.4"),
            ("X-Forwarded-For: 1.2.3.4, _hid\r\n", "1.2.3.4, _hid, 10.0.0.1", "10.0.0.1"),
            ("X-Forwarded-For: ::ffff:1.2.3.4\r\n", "::ffff:1.2.3.4, 10.0.0.1", "1.2.3.4"),
            ("X-Forwarded-For: 1.2.3.4, evil\r\n", "10.0.0.1", "10.0.0.1"),
            ("X-Forwarded-For: 1.2.3.4,\r\n", "10.0.0.1", "10.0.0.1"),
            ("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For:\r\n", "10.0.0.1", "10.0.0.1"),
            ("X-Forwarded-For: 1.2.3.4:99999\r\n", "10.0.0.1", "10.0.0.1"),
            ("X-Forwarded-For: \"1.2.3.4\"\r\n", "10.0.0.1", "10.0.0.1"),
            ("X_Forwarded_For: 1.2.3.4\r\n", "10.0.0.1", "10.0.0.1"),
        ] {
            let found = of(&told, lines);
            assert_eq!(
                (line(&found.0, "X-Forwarded-For"), found.1),
                (vec![chain.to_owned()], Some(sender.to_owned())),
                "{lines}"
            );
        }
    }

    #[test]
    fn what_else_a_trusted_proxy_says_is_kept_if_it_says_it_once_and_well() {
        let told = told(PEER, Forwarded::XForwarded, &["10.0.0.0/8"]);
        for (name, ours, good, bad) in [
            ("Proto", "http", "https", &["HTTPS ", "ftp", "https, http", ""][..]),
            ("Host", "ex.org:81", "front.example:8443", &["a b", "a@b", "a, b", ""][..]),
            ("Port", "80", "8443", &["0", "65536", "+1", "080808", "", "80, 81"][..]),
        ] {
            let name = format!("X-Forwarded-{name}");
            let kept = |lines: &str| line(&of(&told, lines).0, &name);
            assert_eq!(kept(""), [ours]);
            assert_eq!(kept(&format!("{name}: {good}\r\n")), [good]);
            assert_eq!(kept(&format!("{name}: {good}\r\n{name}: {good}\r\n")), [ours]);
            for bad in bad {
                assert_eq!(kept(&format!("{name}: {bad}\r\n")), [ours], "{bad}");
            }
        }
    }

    #[test]
    fn forwarded_of_a_trusted_proxy_is_kept_if_it_is_well_formed() {
        let told = told(PEER, Forwarded::Rfc7239, &["10.0.0.0/8"]);
        let ours = "for=10.0.0.1;host=\"ex.org:81\";proto=http";
        for (said, sender) in [
            ("for=1.2.3.4", "1.2.3.4"),
            ("For=\"[2001:db8::7]:4711\"; proto=https;by=_x", "2001:db8::7"),
            ("for=6.6.6.6, for=1.2.3.4;host=\"a,b;c\", for=10.2.2.2", "1.2.3.4"),
            ("for=1.2.3.4, proto=https", PEER),
            ("for=unknown;x=y", PEER),
        ] {
            let found = of(&told, &format!("Forwarded: {said}\r\n"));
            assert_eq!(found, (format!("Forwarded: {said}, {ours}\r\n"), Some(sender.to_owned())), "{said}");
        }
        for bad in [
            "",
            "for",
            "for=",
            "for=1.2.3.4;",
            "for=1.2.3.4,",
            ",for=1.2.3.4",
            "for=1.2.3.4;for=1.2.3.5",
            "for=\"1.2.3.4",
            "for=[::1]",
            "for=1.2.3.4 x",
            "for=\"a\\\"b\"",
            "for=evil",
            "for = 1.2.3.4",
            "for=1.2.3.4;;host=a",
        ] {
            let found = of(&told, &format!("Forwarded: {bad}\r\n"));
            assert_eq!(found, (format!("Forwarded: {ours}\r\n"), Some(PEER.to_owned())), "{bad}");
        }
        let two = of(&told, "Forwarded: for=6.6.6.6\r\nForwarded: for=\"1.2.3.4:5\"\r\n");
        assert_eq!(two, (format!("Forwarded: for=6.6.6.6, for=\"1.2.3.4:5\", {ours}\r\n"), Some("1.2.3.4".to_owned())));
    }
}
