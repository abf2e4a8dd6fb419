//! The listening sockets of the proxy: bound here once, held for as long as the daemon wants their address, whoever
//! accepts from them.

use crate::address::Address;
use crate::bound::{bind_tcp, listen_unix, start_listening, BoundPath, Sharing};
use crate::errors::errno_text;
use pinfold_wire::shim::ListenAddress;
use pinfold_wire::Problem;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most sockets of one address: as many as one message can carry (`SCM_MAX_FD`, unix(7)).
pub const MAX_SOCKETS: u32 = 253;
/// Rights of a unix socket that clients connect to.
const SOCKET_MODE: u32 = 0o660;

struct Held {
    place: Address,
    sockets: Vec<OwnedFd>,
    /// How many the proxy is to be given; a unix socket is held once.
    count: u32,
    path: Option<BoundPath>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            path.remove();
        }
    }
}

/// See the head of the file.
#[derive(Default)]
pub struct Listeners {
    held: BTreeMap<String, Held>,
}

impl Listeners {
    /// Listen on exactly these addresses. One that is held already stays as it is: another count of sockets takes
    /// effect when the address is next bound. Returns the addresses that are new, and those that are held no more.
    ///
    /// # Errors
    /// A problem for each address that cannot be had; then nothing has changed.
    pub fn change(&mut self, wanted: &[ListenAddress]) -> Result<Vec<String>, Vec<Problem>> {
        let mut fresh = BTreeMap::new();
        let mut problems = Vec::new();
        let mut places = Vec::new();
        for address in wanted.iter().filter(|address| !self.held.contains_key(&address.address)) {
            match self.probe(address) {
                Ok(place) if !places.iter().any(|(_, earlier)| *earlier == place) => places.push((address, place)),
                Ok(_) => problems.push(problem(address, "is named twice", None)),
                Err(found) => problems.push(found),
            }
        }
        for (address, place) in places {
            match bind_all(place, address.sockets) {
                Ok(held) => drop(fresh.insert(address.address.clone(), held)),
                Err(error) => problems.push(refusal(address, &error)),
            }
        }
        if !problems.is_empty() {
            return Err(problems); // What was bound closes with `fresh`.
        }
        let gone = |address: &String| !wanted.iter().any(|wanted| wanted.address == *address);
        let changed = fresh.keys().chain(self.held.keys().filter(|held| gone(held))).cloned().collect();
        self.held.retain(|address, _| !gone(address));
        self.held.append(&mut fresh);
        Ok(changed)
    }

    /// The sockets of an address in the number the proxy is to get.
    pub fn sockets(&self, address: &str) -> Option<Vec<BorrowedFd<'_>>> {
        let held = self.held.get(address)?;
        let count = usize::try_from(held.count).unwrap_or(0);
        Some(held.sockets.iter().map(AsFd::as_fd).cycle().take(count).collect())
    }

    /// What is held.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        let listed =
            |(address, held): (&String, &Held)| ListenAddress { address: address.clone(), sockets: held.count };
        self.held.iter().map(listed).collect()
    }

    /// Close everything.
    pub fn close(&mut self) {
        self.held.clear();
    }

    /// Read an address, and find out whether a stranger listens there: as our sockets share their port, binding them
    /// would not tell, if the stranger's share it too.
    fn probe(&self, address: &ListenAddress) -> Result<Address, Problem> {
        let place = Address::parse(&address.address).map_err(|what| problem(address, &what, None))?;
        if address.sockets == 0 || address.sockets > MAX_SOCKETS {
            return Err(problem(address, &format!("sockets must be from 1 to {MAX_SOCKETS}"), None));
        }
        // Our own socket on the wildcard of the same port would be in the way of the probe, but not of the real one.
        let ours = self.held.values().any(|held| held.place.overlaps(&place));
        match &place {
            Address::Tcp(tcp) if !ours => bind_tcp(tcp, Sharing::Refused).map_err(|error| refusal(address, &error))?,
            _ => return Ok(place),
        };
        Ok(place)
    }
}

fn bind_all(place: Address, count: u32) -> io::Result<Held> {
    let mut held = Held { place, sockets: Vec::new(), count, path: None };
    match &held.place {
        Address::Tcp(tcp) => {
            for _ in 0..count {
                let socket = bind_tcp(tcp, Sharing::Allowed)?;
                start_listening(&socket)?;
                held.sockets.push(socket);
            }
        }
        Address::Unix(path) => {
            let (socket, bound) = listen_unix(path, SOCKET_MODE)?;
            held.sockets.push(socket);
            held.path = Some(bound);
        }
    }
    Ok(held)
}

fn refusal(address: &ListenAddress, error: &io::Error) -> Problem {
    let errno = error.raw_os_error();
    let what = match errno {
        Some(libc::EADDRINUSE) => "is already in use".to_owned(),
        Some(libc::EADDRNOTAVAIL) => "is no address of this machine".to_owned(),
        Some(libc::EACCES) => "may not be bound by this user".to_owned(),
        Some(errno) => format!("cannot be listened on: {}", errno_text(errno)),
        None => format!("cannot be listened on: {error}"),
    };
    problem(address, &what, errno)
}

fn problem(address: &ListenAddress, what: &str, errno: Option<i32>) -> Problem {
    Problem { place: address.address.clone(), what: format!("{} {what}", address.address), errno }
}
