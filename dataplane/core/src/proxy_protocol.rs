//! The PROXY protocol, versions 1 and 2 (HAProxy, `doc/proxy-protocol.txt`): who speaks it tells, before anything else,
//! whose connection it carries. Read as strictly as a head; what TLVs say is skipped.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes of a header of version 1, its line end included.
const LINE_MOST: usize = 107;
/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before the addresses.
const FIXED: usize = 16;
/// Most bytes of a header of either version, so that nobody fills memory with TLVs.
pub const HEADER_MOST: usize = 4096;

/// Both ends of the connection that is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub client: SocketAddr,
    /// What it connected to.
    pub local: SocketAddr,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// The ends are told.
    Ends(Ends),
    /// It is not told: the client is who speaks (`UNKNOWN`, `LOCAL`, `UNSPEC`).
    Own,
    /// Both ends are unix sockets, which have no address that means anything here.
    Unix,
}

/// How far the bytes have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All of them belong to a header that is not whole yet.
    More,
    /// The first so many bytes are the header.
    Whole(usize, Carried),
}

/// The bytes do not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeader;

/// Read the header at the beginning of `bytes`.
///
/// # Errors
/// [`NoHeader`] as soon as it can be known.
pub fn read(bytes: &[u8]) -> Result<Found, NoHeader> {
    if begins(bytes, SIGNATURE) {
        return read_v2(bytes);
    }
    if begins(bytes, b"PROXY ") {
        return read_v1(bytes);
    }
    Err(NoHeader)
}

/// Whether one is the beginning of the other.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(a, b)| a == b)
}

fn read_v1(bytes: &[u8]) -> Result<Found, NoHeader> {
    let within = bytes.get(..LINE_MOST).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', within) else {
        let fits = within.len() < LINE_MOST && within.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r'));
        return if fits { Ok(Found::More) } else { Err(NoHeader) };
    };
    let line = within.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(NoHeader)?;
    let text = std::str::from_utf8(line).map_err(|_| NoHeader)?;
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(NoHeader);
    }
    let mut words = text.split(' ').skip(1);
    let carried = match words.next() {
        Some("UNKNOWN") => Carried::Own, // Whatever follows is to be ignored.
        Some("TCP4") => ends::<Ipv4Addr>(words)?,
        Some("TCP6") => ends::<Ipv6Addr>(words)?,
        _ => return Err(NoHeader),
    };
    Ok(Found::Whole(end + 1, carried))
}

fn ends<'a, A: std::str::FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<Carried, NoHeader> {
    let mut address = || words.next()?.parse::<A>().ok();
    let (client, local) = (address().ok_or(NoHeader)?.into(), address().ok_or(NoHeader)?.into());
    let mut port = || words.next().and_then(port).ok_or(NoHeader);
    let (client, local) = (SocketAddr::new(client, port()?), SocketAddr::new(local, port()?));
    if words.next().is_some() {
        return Err(NoHeader);
    }
    Ok(Carried::Ends(Ends { client, local }))
}

/// A port in plain decimal, without leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn read_v2(bytes: &[u8]) -> Result<Found, NoHeader> {
    let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let local = match rest.first() {
        None => return Ok(Found::More),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(NoHeader),
    };
    let Some((family, length)) = rest.get(1).zip(rest.get(2..4)) else { return Ok(Found::More) };
    let length = FIXED + length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > HEADER_MOST {
        return Err(NoHeader);
    }
    let Some(told) = bytes.get(FIXED..length) else { return Ok(Found::More) };
    let carried = match (local, family) {
        (true, _) | (false, 0x00) => Carried::Own,
        (false, 0x11) => Carried::Ends(ends_v4(told).ok_or(NoHeader)?),
        (false, 0x21) => Carried::Ends(ends_v6(told).ok_or(NoHeader)?),
        (false, 0x31) if told.len() >= 216 => Carried::Unix,
        _ => return Err(NoHeader), // Datagrams do not come by a stream.
    };
    Ok(Found::Whole(length, carried))
}

fn ends_v4(told: &[u8]) -> Option<Ends> {
    let (client, rest) = told.split_first_chunk::<4>()?;
    let (local, rest) = rest.split_first_chunk::<4>()?;
    let (client_port, rest) = rest.split_first_chunk::<2>()?;
    let (local_port, _) = rest.split_first_chunk::<2>()?;
    Some(Ends {
        client: SocketAddr::new(Ipv4Addr::from(*client).into(), u16::from_be_bytes(*client_port)),
        local: SocketAddr::new(Ipv4Addr::from(*local).into(), u16::from_be_bytes(*local_port)),
    })
}

fn ends_v6(told: &[u8]) -> Option<Ends> {
    let (client, rest) = told.split_first_chunk::<16>()?;
    let (local, rest) = rest.split_first_chunk::<16>()?;
    let (client_port, rest) = rest.split_first_chunk::<2>()?;
    let (local_port, _) = rest.split_first_chunk::<2>()?;
    Some(Ends {
        client: SocketAddr::new(Ipv6Addr::from(*client).into(), u16::from_be_bytes(*client_port)),
        local: SocketAddr::new(Ipv6Addr::from(*local).into(), u16::from_be_bytes(*local_port)),
    })
}

/// The header of version 1 for a connection between these ends, if there are any, appended to `out`.
pub fn write_v1(out: &mut Vec<u8>, ends: Option<Ends>) {
    let Some(ends) = ends.map(alike) else { return out.extend_from_slice(b"PROXY UNKNOWN\r\n") };
    let family = if ends.client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (client, local) = (ends.client, ends.local);
    // Writing to a vector cannot fail.
    let _ = write!(out, "PROXY {family} {} {} {} {}\r\n", client.ip(), local.ip(), client.port(), local.port());
}

/// As [`write_v1`], of version 2.
pub fn write_v2(out: &mut Vec<u8>, ends: Option<Ends>) {
    out.extend_from_slice(SIGNATURE);
    match ends.map(alike).map(|ends| (ends, ends.client.ip(), ends.local.ip())) {
        None => out.extend_from_slice(&[0x21, 0x00, 0, 0]),
        Some((ends, IpAddr::V4(client), IpAddr::V4(local))) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            write_addresses(out, (&client.octets(), &local.octets()), ends);
        }
        Some((ends, client, local)) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            write_addresses(out, (&as_v6(client).octets(), &as_v6(local).octets()), ends);
        }
    }
}

fn write_addresses(out: &mut Vec<u8>, (client, local): (&[u8], &[u8]), ends: Ends) {
    out.extend_from_slice(client);
    out.extend_from_slice(local);
    out.extend_from_slice(&ends.client.port().to_be_bytes());
    out.extend_from_slice(&ends.local.port().to_be_bytes());
}

/// Both ends in one family: IPv4 if both can be, else IPv6.
fn alike(ends: Ends) -> Ends {
    let (client, local) = (ends.client.ip().to_canonical(), ends.local.ip().to_canonical());
    let (client, local) =
        if client.is_ipv4() == local.is_ipv4() { (client, local) } else { (as_v6(client).into(), as_v6(local).into()) };
    Ends { client: SocketAddr::new(client, ends.client.port()), local: SocketAddr::new(local, ends.local.port()) }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_of(client: &str, local: &str) -> Ends {
        Ends { client: client.parse().unwrap(), local: local.parse().unwrap() }
    }

    fn v2(command: u8, family: u8, told: &[u8]) -> Vec<u8> {
        let length = u16::try_from(told.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, told].concat()
    }

    /// Headers and what they carry; `GET` follows each when it is read.
    fn good() -> Vec<(Vec<u8>, Carried)> {
        let four = ends_of("192.0.2.7:4711", "198.51.100.1:443");
        let six = ends_of("[2001:db8::7]:65535", "[2001:db8::1]:0");
        let mut headers = vec![
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(), Carried::Ends(four)),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n".to_vec(), Carried::Ends(six)),
            (b"PROXY UNKNOWN\r\n".to_vec(), Carried::Own),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Carried::Own),
            (v2(0x20, 0x00, b""), Carried::Own),
            (v2(0x20, 0x11, &[0; 12]), Carried::Own),
            (v2(0x21, 0x00, b"whatever"), Carried::Own),
            (v2(0x21, 0x31, &[0; 216]), Carried::Unix),
            (
                v2(
                    0x21,
                    0x11,
                    &[b"\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb".as_slice(), b"\x04\0\x03abc"].concat(),
                ),
                Carried::Ends(four),
            ),
        ];
        for ends in [four, six] {
            let mut out = Vec::new();
            write_v2(&mut out, Some(ends));
            headers.push((out, Carried::Ends(ends)));
        }
        headers
    }

    #[test]
    fn any_split_of_the_bytes_gives_the_same_header_and_leaves_what_follows() {
        for (header, wanted) in good() {
            for end in 0..header.len() {
                assert_eq!(read(&header[..end]), Ok(Found::More), "{header:?} {end}");
            }
            let whole = [header.as_slice(), b"GET / HTTP/1.1\r\n\n"].concat();
            assert_eq!(read(&whole), Ok(Found::Whole(header.len(), wanted)), "{header:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let bad: Vec<Vec<u8>> = [
            "GET / HTTP/1.1\r\n",
            "\x16\x03\x01",
            "\r\n\r\nG",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY\r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
            "PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
            "PROXY UNKNOWN\0\r\n",
            "PROXY UNKNOWN \r \r\n",
            &long,
            long.trim_end(),
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain([
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x31, &[0; 215]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x21, 0x32, &[0; 216]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x21, 0x10, &[0; 12]),
            v2(0x21, 0x11, &[0; HEADER_MOST])[..FIXED].to_vec(),
        ])
        .collect();
        for bytes in bad {
            assert_eq!(read(&bytes), Err(NoHeader), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn what_is_written_is_read_and_families_are_made_alike() {
        let mapped = ends_of("[::ffff:192.0.2.7]:1", "198.51.100.1:2");
        let mixed = ends_of("[2001:db8::7]:1", "198.51.100.1:2");
        for (ends, line) in [
            (Some(mapped), "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"),
            (Some(mixed), "PROXY TCP6 2001:db8::7 ::ffff:198.51.100.1 1 2\r\n"),
            (None, "PROXY UNKNOWN\r\n"),
        ] {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            write_v1(&mut one, ends);
            write_v2(&mut two, ends);
            assert_eq!(one, line.as_bytes());
            let (Ok(Found::Whole(_, first)), Ok(Found::Whole(length, second))) = (read(&one), read(&two)) else {
                panic!("{line}");
            };
            assert_eq!((first, length), (second, two.len()), "{line}");
        }
    }
}
