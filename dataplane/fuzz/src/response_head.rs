//! Heads of answers: what is accepted is, by the second opinion, the same answer, and reaches the client as one that is
//! framed in one way only.

use crate::plain;
use pinfold_core::framing::Version;
use pinfold_core::request;
use pinfold_core::response::{self, passage, AnswerBody, AnswerHead, Connection, Passage};

/// Fields for which there is room.
const FIELDS: usize = 256;

/// Panics when the client could read another answer than the endpoint gave. The first byte chooses what was asked for.
pub fn check(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let Some(length) = request::head_length(bytes) else { return };
    let whole = &bytes[..length];
    let (to_head, client) = (how & 1 == 1, if how & 2 == 2 { Version::Http10 } else { Version::Http11 });
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let Ok(Some(mut head)) = response::parse(whole, &mut slots, to_head) else { return };
    assert_eq!(head.bytes.len(), whole.len(), "one head, and all of it");
    if client == Version::Http10 {
        head.hide_coding();
    }
    let second = plain::head(whole).expect("a head that is none");
    agrees(&head, &second, to_head);
    let connection = [Connection::Silent, Connection::Close, Connection::KeepAlive][usize::from(how >> 2) % 3];
    let (mut out, passage) = (Vec::new(), passage(head.body, client));
    response::write_head(&mut out, &head, passage, connection, how & 128 == 128);
    told(&head, &second, &out, passage);
}

fn agrees(head: &AnswerHead<'_, '_>, second: &plain::Plain<'_>, to_head: bool) {
    assert_eq!(second.first[1], head.status.to_string().as_bytes());
    assert!(second.first[0] == b"HTTP/1.1" || second.first[0] == b"HTTP/1.0");
    assert!(!second.first[2].iter().any(|&byte| plain::control(byte)), "a control in the reason");
    let fields: Vec<_> = head.fields.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(second.fields, fields);
    let framed = second.length().expect("a length that can be told in two ways");
    let bare = to_head || head.status < 200 || head.status == 204 || head.status == 304;
    let wanted = match framed {
        _ if bare => AnswerBody::None,
        None => AnswerBody::Chunked,
        Some(_) if second.values("content-length").is_empty() => AnswerBody::UntilClose,
        Some(length) => AnswerBody::Length(length),
    };
    assert_eq!(head.body, wanted);
    assert!(!head.reusable || !second.options().contains(&b"close".to_vec()));
}

/// What the client reads of it.
fn told(head: &AnswerHead<'_, '_>, second: &plain::Plain<'_>, out: &[u8], passage: Passage) {
    let read = plain::head(out).expect("what is sent on is no head");
    assert_eq!(read.bytes, out.len(), "more than a head is sent on");
    assert_eq!((read.first[0], read.first[1]), (&b"HTTP/1.1"[..], second.first[1]));
    let framed = read.length().expect("what is sent on can be read in two ways");
    let length = || !read.values("content-length").is_empty();
    match (passage, head.body) {
        (Passage::Chunked, _) => assert_eq!(framed, None),
        (Passage::UntilClose, _) => assert!(framed == Some(0) && !length()),
        (Passage::AsIs, AnswerBody::Length(bytes)) => assert!(framed == Some(bytes) && length()),
        (Passage::AsIs, _) => {}
    }
    if head.status < 200 || head.status == 204 {
        assert!(framed == Some(0) && !length());
    }
    let options = second.options();
    for (name, value) in &read.fields {
        let name = name.to_ascii_lowercase();
        let ours = matches!(name.as_slice(), b"connection" | b"transfer-encoding" | b"trailer");
        assert!(ours || second.fields.iter().any(|(one, same)| one.eq_ignore_ascii_case(&name) && same == value));
        assert!(ours || name == b"content-length" || name == b"upgrade" || !options.contains(&name), "of one hop");
    }
}
