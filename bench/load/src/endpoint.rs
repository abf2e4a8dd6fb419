//! The endpoints: fixed answers by target, at once. `/work?ms=N` is answered after a sleep of the whole program, as a
//! program with one thread would.

use crate::http;
use crate::net::{Address, Poll, Token};
use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use rustix::net::{accept_with, SocketFlags};
use std::io;
use std::time::Duration;

const SCRATCH_BYTES: usize = 65536;
/// The targets with a body of another size than [`SMALL`].
const SIZES: [(&[u8], usize); 2] = [(b"/16k", 16 << 10), (b"/1m", 1 << 20)];
const SMALL: usize = 100;

/// All listeners and all connections that were accepted.
pub struct Endpoint {
    listeners: Vec<OwnedFd>,
    guests: Vec<Option<Guest>>,
    answers: Answers,
    scratch: Vec<u8>,
}

/// Whole answers, heads and bodies.
struct Answers {
    small: Vec<u8>,
    others: Vec<(&'static [u8], Vec<u8>)>,
}

/// A connection that was accepted.
struct Guest {
    socket: OwnedFd,
    /// The head as far as it is there.
    head: Vec<u8>,
    /// Bytes of the body that are still to come.
    body: usize,
    /// Which answer is due once the body is there, and how much of it is written.
    answer: Option<(Option<usize>, usize)>,
    /// Close behind the answer.
    closes: bool,
}

/// What becomes of a connection.
enum Fate {
    Keep,
    Close,
}

impl Answers {
    fn new() -> Self {
        Self { small: answer(SMALL), others: SIZES.iter().map(|&(target, size)| (target, answer(size))).collect() }
    }

    fn find(&self, target: &[u8]) -> Option<usize> {
        self.others.iter().position(|(other, _)| *other == target)
    }

    fn bytes(&self, place: Option<usize>) -> &[u8] {
        place.and_then(|place| self.others.get(place)).map_or(&self.small, |(_, bytes)| bytes)
    }
}

fn answer(size: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: pinfold-load\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes
}

impl Endpoint {
    /// Listen at all addresses.
    pub fn listen(poll: &Poll, addresses: &[Address]) -> io::Result<Self> {
        let listeners = addresses.iter().map(Address::listen).collect::<io::Result<Vec<_>>>()?;
        for (place, listener) in (0..).zip(&listeners) {
            poll.add(listener, Token::Listener(place))?;
        }
        Ok(Self { listeners, guests: Vec::new(), answers: Answers::new(), scratch: vec![0; SCRATCH_BYTES] })
    }

    /// Take the clients that wait at a listener.
    pub fn accept(&mut self, poll: &Poll, place: u32) {
        let Some(listener) = self.listeners.get(place as usize) else { return };
        while let Ok(socket) = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
            let guest = Guest { socket, head: Vec::new(), body: 0, answer: None, closes: false };
            let free = self.guests.iter().position(Option::is_none).unwrap_or(self.guests.len());
            if poll.add_connection(&guest.socket, Token::Guest(free as u32)).is_err() {
                continue;
            }
            match self.guests.get_mut(free) {
                Some(slot) => *slot = Some(guest),
                None => self.guests.push(Some(guest)),
            }
        }
    }

    /// Do what can be done on a connection.
    pub fn turn(&mut self, place: u32) {
        let Some(slot) = self.guests.get_mut(place as usize) else { return };
        let Some(guest) = slot else { return };
        if matches!(guest.turn(&self.answers, &mut self.scratch), Fate::Close) {
            *slot = None;
        }
    }
}

impl Guest {
    fn turn(&mut self, answers: &Answers, scratch: &mut [u8]) -> Fate {
        loop {
            match self.respond(answers) {
                Ok(true) if self.closes => return Fate::Close,
                Ok(true) => {}
                Ok(false) => return Fate::Keep,
                Err(()) => return Fate::Close,
            }
            let count = match read(&self.socket, &mut *scratch) {
                Ok(0) => return Fate::Close,
                Ok(count) => count,
                Err(error) if error == rustix::io::Errno::AGAIN => return Fate::Keep,
                Err(_) => return Fate::Close,
            };
            self.take(answers, scratch.get(..count).unwrap_or_default());
            if count < scratch.len() && self.answer.is_none() {
                return Fate::Keep; // What comes from now on is a new event.
            }
            if count < scratch.len() && self.body == 0 {
                return match self.respond(answers) {
                    Ok(true) if self.closes => Fate::Close,
                    Ok(_) => Fate::Keep,
                    Err(()) => Fate::Close,
                };
            }
        }
    }

    /// Bytes that came. Nobody sends a second request before the first is answered.
    fn take(&mut self, answers: &Answers, bytes: &[u8]) {
        if self.answer.is_some() {
            self.body = self.body.saturating_sub(bytes.len());
            return;
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(length) = http::head_length(&self.head) else { return };
        let head = self.head.get(..length).unwrap_or_default();
        let target = http::target(head);
        work(target);
        self.answer = Some((answers.find(target), 0));
        self.closes = http::closes(head);
        self.body = http::content_length(head).saturating_sub(before + bytes.len() - length);
        self.head.clear();
    }

    /// Write what is due. True: nothing is due any more.
    fn respond(&mut self, answers: &Answers) -> Result<bool, ()> {
        let Some((place, mut written)) = self.answer.filter(|_| self.body == 0) else { return Ok(true) };
        let bytes = answers.bytes(place);
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match write(&self.socket, rest) {
                Ok(count) => written += count,
                Err(error) if error == rustix::io::Errno::AGAIN => {
                    self.answer = Some((place, written));
                    return Ok(false);
                }
                Err(_) => return Err(()),
            }
        }
        self.answer = None;
        Ok(true)
    }
}

/// Sleep as long as the target says, if it does: the loop, and with it every other client, waits.
fn work(target: &[u8]) {
    let wanted = target.strip_prefix(b"/work?ms=").and_then(|ms| std::str::from_utf8(ms).ok());
    if let Some(ms) = wanted.and_then(|ms| ms.parse::<f64>().ok()).filter(|ms| (0.0..60_000.0).contains(ms)) {
        std::thread::sleep(Duration::from_secs_f64(ms / 1000.0));
    }
}
