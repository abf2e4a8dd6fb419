//! What a header field is to a proxy, told from its name alone, and the copying of those that pass.

use crate::request::Field;

/// What the name of a field makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Connection`: names others of one hop.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Host`.
    Host,
    /// Of one hop (RFC 9110 section 7.6.1): ends here.
    Hop,
    /// Set by the proxy, or a spelling that programs take for one that is: a client's copy ends here.
    Owned,
    /// Passes, whatever `Connection` says: without it the message would be another one.
    Fixed,
    /// Passes, unless `Connection` names it.
    Plain,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
}

/// What the name makes of a field. Names are told apart by their length first: most differ from all of these in it.
pub fn kind(name: &str) -> Kind {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let found = match name.len() {
        2 if is("te") => Kind::Hop,
        4 if is("host") => Kind::Host,
        6 if is("cookie") => Kind::Fixed,
        7 if is("upgrade") => Kind::Upgrade,
        7 if is("trailer") => Kind::Hop,
        9 if is("forwarded") || is("x-real-ip") => Kind::Owned,
        10 if is("connection") => Kind::Connection,
        10 if is("keep-alive") => Kind::Hop,
        13 if is("authorization") => Kind::Fixed,
        14 if is("content-length") => Kind::ContentLength,
        15 if is("x-forwarded-for") || is("x-forwarded-ssl") => Kind::Owned,
        16 if is("x-forwarded-host") || is("x-forwarded-port") => Kind::Owned,
        16 if is("proxy-connection") => Kind::Hop,
        17 if is("transfer-encoding") => Kind::TransferEncoding,
        17 if is("x-forwarded-proto") => Kind::Owned,
        18 if is("x-forwarded-prefix") || is("x-forwarded-server") => Kind::Owned,
        _ => Kind::Plain,
    };
    if found == Kind::Plain && name.contains('_') && kind(&name.replace('_', "-")) != Kind::Plain {
        return Kind::Owned;
    }
    found
}

/// Whether one of these fields is `Connection` with an option that names this field.
pub fn named_in_connection(fields: &[Field<'_>], name: &str) -> bool {
    options(fields).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

/// The options of all `Connection` fields.
pub fn options<'a: 'f, 'f>(fields: &'f [Field<'a>]) -> impl Iterator<Item = &'a [u8]> + 'f {
    let connections = fields.iter().filter(|field| kind(field.name) == Kind::Connection);
    connections.flat_map(|field| field.value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// One field as a line, appended to `out`.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Append the lines of the fields that `pass`, as they stand in the `head` that all of them are part of. Lines that follow
/// one another are copied together.
pub fn write_passing(out: &mut Vec<u8>, head: &[u8], fields: &[Field<'_>], pass: impl Fn(&Field<'_>) -> bool) {
    let place = |field: &Field<'_>| field.name.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
    let end = head.len().saturating_sub(2); // Behind the fields stands the empty line.
    let mut run: Option<usize> = None;
    for field in fields {
        match (run, pass(field)) {
            (None, true) => run = Some(place(field)),
            (Some(start), false) => {
                out.extend_from_slice(head.get(start..place(field)).unwrap_or_default());
                run = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    if let Some(start) = run {
        out.extend_from_slice(head.get(start..end).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_in_any_case() {
        for (name, wanted) in [
            ("Host", Kind::Host),
            ("hOST", Kind::Host),
            ("TE", Kind::Hop),
            ("X-Forwarded-For", Kind::Owned),
            ("X_FORWARDED_FOR", Kind::Owned),
            ("x-forwarded_for", Kind::Owned),
            ("Transfer_Encoding", Kind::Owned),
            ("content_length", Kind::Owned),
            ("Content-Length", Kind::ContentLength),
            ("X_Custom", Kind::Plain),
            ("Accept", Kind::Plain),
            ("", Kind::Plain),
        ] {
            assert_eq!(kind(name), wanted, "{name}");
        }
    }

    #[test]
    fn what_passes_is_copied_as_it_stands() {
        let head = b"GET / HTTP/1.1\r\nA: 1\r\nDrop: x\r\nB:2 \r\nC: 3\r\nDrop: y\r\n\r\n";
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut slots);
        request.parse(head).unwrap();
        let mut out = Vec::new();
        write_passing(&mut out, head, request.headers, |field| field.name != "Drop");
        assert_eq!(out, b"A: 1\r\nB:2 \r\nC: 3\r\n");
        out.clear();
        write_passing(&mut out, head, request.headers, |_| true);
        assert_eq!(out, &head[16..head.len() - 2]);
        out.clear();
        write_passing(&mut out, head, request.headers, |_| false);
        assert!(out.is_empty());
    }
}
