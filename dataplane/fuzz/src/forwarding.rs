//! What endpoints are told of the client, in all ways: whatever a client claims, and be it a trusted proxy, the request
//! stays the same one request, is told of once in each way, and who connected is told last.

use crate::differential::same_request;
use crate::plain;
use crate::request_head;
use pinfold_core::forwarding::{Client, Told};
use pinfold_core::headers::write_request;
use pinfold_core::networks::Networks;
use pinfold_core::request;
use pinfold_wire::Forwarded;
use std::net::IpAddr;
use std::sync::Arc;

/// Fields for which there is room.
const FIELDS: usize = 256;
/// Who connects.
const CLIENT: &str = "192.0.2.1";

/// Panics when a claim of the client changes more than it may. The first byte says how it is told, and whether the
/// client is trusted.
pub fn check(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let Some(length) = request::head_length(bytes) else { return };
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let Ok(head) = request::parse(&bytes[..length], &mut slots) else { return };
    let said = request_head::agrees(&head, &bytes[..length]);
    let kinds = [Forwarded::XForwarded, Forwarded::Both, Forwarded::Rfc7239, Forwarded::None];
    let (kind, trusted) = (kinds[usize::from(how % 4)], how & 4 == 4);
    let client = Client { address: CLIENT.parse().ok(), proto: "https", port: Some(443) };
    let told = Told::new(client, kind, trusted.then(networks));
    let mut sent = Vec::new();
    write_request(&mut sent, &head, &told, "198.51.100.1:443", how & 8 == 8);
    let read = plain::head(&sent).expect("what is sent on is no head");
    assert_eq!(read.bytes, sent.len(), "one head, and nothing in it that ends it early");
    same_request(&said, &read);
    let sender = told.sender(head.fields).expect("there is always one");
    assert!(trusted || sender == CLIENT.parse::<IpAddr>().expect("an address"), "believed without trust");
    let x = matches!(kind, Forwarded::XForwarded | Forwarded::Both);
    let standard = matches!(kind, Forwarded::Rfc7239 | Forwarded::Both);
    for (name, times) in [("x-forwarded-for", x), ("x-forwarded-proto", x), ("forwarded", standard)] {
        assert_eq!(read.values(name).len(), usize::from(times), "{name}");
    }
    for name in ["x-real-ip", "x-forwarded-ssl", "x-forwarded-server", "x-forwarded-prefix"] {
        assert!(read.values(name).is_empty(), "{name}");
    }
    last_words(&read, trusted);
}

fn last_words(read: &plain::Plain<'_>, trusted: bool) {
    for value in read.values("x-forwarded-for") {
        let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
        assert_eq!(last.trim_ascii(), CLIENT.as_bytes());
        assert!(trusted || value == CLIENT.as_bytes());
    }
    for value in read.values("x-forwarded-proto") {
        assert!(value == b"https" || (trusted && value == b"http"));
    }
    for value in read.values("forwarded") {
        assert!(value.ends_with(b";proto=https"));
        assert!(trusted || value.starts_with(b"for=192.0.2.1"));
    }
}

fn networks() -> Arc<Networks> {
    let mut networks = Networks::default();
    for network in ["192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"] {
        assert!(networks.add(network).is_ok());
    }
    Arc::new(networks)
}
