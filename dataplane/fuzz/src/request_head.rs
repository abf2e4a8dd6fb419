//! Heads of requests: what is accepted is, by the second opinion, the same request; and no cut of the bytes is refused
//! that the whole is not.

use crate::plain;
use pinfold_core::framing::{Body, Version};
use pinfold_core::request::{self, Head};

/// Fields for which there is room.
const FIELDS: usize = 256;

/// Panics when a head is read otherwise than the second opinion reads it.
pub fn check(bytes: &[u8]) {
    let Some(length) = request::head_length(bytes) else {
        request::may_become_head(bytes);
        return;
    };
    let whole = &bytes[..length];
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let Ok(head) = request::parse(whole, &mut slots) else { return };
    agrees(&head, whole);
    for cut in 0..length {
        assert!(request::may_become_head(&whole[..cut]), "refused at {cut}, accepted whole");
    }
}

/// The second opinion of a head that was accepted.
pub fn agrees<'a>(head: &Head<'_, '_>, whole: &'a [u8]) -> plain::Plain<'a> {
    // Empty lines before a request line are allowed (RFC 9112 section 2.2).
    let mut start = whole;
    while let Some(rest) = start.strip_prefix(b"\r\n") {
        start = rest;
    }
    let second = plain::head(start).expect("a head that is none");
    assert_eq!(second.bytes, start.len(), "more than a head");
    let version: &[u8] = if head.version == Version::Http11 { b"HTTP/1.1" } else { b"HTTP/1.0" };
    assert_eq!(second.first, [head.method.as_bytes(), head.target.as_bytes(), version]);
    assert!(head.method.bytes().all(plain::token) && !head.method.is_empty());
    assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') && !head.target.is_empty());
    let fields: Vec<_> = head.fields.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(second.fields, fields);
    let body = second.length().expect("a length that can be told in two ways");
    assert_eq!(body.map_or(Body::Chunked, Body::Length), head.body);
    assert!(body.is_some() || head.version == Version::Http11, "chunked on HTTP/1.0");
    match second.values("host").as_slice() {
        [host] => assert_eq!(*host, head.host.as_bytes()),
        [] => assert!(head.version == Version::Http10 && head.host.is_empty()),
        _ => panic!("two hosts"),
    }
    assert!(path_agrees(head), "{} is not the path of {}", head.path(), head.target);
    assert!(authority_agrees(head), "{} is not of {:?}", head.target, head.host);
    second
}

/// Whose request it is can be told in one way only.
fn authority_agrees(head: &Head<'_, '_>) -> bool {
    match head.target.split_once("://") {
        Some((_, rest)) if !head.target.starts_with('/') => {
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            !authority.is_empty() && authority.eq_ignore_ascii_case(head.host)
        }
        _ => true,
    }
}

/// Routes are chosen by the path that the endpoint will see (RFC 3986 section 3).
fn path_agrees(head: &Head<'_, '_>) -> bool {
    let before_query = head.target.split('?').next().unwrap_or_default();
    let path = match before_query.split_once("://") {
        Some((_, rest)) if !before_query.starts_with('/') => rest.find('/').map_or("", |at| &rest[at..]),
        _ => before_query,
    };
    head.path() == if path.is_empty() { "/" } else { path }
}
