//! Whatever bytes come: nothing panics, and what is let through means to the next parser what it meant to us. The seeds
//! are fixed, so a failure comes again.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)] // A test that cannot go on panics.

use pinfold_core::chunked::{Decoder, Piece};
use pinfold_core::forwarding::{Client, Told};
use pinfold_core::headers::write_request;
use pinfold_core::networks::Networks;
use pinfold_core::proxy_protocol::{self, Carried, Found};
use pinfold_core::request::{self, Field};
use pinfold_core::response::{self, passage, Connection};
use pinfold_core::trailers::write_end;
use pinfold_core::{fields, framing::Version};
use pinfold_wire::Forwarded;
use std::sync::Arc;

/// Numbers that look random (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    /// `seed` with a few bytes changed, doubled, removed or replaced by what is known to confuse parsers.
    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        const ODD: [&[u8]; 16] = [
            b"\r",
            b"\n",
            b"\r\n",
            b"\0",
            b" ",
            b"\t",
            b":",
            b"\x0b",
            b"\x7f",
            b"\xff",
            b"chunked",
            b", ",
            b"+1",
            b"0x",
            b"Content-Length: 1\r\n",
            b"Transfer-Encoding: chunked\r\n",
        ];
        let mut bytes = seed.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(4) {
                0 if at < bytes.len() => drop(bytes.remove(at)),
                1 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                2 => {
                    let end = at + self.below(bytes.len() - at + 1);
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => drop(bytes.splice(at..at, ODD[self.below(ODD.len())].iter().copied())),
            }
        }
        bytes
    }
}

const REQUESTS: [&[u8]; 4] = [
    b"GET /a?b=c HTTP/1.1\r\nHost: ex.org:80\r\nAccept: */*\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: ex.org\r\nContent-Length: 5\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    b"GET http://ex.org/ HTTP/1.0\r\nHost: ex.org\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
];
const ANSWERS: [&[u8]; 3] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\n",
    b"HTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    b"HTTP/1.0 304 Not Modified\r\nKeep-Alive: 5\r\n\r\n",
];
const ROUNDS: usize = 60_000;

/// The first head in the bytes, as the proxy would cut it out.
fn first_head(bytes: &[u8]) -> Option<&[u8]> {
    request::may_become_head(bytes);
    request::head_length(bytes).map(|length| &bytes[..length])
}

#[test]
fn a_request_that_passes_is_read_the_same_by_the_endpoint() {
    let (mut dice, mut passed) = (Dice(0x5eed), 0);
    let client = Client { address: "192.0.2.1".parse().ok(), proto: "https", port: Some(443) };
    let told = Told::new(client, Forwarded::XForwarded, None);
    for round in 0..ROUNDS {
        let bytes = dice.mutate(REQUESTS[round % REQUESTS.len()]);
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let Some(Ok(head)) = first_head(&bytes).map(|head| request::parse(head, &mut slots)) else { continue };
        passed += 1;
        let mut out = Vec::new();
        write_request(&mut out, &head, &told, "127.0.0.1:443", false);
        let mut again = [httparse::EMPTY_HEADER; 64];
        assert_eq!(request::head_length(&out), Some(out.len()), "one head, and nothing behind it: {bytes:?}");
        let read = request::parse(&out, &mut again).unwrap_or_else(|error| panic!("{error:?}: {bytes:?}"));
        assert_eq!((read.method, read.target, read.body), (head.method, head.target, head.body), "{bytes:?}");
        let said: Vec<_> = request::values(read.fields, "x-forwarded-for").collect();
        assert_eq!(said, [b"192.0.2.1"], "{bytes:?}");
        let kept = |field: &&Field<'_>| field.name.eq_ignore_ascii_case("connection");
        assert!(read.fields.iter().filter(kept).all(|field| field.value == b"Upgrade"), "{bytes:?}");
    }
    assert!(passed > ROUNDS / 20, "only {passed} passed: the mutations test nothing");
}

#[test]
fn what_a_trusted_proxy_says_is_passed_on_as_one_list_that_ends_with_it() {
    const SAID: [&[u8]; 3] = [
        b"GET / HTTP/1.1\r\nHost: a:1\r\nX-Forwarded-For: 1.2.3.4, [::1]:5\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=1.2.3.4;host=\"b,;c\", for=\"[::1]:1\"; proto=http\r\nForwarded: for=_x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: unknown\r\nX-Forwarded-For: ::2\r\nX-Forwarded-Host: c:9\r\n\r\n",
    ];
    let mut dice = Dice(0x7e11);
    let mut trusted = Networks::default();
    trusted.add("192.0.2.0/24").unwrap();
    let client = Client { address: "192.0.2.1".parse().ok(), proto: "https", port: Some(443) };
    let told = Told::new(client, Forwarded::Both, Some(Arc::new(trusted)));
    for round in 0..ROUNDS {
        let bytes = dice.mutate(SAID[round % SAID.len()]);
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let Some(Ok(head)) = first_head(&bytes).map(|head| request::parse(head, &mut slots)) else { continue };
        let sender = told.sender(head.fields);
        let mut out = Vec::new();
        write_request(&mut out, &head, &told, "127.0.0.1:443", false);
        let mut again = [httparse::EMPTY_HEADER; 64];
        let read = request::parse(&out, &mut again).unwrap_or_else(|error| panic!("{error:?}: {bytes:?}"));
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "forwarded"] {
            assert_eq!(request::values(read.fields, name).count(), 1, "{name}: {bytes:?}");
        }
        assert!(request::values(read.fields, "x-forwarded-for").all(|list| list.ends_with(b"192.0.2.1")), "{bytes:?}");
        assert_eq!(told.sender(read.fields), sender, "{bytes:?} became {out:?}");
    }
}

#[test]
fn a_proxy_header_is_read_the_same_however_it_is_cut() {
    let mut v2 = Vec::new();
    let ends = proxy_protocol::Ends { client: "1.2.3.4:5".parse().unwrap(), local: "[::1]:6".parse().unwrap() };
    proxy_protocol::write_v2(&mut v2, Some(ends));
    let seeds = [v2.as_slice(), b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nGET", b"PROXY UNKNOWN x\r\n"];
    let (mut dice, mut passed) = (Dice(0xface), 0);
    for round in 0..ROUNDS / 4 {
        let bytes = dice.mutate(seeds[round % seeds.len()]);
        let found = proxy_protocol::read(&bytes);
        for end in 0..bytes.len() {
            match (proxy_protocol::read(&bytes[..end]), found) {
                (Ok(Found::More), _) | (Err(_), Err(_)) => {}
                (Ok(Found::Whole(length, carried)), Ok(whole)) => assert_eq!(whole, Found::Whole(length, carried)),
                (cut, whole) => panic!("{cut:?} of {whole:?}: {bytes:?}"),
            }
        }
        passed += usize::from(matches!(found, Ok(Found::Whole(_, Carried::Ends(_)))));
    }
    assert!(passed > ROUNDS / 80, "only {passed} passed: the mutations test nothing");
}

#[test]
fn trailers_that_pass_end_the_body_they_belong_to() {
    let mut dice = Dice(0x7a11);
    for _ in 0..ROUNDS {
        let bytes = dice.mutate(b"0\r\nX-Sum: 1\r\nContent-Length: 5\r\nGrpc-Status: 0\r\n\r\n");
        let mut decoder = Decoder::new(true);
        let Ok((_, Piece::End)) = (|| {
            let (begun, _) = decoder.next(&bytes)?;
            decoder.next(&bytes[begun..])
        })() else {
            continue;
        };
        let mut out = Vec::new();
        if write_end(&mut out, decoder.trailers()).is_ok() {
            let mut slots = [httparse::EMPTY_HEADER; 64];
            let fields = httparse::parse_headers(&out[3..], &mut slots).unwrap();
            assert!(matches!(fields, httparse::Status::Complete((used, _)) if used + 3 == out.len()), "{bytes:?}");
            assert!(!out.to_ascii_lowercase().windows(16).any(|window| window == b"\ncontent-length:"), "{bytes:?}");
        }
    }
}

#[test]
fn an_answer_that_passes_is_read_the_same_by_the_client() {
    let (mut dice, mut passed) = (Dice(0xa5e), 0);
    for round in 0..ROUNDS {
        let bytes = dice.mutate(ANSWERS[round % ANSWERS.len()]);
        let to_head = round % 5 == 0;
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let Some(Ok(Some(head))) = first_head(&bytes).map(|head| response::parse(head, &mut slots, to_head)) else {
            continue;
        };
        passed += 1;
        let mut out = Vec::new();
        let how = passage(head.body, Version::Http11);
        response::write_head(&mut out, &head, how, Connection::Silent, false);
        let mut again = [httparse::EMPTY_HEADER; 64];
        assert_eq!(request::head_length(&out), Some(out.len()), "one head, and nothing behind it: {bytes:?}");
        let Ok(Some(read)) = response::parse(&out, &mut again, to_head) else { panic!("{bytes:?} became {out:?}") };
        assert_eq!(read.status, head.status);
        assert_eq!(passage(read.body, Version::Http11), how, "{bytes:?}");
        assert_eq!(fields::options(read.fields).count(), 0, "{bytes:?}");
    }
    assert!(passed > ROUNDS / 20, "only {passed} passed: the mutations test nothing");
}

#[test]
fn a_chunked_body_is_read_the_same_however_it_is_cut() {
    let whole = b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\nrest";
    let mut dice = Dice(0xc0de);
    let read = |pieces: &[&[u8]]| {
        let (mut decoder, mut payload) = (Decoder::new(true), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let Ok((used, found)) = decoder.next(rest) else { return None };
                if let Piece::Payload { bytes, .. } = found {
                    payload.extend_from_slice(&rest[used - bytes..used]);
                }
                rest = &rest[used..];
                if found == Piece::End {
                    return Some((payload, true));
                }
            }
        }
        Some((payload, false))
    };
    for _ in 0..ROUNDS {
        let bytes = dice.mutate(whole);
        let (one, two) = (dice.below(bytes.len() + 1), dice.below(bytes.len() + 1));
        let (first, second) = (one.min(two), one.max(two));
        let cut = read(&[&bytes[..first], &bytes[first..second], &bytes[second..]]);
        assert_eq!(cut, read(&[&bytes]), "{bytes:?} cut at {first} and {second}");
    }
}
