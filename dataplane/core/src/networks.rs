//! Networks whose word about a client is believed. An IPv4 address is the same when it comes mapped into IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits of an IPv6 address before a mapped IPv4 address (RFC 4291 section 2.5.5.2).
const MAPPED_BITS: u32 = 96;

/// A list of networks, empty by default; it is as short as the config, so it is simply read through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// The text is no network: `10.0.0.0/8`, `::1`; no bits may be set behind the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNetwork;

impl Networks {
    /// Add a network, or a single address.
    ///
    /// # Errors
    /// [`NoNetwork`]; nothing is added.
    pub fn add(&mut self, text: &str) -> Result<(), NoNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(bits(prefix).ok_or(NoNetwork)?)),
            None => (text, None),
        };
        match (address.parse().map_err(|_| NoNetwork)?, prefix) {
            (IpAddr::V4(address), prefix) => self.add_v4(address, prefix.unwrap_or(Ipv4Addr::BITS)),
            (IpAddr::V6(address), prefix) => {
                let prefix = prefix.unwrap_or(Ipv6Addr::BITS);
                match (address.to_ipv4_mapped(), prefix.checked_sub(MAPPED_BITS)) {
                    (Some(mapped), Some(prefix)) => self.add_v4(mapped, prefix),
                    _ => self.add_v6(address, prefix),
                }
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether one of them has the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    fn add_v4(&mut self, address: Ipv4Addr, prefix: u32) -> Result<(), NoNetwork> {
        let mask = u32::MAX.checked_shr(prefix).unwrap_or(0);
        let first = address.to_bits();
        if prefix > Ipv4Addr::BITS || first & mask != 0 {
            return Err(NoNetwork);
        }
        self.v4.push((first, first | mask));
        Ok(())
    }

    fn add_v6(&mut self, address: Ipv6Addr, prefix: u32) -> Result<(), NoNetwork> {
        let mask = u128::MAX.checked_shr(prefix).unwrap_or(0);
        let first = address.to_bits();
        if prefix > Ipv6Addr::BITS || first & mask != 0 {
            return Err(NoNetwork);
        }
        self.v6.push((first, first | mask));
        Ok(())
    }
}

fn bits(prefix: &str) -> Option<u32> {
    let plain = prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    prefix.parse().ok().filter(|_| plain)
}

fn holds<T: PartialOrd>(ranges: &[(T, T)], address: T) -> bool {
    ranges.iter().any(|(first, last)| *first <= address && address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Networks {
        let mut networks = Networks::default();
        for text in texts {
            networks.add(text).expect(text);
        }
        networks
    }

    #[test]
    fn an_address_is_in_a_network_by_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.4/31", "192.0.2.5", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
        ] {
            let networks = of(&[network]);
            assert!(networks.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!networks.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        assert!(of(&["10.0.0.0/8"]).contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(of(&["::ffff:10.0.0.0/104"]).contains("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn an_empty_list_has_nobody() {
        assert!(Networks::default().is_empty() && !of(&["::1"]).is_empty());
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/127",
            "::/129",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "localhost",
            "10.0.0",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "010.0.0.0/8",
            "10.0.0.0/255.0.0.0",
        ] {
            assert_eq!(Networks::default().add(text), Err(NoNetwork), "{text}");
        }
    }
}
