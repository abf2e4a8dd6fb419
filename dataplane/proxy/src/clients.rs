//! How many connections each client has open on a listener, over all cores. The table has only who is connected, so it is
//! never longer than connections are open.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bits of an IPv6 address that tell clients apart: who has one address behind them has them all.
const V6_BITS: u32 = 64;

/// What counts as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Who(Ipv6Addr);

impl Who {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped()),
            IpAddr::V6(address) => Self((address.to_bits() >> V6_BITS << V6_BITS).into()),
        }
    }
}

/// The clients of one listener.
#[derive(Debug, Default)]
pub struct Clients {
    open: Mutex<HashMap<Who, u64>>,
}

impl Clients {
    /// One more connection of who has this address; None if it has as many as it may. [`Clients::leave`] ends it.
    pub fn enter(&self, address: IpAddr, most: u64) -> Option<Who> {
        let who = Who::of(address);
        let mut open = self.open();
        let count = open.entry(who).or_default();
        if *count >= most {
            return None; // With a bound of at least 1, nobody is left in the table without a connection.
        }
        *count += 1;
        Some(who)
    }

    /// A connection has ended.
    pub fn leave(&self, who: Who) {
        let mut open = self.open();
        if let Some(count) = open.get_mut(&who) {
            *count -= 1;
            if *count == 0 {
                open.remove(&who);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Who, u64>> {
        // Nothing is left half done by a panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_is_forgotten_with_the_last() {
        let clients = Clients::default();
        let address = |text: &str| text.parse().unwrap();
        let one = clients.enter(address("192.0.2.1"), 2).unwrap();
        assert_eq!(clients.enter(address("::ffff:192.0.2.1"), 2), Some(one));
        assert_eq!(clients.enter(address("192.0.2.1"), 2), None);
        assert!(clients.enter(address("192.0.2.2"), 2).is_some());
        clients.leave(one);
        assert_eq!(clients.enter(address("192.0.2.1"), 2), Some(one));
        clients.leave(one);
        clients.leave(one);
        assert_eq!(clients.open().len(), 1);
    }

    #[test]
    fn an_ipv6_client_is_all_of_its_network() {
        let clients = Clients::default();
        assert!(clients.enter("2001:db8::1".parse().unwrap(), 1).is_some());
        assert_eq!(clients.enter("2001:db8::ffff:2".parse().unwrap(), 1), None);
        assert!(clients.enter("2001:db8:0:1::1".parse().unwrap(), 1).is_some());
    }
}
