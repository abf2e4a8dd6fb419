//! As much of HTTP/1.1 as the bench needs.

/// Length of a whole head with the empty line behind it, if it is there.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let at = from + rest.iter().position(|&byte| byte == b'\n')?;
        if bytes.get(at + 1..at + 3) == Some(b"\r\n") {
            return Some(at + 3);
        }
        from = at + 1;
    }
}

/// What `Content-Length` says, 0 without one.
pub fn content_length(head: &[u8]) -> usize {
    field(head, b"content-length:")
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Whether the connection ends behind this message.
pub fn closes(head: &[u8]) -> bool {
    field(head, b"connection:").is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The status of an answer, 0 if it has none.
pub fn status(head: &[u8]) -> u16 {
    head.get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// The target of a request.
pub fn target(head: &[u8]) -> &[u8] {
    head.split(|&byte| byte == b' ').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"POST /work?ms=2 HTTP/1.1\r\nHost: a\r\ncontent-Length: 12\r\nConnection: Close\r\n\r\n";

    #[test]
    fn a_head_is_read() {
        assert_eq!(head_length(HEAD), Some(HEAD.len()));
        assert_eq!(head_length(&HEAD[..HEAD.len() - 1]), None);
        assert_eq!(content_length(HEAD), 12);
        assert!(closes(HEAD));
        assert_eq!(target(HEAD), b"/work?ms=2");
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n\r\n"), 204);
    }
}
