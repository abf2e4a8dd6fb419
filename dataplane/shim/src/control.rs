//! The control socket: who may connect, whole messages in and out, and which connection is the daemon's. Knows nothing
//! of what messages mean beyond `hello`.

use crate::journal;
use crate::poll::{Interest, Poll, Source, Watch};
use crate::raw;
use pinfold_wire::shim::{FromShim, ToShim};
use pinfold_wire::{decode, encode, take_frame, FrameError, MAX_FRAME_BYTES};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// Connections open at once; one more closes the oldest that is not the daemon's.
const MAX_PEERS: usize = 8;
/// Bytes read in one go.
const READ_BYTES: usize = 64 * 1024;
/// A peer that leaves more than this unread has stopped reading, and is cut off; a new one is told everything anyway.
const MAX_UNREAD_BYTES: usize = MAX_FRAME_BYTES;

struct Peer {
    stream: UnixStream,
    watch: Watch,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// See the head of the file.
pub struct Control {
    listening: UnixListener,
    watch: Watch,
    peers: BTreeMap<u64, Peer>,
    next: u64,
    daemon: Option<u64>,
    /// Given up for a moment when descriptors run out, so that a connection can be taken and closed, not spun upon.
    spare: Option<File>,
    own_uid: u32,
}

/// Whether a process of that user may give orders to one of `own_uid`.
pub fn may_command(peer_uid: u32, own_uid: u32) -> bool {
    peer_uid == own_uid || peer_uid == 0
}

impl Control {
    /// Take the listening socket into service.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn new(listening: OwnedFd, poll: &mut Poll) -> io::Result<Self> {
        let listening = UnixListener::from(listening);
        listening.set_nonblocking(true)?;
        let watch = poll.watch(&listening, Source::Control, Interest::Read)?;
        let own_uid = rustix::process::geteuid().as_raw();
        Ok(Self { listening, watch, peers: BTreeMap::new(), next: 0, daemon: None, spare: spare(), own_uid })
    }

    /// Somebody connects.
    pub fn accept(&mut self, poll: &mut Poll) {
        match self.listening.accept() {
            Ok((stream, _)) => self.admit(stream, poll),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                self.spare = None;
                drop(self.listening.accept());
                self.spare = spare();
                journal::note(format_args!("a connection is refused: no descriptors left"));
            }
            Err(_) => {}
        }
    }

    fn admit(&mut self, stream: UnixStream, poll: &mut Poll) {
        match raw::peer_uid(stream.as_fd()) {
            Ok(uid) if may_command(uid, self.own_uid) => {}
            Ok(uid) => return journal::note(format_args!("a connection of user {uid} is refused")),
            Err(_) => return,
        }
        if self.peers.len() >= MAX_PEERS {
            let oldest = self.peers.keys().find(|id| Some(**id) != self.daemon).copied();
            oldest.into_iter().for_each(|id| self.close(id, poll));
        }
        let id = self.next;
        let watched = stream.set_nonblocking(true).and_then(|()| poll.watch(&stream, Source::Peer(id), Interest::Read));
        if let Ok(watch) = watched {
            self.next += 1;
            self.peers.insert(id, Peer { stream, watch, inbox: Vec::new(), outbox: Vec::new() });
        }
    }

    /// The connection that is the daemon's.
    pub fn daemon(&self) -> Option<u64> {
        self.daemon
    }

    /// This connection is the daemon's from now on; the one before it is closed.
    pub fn promote(&mut self, id: u64, poll: &mut Poll) {
        if let Some(old) = self.daemon.replace(id).filter(|old| *old != id) {
            self.close(old, poll);
        }
    }

    /// The messages that have come on a connection, in order; on a fault or its end it is closed.
    pub fn receive(&mut self, id: u64, poll: &mut Poll) -> Vec<ToShim> {
        let Some(peer) = self.peers.get_mut(&id) else { return Vec::new() };
        let (mut messages, mut end) = (Vec::new(), peer.flush(poll).err());
        if end.is_none() {
            end = peer.fill().err();
        }
        if let Err(error) = peer.take_messages(&mut messages) {
            journal::note(format_args!("a connection is closed: {error}"));
            end = Some(ErrorKind::InvalidData.into());
        }
        if end.is_some() {
            self.close(id, poll);
        }
        messages
    }

    /// Send to one connection; what cannot be written now waits.
    pub fn send(&mut self, id: u64, message: &FromShim, poll: &mut Poll) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match encode(message) {
            Ok(frame) => peer.outbox.extend_from_slice(&frame),
            Err(error) => journal::note(format_args!("a message cannot be sent: {error}")),
        }
        if peer.flush(poll).is_err() {
            self.close(id, poll);
        }
    }

    /// Send to the daemon, if there is one.
    pub fn tell(&mut self, message: &FromShim, poll: &mut Poll) {
        if let Some(id) = self.daemon {
            self.send(id, message, poll);
        }
    }

    /// End a connection.
    pub fn close(&mut self, id: u64, poll: &mut Poll) {
        if let Some(peer) = self.peers.remove(&id) {
            poll.forget(&peer.stream, peer.watch);
        }
        if self.daemon == Some(id) {
            self.daemon = None;
        }
    }

    /// Accept nobody any more.
    pub fn close_all(&mut self, poll: &mut Poll) {
        poll.forget(&self.listening, self.watch);
        let ids: Vec<_> = self.peers.keys().copied().collect();
        ids.into_iter().for_each(|id| self.close(id, poll));
    }
}

impl Peer {
    /// Read what there is, but no more than one piece: others wait too.
    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; READ_BYTES];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.inbox.extend_from_slice(piece.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_messages(&mut self, messages: &mut Vec<ToShim>) -> Result<(), FrameError> {
        let mut used = 0;
        while let Some((json, length)) = take_frame(self.inbox.get(used..).unwrap_or_default())? {
            messages.push(decode(json)?);
            used += length;
        }
        self.inbox.drain(..used);
        if self.inbox.is_empty() {
            self.inbox = Vec::new(); // A large frame is not kept room for.
        }
        Ok(())
    }

    fn flush(&mut self, poll: &mut Poll) -> io::Result<()> {
        let mut written = 0;
        let failure = loop {
            let rest = self.outbox.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break None;
            }
            match self.stream.write(rest) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break None,
                Err(error) => break Some(error),
            }
        };
        self.outbox.drain(..written);
        let interest = if self.outbox.is_empty() { Interest::Read } else { Interest::ReadWrite };
        poll.change(&self.stream, self.watch, interest);
        match failure {
            Some(error) => Err(error),
            None if self.outbox.len() > MAX_UNREAD_BYTES => Err(ErrorKind::OutOfMemory.into()),
            None => Ok(()),
        }
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_and_root_may_give_orders() {
        assert!(may_command(1000, 1000));
        assert!(may_command(0, 1000));
        assert!(!may_command(1000, 0));
        assert!(!may_command(1001, 1000));
    }
}
