//! The listening sockets as the shim hands them over: one message an address, with the descriptors beside it.

use crate::journal;
use pinfold_wire::proxy::ToProxyLink;
use rustix::cmsg_space;
use rustix::net::{recvmsg, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::Notify;

/// Most descriptors of one message (`SCM_MAX_FD`, unix(7)).
const SOCKETS_MOST: usize = 253;
/// Bytes of the longest message: an address and a few words.
const MESSAGE_BYTES: usize = 4096;
const ANCILLARY_BYTES: usize = cmsg_space!(ScmRights(SOCKETS_MOST));

/// The sockets of one address.
struct Held {
    /// Counts what the shim has sent.
    serial: u64,
    /// One for each core, or fewer, at least one.
    sockets: Vec<Arc<OwnedFd>>,
}

/// What the shim has handed over, and the link on which more comes.
pub struct Sockets {
    link: UnixDatagram,
    held: RefCell<HashMap<String, Held>>,
    serial: Cell<u64>,
    changed: Notify,
}

impl Sockets {
    /// None yet.
    ///
    /// # Errors
    /// The link cannot be waited for.
    pub fn new(link: OwnedFd) -> io::Result<Rc<Self>> {
        rustix::io::ioctl_fionbio(&link, true)?;
        // A SOCK_SEQPACKET in truth; only waiting for it, which is alike, is left to tokio.
        let link = UnixDatagram::from_std(link.into())?;
        Ok(Rc::new(Self { link, held: RefCell::default(), serial: Cell::new(0), changed: Notify::new() }))
    }

    /// The socket of an address for this core, and its serial.
    pub fn of(&self, address: &str, core: usize) -> Option<(u64, Arc<OwnedFd>)> {
        let held = self.held.borrow();
        let held = held.get(address)?;
        Some((held.serial, Arc::clone(held.sockets.get(core % held.sockets.len())?)))
    }

    /// Take in what comes, until the shim is gone.
    pub async fn keep(self: Rc<Self>) {
        while self.link.readable().await.is_ok() && self.take_in().is_ok() {
            self.changed.notify_one();
        }
    }

    /// Take in what has come.
    ///
    /// # Errors
    /// The shim is gone.
    pub fn take_in(&self) -> io::Result<()> {
        loop {
            match self.link.try_io(Interest::READABLE, || receive(&self.link)) {
                Ok((text, sockets)) => self.note(&text, sockets),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Return once something has come in.
    pub async fn wait_changed(&self) {
        self.changed.notified().await;
    }

    fn note(&self, text: &[u8], sockets: Vec<OwnedFd>) {
        match pinfold_wire::decode(text) {
            Ok(ToProxyLink::Sockets(message)) if usize::try_from(message.count) == Ok(sockets.len()) => {
                self.serial.set(self.serial.get() + 1);
                let mut held = self.held.borrow_mut();
                if sockets.is_empty() {
                    held.remove(&message.address);
                } else {
                    let sockets = sockets.into_iter().map(Arc::new).collect();
                    held.insert(message.address, Held { serial: self.serial.get(), sockets });
                }
            }
            Ok(ToProxyLink::Sockets(message)) => {
                journal::note(format_args!("{}: {} sockets came of {}", message.address, sockets.len(), message.count));
            }
            Err(error) => journal::note(format_args!("the shim said what is {error}")),
        }
    }
}

fn receive(link: &UnixDatagram) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = vec![0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(link, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    text.truncate(received.bytes);
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    Ok((text, rights.flatten().collect()))
}
