//! Whole requests: what an endpoint behind us would read is what we meant to send, which is what the client said; by two
//! parsers that share nothing. What follows the request is left for the next one, to the byte.

use crate::{chunked, plain, request_head};
use pinfold_core::forwarding::{Client, Told};
use pinfold_core::framing::Body;
use pinfold_core::headers::write_request;
use pinfold_core::request;
use pinfold_wire::Forwarded;

/// Fields for which there is room.
const FIELDS: usize = 256;
/// Fields that are ours alone: each comes from us or not at all.
pub(crate) const OWNED: [&str; 9] = [
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
/// Fields that end here.
const ONE_HOP: [&str; 5] = ["keep-alive", "proxy-connection", "te", "trailer", "connection"];
/// Fields that `Connection` cannot take away, or that are written anew.
const STAYING: [&str; 6] = ["authorization", "content-length", "cookie", "host", "transfer-encoding", "upgrade"];

/// Panics when the endpoint could read anything else than the client said.
pub fn check(bytes: &[u8]) {
    let Some(length) = request::head_length(bytes) else { return };
    let (whole, rest) = bytes.split_at(length);
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let Ok(head) = request::parse(whole, &mut slots) else { return };
    let said = request_head::agrees(&head, whole);
    let client = Client { address: "192.0.2.1".parse().ok(), proto: "https", port: Some(443) };
    let told = Told::new(client, Forwarded::XForwarded, None);
    let mut sent = Vec::new();
    write_request(&mut sent, &head, &told, "198.51.100.1:443", false);
    let head_bytes = sent.len();
    let body = match head.body {
        Body::Length(bytes) => rest.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).map(<[u8]>::to_vec),
        Body::Chunked => chunked::read(&[rest], false).ok().filter(|read| read.ended).map(|read| {
            sent.extend_from_slice(&read.sent);
            read.payload
        }),
    };
    if let (Body::Length(_), Some(body)) = (head.body, &body) {
        sent.extend_from_slice(body);
    }
    let read = plain::head(&sent).expect("what is sent on is no head");
    assert_eq!(read.bytes, head_bytes, "one head, and nothing in it that ends it early");
    same_request(&said, &read);
    fields_as_they_should(&said, &read);
    if let Some(body) = body {
        let found = match read.length().expect("one length") {
            Some(bytes) => (sent[head_bytes..].to_vec(), usize::try_from(bytes).expect("short")),
            None => {
                let found = plain::chunked(&sent[head_bytes..]).expect("a chunked body");
                assert!(found.trailers.is_empty(), "trailers that were to be dropped");
                (found.payload, found.bytes)
            }
        };
        assert_eq!(found, (body, sent.len() - head_bytes), "the body, the whole body and nothing behind it");
    }
    let mut again = [httparse::EMPTY_HEADER; FIELDS + 8];
    let ours = request::parse(&sent[..head_bytes], &mut again).expect("we would not take it ourselves");
    assert_eq!((ours.method, ours.target, ours.body), (head.method, head.target, head.body));
}

pub(crate) fn same_request(said: &plain::Plain<'_>, read: &plain::Plain<'_>) {
    assert_eq!(read.first, [said.first[0], said.first[1], b"HTTP/1.1"]);
    assert_eq!(read.length(), said.length());
    let host = said.values("host");
    assert_eq!(read.values("host"), if host.is_empty() { vec![&b"198.51.100.1:443"[..]] } else { host });
}

fn fields_as_they_should(said: &plain::Plain<'_>, read: &plain::Plain<'_>) {
    assert_eq!(read.values("x-forwarded-for"), [b"192.0.2.1"]);
    assert_eq!(read.values("x-forwarded-proto"), [b"https"]);
    assert_eq!(read.values("x-forwarded-port"), [b"443"]);
    let dropped = said.options();
    let upgrades = !read.values("upgrade").is_empty();
    for (name, _) in &read.fields {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let (hyphened, named) = (name.replace('_', "-"), dropped.contains(&name.clone().into_bytes()));
        let ours = OWNED.contains(&name.as_str()) && read.values(&name).len() == 1;
        assert!(!OWNED.contains(&hyphened.as_str()) || ours, "{name} is ours");
        assert!(!ONE_HOP.contains(&hyphened.as_str()) || (upgrades && name == "connection"), "{name} ends here");
        assert!(!named || ours || STAYING.contains(&name.as_str()) || name == "connection", "{name} was to end here");
    }
    if upgrades {
        assert_eq!(read.values("connection"), [b"Upgrade"]);
        assert_eq!(read.length(), Some(Some(0)), "an upgrade beside a body");
    }
    let host_is_ours = said.values("host").is_empty();
    let mut left = said.fields.iter();
    for field in &read.fields {
        let name = String::from_utf8_lossy(field.0).to_ascii_lowercase();
        let anew = matches!(name.as_str(), "transfer-encoding" | "connection" | "upgrade");
        let ours = anew || OWNED.contains(&name.as_str()) || (host_is_ours && name == "host");
        assert!(ours || left.any(|one| one == field), "{name} was not said, or not there");
    }
}
