//! What proxies are given: the control socket they all listen on in turn, and to each a link on which the listening
//! sockets arrive (`SCM_RIGHTS`). A link that is full is written when there is room; nobody waits for a proxy.

use crate::bound::{listen_unix, BoundPath};
use crate::clock;
use crate::journal;
use crate::listeners::{Listeners, MAX_SOCKETS};
use crate::poll::{Interest, Poll, Source, Watch};
use pinfold_wire::proxy::{Sockets, ToProxyLink};
use pinfold_wire::{encode, HEADER_BYTES};
use rustix::cmsg_space;
use rustix::net::{
    sendmsg, socketpair, AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the proxy's control socket in the run directory, and its rights.
const CONTROL_NAME: &str = "proxy.sock";
const CONTROL_MODE: u32 = 0o600;
/// Between two attempts to send what the kernel has no room for.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Room for the most descriptors of one message.
const ANCILLARY_BYTES: usize = cmsg_space!(ScmRights(MAX_SOCKETS as usize));

struct Link {
    end: OwnedFd,
    watch: Watch,
    /// Addresses whose sockets are still to be sent.
    waiting: VecDeque<String>,
    /// When to try again to send: too many descriptors of this user are under way just now.
    retry: Option<Instant>,
}

/// See the head of the file.
pub struct Links {
    path: PathBuf,
    control: Option<(OwnedFd, BoundPath)>,
    links: BTreeMap<String, Link>,
}

impl Links {
    /// None yet; the control socket will be in `run_directory`.
    pub fn new(run_directory: &Path) -> Self {
        Self { path: run_directory.join(CONTROL_NAME), control: None, links: BTreeMap::new() }
    }

    /// The control socket; bound when first asked for, and the same ever after.
    ///
    /// # Errors
    /// As bind(2).
    pub fn control(&mut self) -> io::Result<BorrowedFd<'_>> {
        let control = match self.control.take() {
            Some(control) => control,
            None => listen_unix(&self.path, CONTROL_MODE)?,
        };
        Ok(self.control.insert(control).0.as_fd())
    }

    /// Make the link of the proxy `key`, with all sockets of `listeners` on their way; returns the proxy's end.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn open(&mut self, key: &str, listeners: &Listeners, poll: &mut Poll) -> io::Result<OwnedFd> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let watch = poll.watch(&ours, Source::Link(key.to_owned()), Interest::None)?;
        let waiting = listeners.addresses().into_iter().map(|listed| listed.address).collect();
        self.links.insert(key.to_owned(), Link { end: ours, watch, waiting, retry: None });
        self.flush(key, listeners, poll);
        Ok(theirs)
    }

    /// Send the sockets of these addresses to every proxy, or word that they are held no more.
    pub fn announce(&mut self, addresses: &[String], listeners: &Listeners, poll: &mut Poll) {
        let keys: Vec<_> = self.links.keys().cloned().collect();
        for key in keys {
            if let Some(link) = self.links.get_mut(&key) {
                link.waiting.retain(|waiting| !addresses.contains(waiting));
                link.waiting.extend(addresses.iter().cloned());
            }
            self.flush(&key, listeners, poll);
        }
    }

    /// The link has room again, or the proxy has hung up.
    pub fn wake(&mut self, key: &str, listeners: &Listeners, poll: &mut Poll) {
        let Some(link) = self.links.get(key) else { return };
        // A proxy says nothing here; what it says all the same is thrown away.
        match rustix::io::read(&link.end, &mut [0; 64]) {
            Err(rustix::io::Errno::AGAIN) | Ok(1..) => self.flush(key, listeners, poll),
            _ => self.close(key, poll),
        }
    }

    /// When to call [`Links::retry`].
    pub fn next_deadline(&self) -> Option<Instant> {
        self.links.values().filter_map(|link| link.retry).min()
    }

    /// Try again what is due.
    pub fn retry(&mut self, now: Instant, listeners: &Listeners, poll: &mut Poll) {
        let due = |link: &Link| link.retry.is_some_and(|retry| retry <= now);
        let keys: Vec<_> = self.links.iter().filter(|(_, link)| due(link)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.flush(&key, listeners, poll);
        }
    }

    /// Send what waits as far as there is room.
    fn flush(&mut self, key: &str, listeners: &Listeners, poll: &mut Poll) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.retry = None;
        while let Some(address) = link.waiting.front() {
            match send(&link.end, address, &listeners.sockets(address).unwrap_or_default()) {
                Ok(()) => drop(link.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_passing(&error) => {
                    link.retry = Some(clock::now() + RETRY_PAUSE);
                    return poll.change(&link.end, link.watch, Interest::None);
                }
                Err(error) => {
                    journal::note(format_args!("{key}: its sockets cannot be sent: {error}"));
                    return self.close(key, poll);
                }
            }
        }
        let interest = if link.waiting.is_empty() { Interest::None } else { Interest::Write };
        poll.change(&link.end, link.watch, interest);
    }

    /// The proxy has hung up, or ended.
    pub fn close(&mut self, key: &str, poll: &mut Poll) {
        if let Some(link) = self.links.remove(key) {
            poll.forget(&link.end, link.watch);
        }
    }

    /// Remove the control socket.
    pub fn close_control(&mut self) {
        if let Some((_, path)) = self.control.take() {
            path.remove();
        }
    }
}

/// Whether there is a shortage of the kernel's that others may end: `ETOOMANYREFS` counts all descriptors that processes
/// of this user have sent and nobody has taken (unix(7)).
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETOOMANYREFS | libc::ENOBUFS | libc::ENOMEM))
}

fn send(link: &OwnedFd, address: &str, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
    let message = ToProxyLink::Sockets(Sockets { address: address.to_owned(), count });
    let frame = encode(&message).map_err(io::Error::other)?;
    let json = frame.get(HEADER_BYTES..).unwrap_or_default();
    let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(link, &[IoSlice::new(json)], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}
