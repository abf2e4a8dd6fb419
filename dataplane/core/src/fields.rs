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

/// What the name makes of a field. Most names are told from all of these by their length and first letter.
pub fn kind(name: &str) -> Kind {
    let bytes = name.as_bytes();
    let known: &[(&[u8], Kind)] = match (bytes.len(), bytes.first().map(u8::to_ascii_lowercase)) {
        (2, Some(b't')) => &[(b"te", Kind::Hop)],
        (4, Some(b'h')) => &[(b"host", Kind::Host)],
        (6, Some(b'c')) => &[(b"cookie", Kind::Fixed)],
        (7, Some(b't')) => &[(b"trailer", Kind::Hop)],
        (7, Some(b'u')) => &[(b"upgrade", Kind::Upgrade)],
        (9, Some(b'f')) => &[(b"forwarded", Kind::Owned)],
        (9, Some(b'x')) => &[(b"x-real-ip", Kind::Owned)],
        (10, Some(b'c')) => &[(b"connection", Kind::Connection)],
        (10, Some(b'k')) => &[(b"keep-alive", Kind::Hop)],
        (13, Some(b'a')) => &[(b"authorization", Kind::Fixed)],
        (14, Some(b'c')) => &[(b"content-length", Kind::ContentLength)],
        (12, Some(b'x')) => &[(b"x-url-scheme", Kind::Owned)],
        (15, Some(b'f')) => &[(b"front-end-https", Kind::Owned)],
        (15, Some(b'x')) => &[(b"x-forwarded-for", Kind::Owned), (b"x-forwarded-ssl", Kind::Owned)],
        (16, Some(b'p')) => &[(b"proxy-connection", Kind::Hop)],
        (16, Some(b'x')) => &[(b"x-forwarded-host", Kind::Owned), (b"x-forwarded-port", Kind::Owned)],
        (17, Some(b't')) => &[(b"transfer-encoding", Kind::TransferEncoding)],
        (17, Some(b'x')) => &[(b"x-forwarded-proto", Kind::Owned)],
        (18, Some(b'x')) => &[
            (b"x-forwarded-prefix", Kind::Owned),
            (b"x-forwarded-scheme", Kind::Owned),
            (b"x-forwarded-server", Kind::Owned),
        ],
        (20, Some(b'x')) => &[(b"x-forwarded-protocol", Kind::Owned)],
        _ => &[],
    };
    let spelt = known.iter().find_map(|(canonical, kind)| Some((spelling(bytes, canonical)?, *kind)));
    match spelt {
        None => Kind::Plain,
        Some((Spelling::Own, kind)) => kind,
        // Programs that turn `-` and `_` into the same variable take it for the field it is not.
        Some((Spelling::Alias, _)) => Kind::Owned,
    }
}

/// How a name spells a canonical one.
enum Spelling {
    /// With `_` somewhere for `-`.
    Alias,
    /// But for case as it is.
    Own,
}

/// None if it does not spell it; both are of the same length.
fn spelling(name: &[u8], canonical: &[u8]) -> Option<Spelling> {
    let mut spelling = Spelling::Own;
    for (byte, wanted) in name.iter().zip(canonical) {
        match byte.to_ascii_lowercase() {
            byte if byte == *wanted => {}
            b'_' if *wanted == b'-' => spelling = Spelling::Alias,
            _ => return None,
        }
    }
    Some(spelling)
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

/// What the `Connection` fields of a message say, read once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// Something else: the name of a field that ends here, as a rule.
    pub others: bool,
    /// How many there are, empty ones included.
    pub count: u32,
}

impl Options {
    /// Take in the value of another `Connection` field.
    pub fn add(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.count = self.count.saturating_add(1);
            match option.len() {
                0 => {}
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ => self.others = true,
            }
        }
    }
}

/// One field as a line, appended to `out`.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Where a field begins in the bytes it was read from.
fn place(bytes: &[u8], field: &Field<'_>) -> usize {
    field.name.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr())
}

/// Whether every line of a head ends in CRLF. httparse takes a bare LF for a line end; RFC 9112 section 2.2 lets us, and
/// smuggling forbids it.
pub(crate) fn straight(bytes: &[u8], fields: &[Field<'_>]) -> bool {
    let ends_before = |at: usize| at.checked_sub(2).and_then(|start| bytes.get(start..at)) == Some(b"\r\n");
    fields.iter().all(|field| ends_before(place(bytes, field))) && bytes.ends_with(b"\r\n\r\n")
}

/// Which of the first fields of a head end at the proxy, told once; what comes behind them is told anew each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ending(u64);

impl Ending {
    pub(crate) fn add(&mut self, index: usize) {
        self.0 |= u32::try_from(index).ok().and_then(|index| 1u64.checked_shl(index)).unwrap_or(0);
    }

    /// This, unless there is more to it than names tell; then everything is to be told anew.
    pub(crate) fn unless(self, more: bool) -> Option<Self> {
        (!more).then_some(self)
    }

    /// Whether the field of this place ends here; `slow` tells it for those that were not noted.
    fn has(self, index: usize, slow: impl Fn() -> bool) -> bool {
        match u32::try_from(index).ok().and_then(|index| self.0.checked_shr(index)) {
            Some(rest) => rest & 1 == 1,
            None => slow(),
        }
    }
}

/// Append the lines of the fields that do not end here, as they stand in the `head` that all of them are part of. Lines
/// that follow one another are copied together.
pub(crate) fn write_passing(
    out: &mut Vec<u8>,
    head: &[u8],
    fields: &[Field<'_>],
    ending: Option<Ending>,
    ends: impl Fn(&Field<'_>) -> bool,
) {
    let end = head.len().saturating_sub(2); // Behind the fields stands the empty line.
    let mut run: Option<usize> = None;
    for (index, field) in fields.iter().enumerate() {
        let ended = ending.map_or_else(|| ends(field), |ending| ending.has(index, || ends(field)));
        match (run, ended) {
            (None, false) => run = Some(place(head, field)),
            (Some(start), true) => {
                out.extend_from_slice(head.get(start..place(head, field)).unwrap_or_default());
                run = None;
            }
            (None, true) | (Some(_), false) => {}
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
            ("Hose", Kind::Plain),
            ("X-Forwarded_Fox", Kind::Plain),
        ] {
            assert_eq!(kind(name), wanted, "{name}");
        }
    }

    #[test]
    fn options_of_connection_are_read_once() {
        let mut options = Options::default();
        for value in [b"close , Keep-Alive".as_slice(), b"", b" ,UPGRADE,"] {
            options.add(value);
        }
        assert_eq!(options, Options { close: true, keep_alive: true, upgrade: true, others: false, count: 6 });
        options.add(b"close, X-Drop");
        assert!(options.others);
    }

    fn read<'a, 'f>(head: &'a [u8], slots: &'f mut [Field<'a>]) -> &'f [Field<'a>] {
        let mut request = httparse::Request::new(slots);
        request.parse(head).unwrap();
        request.headers
    }

    #[test]
    fn what_passes_is_copied_as_it_stands() {
        let head = b"GET / HTTP/1.1\r\nA: 1\r\nDrop: x\r\nB:2 \r\nC: 3\r\nDrop: y\r\n\r\n";
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let fields = read(head, &mut slots);
        for (wanted, ends) in [
            (b"A: 1\r\nB:2 \r\nC: 3\r\n".as_slice(), [1, 4].as_slice()),
            (&head[16..head.len() - 2], &[]),
            (b"", &[0, 1, 2, 3, 4]),
        ] {
            let (mut ending, mut out) = (Ending::default(), Vec::new());
            ends.iter().for_each(|&index| ending.add(index));
            write_passing(&mut out, head, fields, Some(ending), |_| unreachable!());
            assert_eq!(out, wanted);
        }
    }

    #[test]
    fn fields_behind_the_first_sixty_four_are_judged_too() {
        let lines: String =
            (0..80).map(|index| format!("X-{}: 1\r\n", if index == 70 { "Drop" } else { "Keep" })).collect();
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        let mut slots = [httparse::EMPTY_HEADER; 100];
        let fields = read(head.as_bytes(), &mut slots);
        let (mut ending, mut out) = (Ending::default(), Vec::new());
        ending.add(70);
        write_passing(&mut out, head.as_bytes(), fields, Some(ending), |field| field.name == "X-Drop");
        assert_eq!(out.len(), lines.len() - "X-Drop: 1\r\n".len());
    }

    #[test]
    fn a_line_that_ends_otherwise_than_in_crlf_is_seen() {
        for (head, wanted) in [
            (b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n".as_slice(), true),
            (b"GET / HTTP/1.1\r\n\r\n", true),
            (b"GET / HTTP/1.1\nA: 1\r\nB: 2\r\n\r\n", false),
            (b"GET / HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n", false),
            (b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\n\r\n", false),
            (b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\n", false),
            (b"GET / HTTP/1.1\n\r\n", false),
            (b"GET / HTTP/1.1\r\n\n", false),
        ] {
            let mut slots = [httparse::EMPTY_HEADER; 8];
            assert_eq!(straight(head, read(head, &mut slots)), wanted, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
