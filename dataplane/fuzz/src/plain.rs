//! HTTP/1.1 by the letter of RFC 9112 and nothing beyond it, cut at line ends instead of read byte by byte: the second
//! opinion. It knows no limits and no policy; what it does not understand is None.

/// A message head, cut into its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// The three words of the first line; the last one of an answer may hold spaces.
    pub first: [&'a [u8]; 3],
    /// Name and value of each field, without white space around the value.
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    /// Bytes of the head, its empty line included.
    pub bytes: usize,
}

impl<'a> Plain<'a> {
    /// The values of the fields of this name.
    pub fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let same = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(same).map(|field| field.1).collect()
    }

    /// What `Connection` names.
    pub fn options(&self) -> Vec<Vec<u8>> {
        let all = self.values("connection").join(&b","[..]);
        all.split(|&byte| byte == b',').map(|one| trimmed(one).to_ascii_lowercase()).collect()
    }

    /// Where the body ends, if it can be told in one way only: Some(None) in chunks.
    pub fn length(&self) -> Option<Option<u64>> {
        let (lengths, codings) = (self.values("content-length"), self.values("transfer-encoding"));
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Some(Some(0)),
            ([length], []) => number(length, 10).map(Some),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Some(None),
            _ => None,
        }
    }
}

/// The head that `bytes` begin with.
pub fn head(bytes: &[u8]) -> Option<Plain<'_>> {
    let (first, mut rest) = line(bytes)?;
    let mut words = first.splitn(3, |&byte| byte == b' ');
    let first = [words.next()?, words.next()?, words.next().unwrap_or_default()];
    let mut fields = Vec::new();
    loop {
        let (one, after) = line(rest)?;
        rest = after;
        if one.is_empty() {
            return Some(Plain { first, fields, bytes: bytes.len() - rest.len() });
        }
        fields.push(field(one)?);
    }
}

/// A chunked body.
pub struct Chunked<'a> {
    /// What it carries.
    pub payload: Vec<u8>,
    /// Name and value of each trailer.
    pub trailers: Vec<(&'a [u8], &'a [u8])>,
    /// Bytes of it, the last line end included.
    pub bytes: usize,
}

/// The chunked body that `bytes` begin with.
pub fn chunked(bytes: &[u8]) -> Option<Chunked<'_>> {
    let (mut payload, mut trailers, mut rest) = (Vec::new(), Vec::new(), bytes);
    loop {
        let (size, after) = line(rest)?;
        let digits = size.split(|&byte| byte == b';').next()?;
        if size.iter().any(|&byte| control(byte)) {
            return None;
        }
        let size = usize::try_from(number(digits, 16)?).ok()?;
        if size == 0 {
            rest = after;
            break;
        }
        payload.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let (trailer, after) = line(rest)?;
        rest = after;
        if trailer.is_empty() {
            return Some(Chunked { payload, trailers, bytes: bytes.len() - rest.len() });
        }
        trailers.push(field(trailer)?);
    }
}

/// Name and value.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    let bad = name.is_empty() || !name.iter().all(|&byte| token(byte)) || value.iter().any(|&byte| control(byte));
    (!bad).then_some((name, value))
}

/// Up to the first line end, which is CRLF and nothing else, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\r' || byte == b'\n')?;
    Some((&bytes[..end], bytes[end..].strip_prefix(b"\r\n")?))
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, radix).ok())?
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let white = |byte: &&u8| **byte == b' ' || **byte == b'\t';
    let start = bytes.iter().take_while(white).count();
    let end = bytes.iter().rev().take_while(white).count();
    bytes.get(start..bytes.len() - end).unwrap_or_default()
}

/// RFC 9110 section 5.6.2.
pub fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 5234: what no value may hold.
pub fn control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}
