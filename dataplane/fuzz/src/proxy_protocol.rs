//! Headers of the PROXY protocol: however they are cut they are read alike, never beyond their bound, and as their
//! specification has them; what we write is what we read.

use pinfold_core::proxy_protocol::{read, write_v1, write_v2, Carried, Ends, Found, NoHeader, HEADER_MOST};
use std::net::{IpAddr, SocketAddr};

/// Panics when a header is read otherwise when it comes in pieces, or otherwise than the second opinion reads it.
pub fn check(bytes: &[u8]) {
    let whole = read(bytes);
    for cut in 0..bytes.len().min(HEADER_MOST + 1) {
        match (read(&bytes[..cut]), whole) {
            (Ok(Found::More), _) => {}
            (Ok(Found::Whole(used, carried)), _) => {
                assert!(used <= cut);
                assert_eq!(whole, Ok(Found::Whole(used, carried)), "bytes behind a header change it: {cut}");
            }
            (Err(NoHeader), _) => assert_eq!(whole, Err(NoHeader), "refused at {cut}, taken whole"),
        }
    }
    match whole {
        Ok(Found::More) => assert!(bytes.len() < HEADER_MOST, "more than may be"),
        Ok(Found::Whole(used, carried)) => {
            assert!(used <= HEADER_MOST);
            assert_eq!(second(&bytes[..used]), Some(carried));
            if let Carried::Ends(ends) = carried {
                written(ends);
            }
        }
        Err(NoHeader) => {}
    }
}

/// What we write of these ends is read as them, an IPv4 address as itself or as IPv6 has it.
fn written(ends: Ends) {
    let alike = |ends: Ends| [ends.client, ends.local].map(|end| (end.ip().to_canonical(), end.port()));
    for write in [write_v1, write_v2] {
        let mut out = Vec::new();
        write(&mut out, Some(ends));
        match read(&out) {
            Ok(Found::Whole(used, Carried::Ends(again))) => assert!(used == out.len() && alike(again) == alike(ends)),
            other => panic!("{ends:?} is read as {other:?}"),
        }
    }
}

/// A header that is whole, by the words of `proxy-protocol.txt`.
fn second(header: &[u8]) -> Option<Carried> {
    match header.strip_prefix(b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a") {
        Some(rest) => second_v2(rest),
        None => second_v1(std::str::from_utf8(header).ok()?),
    }
}

fn second_v1(line: &str) -> Option<Carried> {
    let words: Vec<_> = line.strip_suffix("\r\n")?.split(' ').collect();
    if line.len() > 107 || line.matches(['\r', '\n']).count() != 2 {
        return None;
    }
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(Carried::Own),
        ["PROXY", family @ ("TCP4" | "TCP6"), client, local, from, to] => {
            let (client, local): (IpAddr, IpAddr) = (client.parse().ok()?, local.parse().ok()?);
            let agrees = |address: IpAddr| address.is_ipv4() == (*family == "TCP4");
            let ends = Ends {
                client: SocketAddr::new(client, from.parse().ok()?),
                local: SocketAddr::new(local, to.parse().ok()?),
            };
            (agrees(client) && agrees(local)).then_some(Carried::Ends(ends))
        }
        _ => None,
    }
}

fn second_v2(rest: &[u8]) -> Option<Carried> {
    let [command, family, high, low, told @ ..] = rest else { return None };
    if usize::from(*high) * 256 + usize::from(*low) != told.len() {
        return None;
    }
    let size = match family {
        0x11 => 4,
        0x21 => 16,
        _ => 0,
    };
    match (command, family) {
        (0x20, _) | (0x21, 0x00) => Some(Carried::Own),
        (0x21, 0x31) => (told.len() >= 216).then_some(Carried::Unix),
        (0x21, 0x11 | 0x21) => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes = told.get(at..at + size)?;
                <[u8; 4]>::try_from(bytes).map(IpAddr::from).or(<[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
            };
            let port = |at: usize| Some(u16::from(*told.get(at)?) * 256 + u16::from(*told.get(at + 1)?));
            Some(Carried::Ends(Ends {
                client: SocketAddr::new(address(0)?, port(2 * size)?),
                local: SocketAddr::new(address(size)?, port(2 * size + 2)?),
            }))
        }
        _ => None,
    }
}
