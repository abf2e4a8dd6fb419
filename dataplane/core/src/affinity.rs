//! The cookie that keeps a client on its endpoint. Its value is a hash of the endpoint's name: it tells no address, needs no
//! memory, and means the same to the next proxy.

use crate::request::{values, Field};

/// The value of the first cookie of this name (RFC 6265 section 5.4).
pub fn cookie<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    let mut pairs = values(fields, "cookie").flat_map(|value| value.split(|&byte| byte == b';'));
    pairs.find_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (found, value) = pair.split_at_checked(equals)?;
        (found.trim_ascii_end() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii_start())
    })
}

/// The mark in the value of a cookie that [`write_cookie`] wrote.
pub fn mark_in(value: &[u8]) -> Option<u64> {
    let plain = value.len() == 16 && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let text = std::str::from_utf8(value).ok().filter(|_| plain)?;
    u64::from_str_radix(text, 16).ok()
}

/// The field that gives a client the cookie of an endpoint, appended to `out`; to go over TLS only if it was set there.
pub fn write_cookie(out: &mut Vec<u8>, name: &str, mark: u64, secure: bool) {
    let digit = |shift: u32| b"0123456789abcdef".get(usize::try_from(mark >> shift & 15).unwrap_or(0)).copied();
    out.extend_from_slice(b"Set-Cookie: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend((0..16).rev().filter_map(|nibble| digit(nibble * 4)));
    out.extend_from_slice(b"; Path=/; HttpOnly; SameSite=Lax");
    out.extend_from_slice(if secure { b"; Secure\r\n" } else { b"\r\n" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(name: &'a str, value: &'a [u8]) -> Field<'a> {
        Field { name, value }
    }

    #[test]
    fn a_cookie_is_found_among_others_and_only_whole() {
        let fields = [
            field("A", b"pin=no"),
            field("cookie", b"xpin=1; pinx=2; pin ; PIN=3"),
            field("Cookie", b" a=b;pin= =c ;pin=later"),
        ];
        assert_eq!(cookie(&fields, "pin"), Some(b"=c".as_slice()));
        assert_eq!(cookie(&fields, "PIN"), Some(b"3".as_slice()));
        assert_eq!(cookie(&fields, "b"), None);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for mark in [0, 1, 0xfeed_0000_0000_000f, u64::MAX] {
            let mut out = Vec::new();
            write_cookie(&mut out, "pin", mark, false);
            let line = String::from_utf8(out).unwrap();
            let value = line.strip_prefix("Set-Cookie: pin=").unwrap();
            assert_eq!(mark_in(&value.as_bytes()[..16]), Some(mark));
            assert_eq!(&value[16..], "; Path=/; HttpOnly; SameSite=Lax\r\n");
        }
        for value in ["", "1", "000000000000000G", "000000000000000A", "+00000000000000a", "00000000000000000"] {
            assert_eq!(mark_in(value.as_bytes()), None, "{value}");
        }
        let mut out = Vec::new();
        write_cookie(&mut out, "pin", 1, true);
        assert!(out.ends_with(b"; Secure\r\n"));
    }
}
