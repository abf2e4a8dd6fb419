//! Addresses to listen on, as the seam writes them. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP, over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A unix socket at an absolute path.
    Unix(PathBuf),
}

impl Address {
    /// Read `host:port` with a numeric host, `[v6]:port` or `unix:/path`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.starts_with('/') {
                return Ok(Self::Unix(path.into()));
            }
            return Err("the path of a unix socket must begin with /".to_owned());
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err("port 0 cannot be listened on".to_owned()),
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) => Err("neither a numeric host and port, nor unix:/path".to_owned()),
        }
    }

    /// Whether a socket at one of the two stands in the way of one at the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(two)) => one == two,
            (Self::Tcp(one), Self::Tcp(two)) => {
                let same_host = one.ip() == two.ip() || one.ip().is_unspecified() || two.ip().is_unspecified();
                one.port() == two.port() && one.is_ipv4() == two.is_ipv4() && same_host
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn the_three_forms_are_read() {
        assert_eq!(parsed("0.0.0.0:80"), Address::Tcp("0.0.0.0:80".parse().unwrap()));
        assert_eq!(parsed("[::1]:80"), Address::Tcp("[::1]:80".parse().unwrap()));
        assert_eq!(parsed("unix:/run/a b.sock"), Address::Unix("/run/a b.sock".into()));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "80", "localhost:80", "::1:80x", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "unix:", "unix:a"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_addresses_that_share_host_family_and_port_overlap() {
        for (one, two, wanted) in [
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("[::]:80", "0.0.0.0:80", false),
            ("[::]:80", "[::1]:80", true),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "127.0.0.1:80", false),
        ] {
            assert_eq!(parsed(one).overlaps(&parsed(two)), wanted, "{one} {two}");
        }
    }
}
