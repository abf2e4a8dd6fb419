//! One request on its way: what is known of it, and what is counted while it is served.

use crate::clock::{self, Moment};
use crate::endpoint::{count, Endpoint};
use crate::pool::{Pool, Wish};
use crate::serve::Client;
use crate::table::Listener;
use crate::traffic::Trial;
use crate::watch::Watch;
use pinfold_core::affinity;
use pinfold_core::failure::Cause;
use pinfold_core::framing::{Body, Version};
use pinfold_core::retry::Progress;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

/// What a head says, once its bytes are gone.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Bytes of the head.
    pub head_bytes: usize,
    /// Version of the client.
    pub version: Version,
    /// Where the body ends.
    pub body: Body,
    /// The method is HEAD.
    pub to_head: bool,
    /// The method is idempotent.
    pub idempotent: bool,
    /// The client keeps its connection open.
    pub stays: bool,
    /// It waits for a `100` before it sends its body, or says so.
    pub expects: bool,
    /// It asks to switch to another protocol, and that was passed on.
    pub upgrade: bool,
    /// Trailers pass.
    pub trailers: bool,
    /// Address of who sent it, if it is known.
    pub sender: Option<IpAddr>,
    /// Which endpoint it would like.
    pub wish: Wish,
}

/// What is counted.
#[derive(Default)]
pub struct Tally {
    /// Status of the answer; 0 until there is one.
    pub status: Cell<u16>,
    /// An interim answer is being written, so that nothing else may be before it is whole.
    pub interim: Cell<bool>,
    /// Bytes of the body from the client.
    pub received: Cell<u64>,
    /// Bytes of the body to the client.
    pub sent: Cell<u64>,
    /// Endpoints tried.
    pub attempts: Cell<u32>,
    /// The endpoint that was tried last.
    pub endpoint: RefCell<Option<Arc<str>>>,
    /// What stands for the name of that.
    pub mark: Cell<u64>,
    /// Present: the attempt is the trial of its endpoint, and has not told yet.
    pub trial: RefCell<Option<Trial>>,
    /// When the request had been sent whole; None once an answer has begun.
    pub sent_at: Cell<Option<Moment>>,
    /// How long it took until an answer began.
    pub latency_us: Cell<u64>,
    /// The body has gone to the endpoint, all of it.
    pub uploaded: Cell<bool>,
    /// Bytes of the client's buffer that belong to this request, kept in case it is sent again.
    pub kept: Cell<usize>,
    /// Whether what was sent of the body is still at hand, all of it.
    pub replayable: Cell<bool>,
}

/// One request on its way.
pub struct Exchange<'a> {
    /// Whose it is.
    pub client: &'a Client,
    /// Where it came in.
    pub listener: &'a Listener,
    /// Where it goes.
    pub pool: &'a Pool,
    /// When its head had come.
    pub began: Moment,
    /// What it is.
    pub facts: Facts,
    /// What is counted.
    pub tally: Tally,
    /// Whether something of an answer has come.
    pub heard: Cell<bool>,
    /// Whether the endpoint has said that it reads the body: `100`, for a client that expects it.
    pub continued: Cell<bool>,
    /// The deadline of the whole, if there is one.
    pub total: Option<Watch>,
}

impl Exchange<'_> {
    /// The deadline of the answer's direction.
    pub fn watch(&self) -> &Watch {
        &self.client.watch
    }

    /// All has been sent: an answer is to begin in time.
    pub fn await_answer(&self) {
        self.tally.sent_at.set(Some(clock::now()));
        self.watch().arm_ms(self.pool.settings.timeouts.first_byte_ms);
    }

    /// The first byte of an answer has come.
    pub fn note_first_byte(&self, endpoint: &Endpoint) {
        if let Some(sent) = self.tally.sent_at.take() {
            let now = clock::now();
            let latency_us = now.micros_since(sent);
            self.tally.latency_us.set(latency_us);
            endpoint.traffic.sample(latency_us, &self.pool.settings.balance, now);
        }
    }

    /// The head of the answer that counts is in `out`, its empty line included.
    pub fn note_head(&self, endpoint: &Endpoint, status: u16, out: &mut Vec<u8>) {
        if status >= 500 {
            count(&endpoint.counters.server_errors);
        }
        if let Some(trial) = self.tally.trial.take() {
            trial.conclude(status, self.tally.latency_us.get());
        }
        let mark = self.tally.mark.get();
        let Some(name) = self.pool.settings.affinity.as_ref().filter(|_| self.facts.wish.pin != Some(mark)) else {
            return;
        };
        out.truncate(out.len().saturating_sub(2));
        affinity::write_cookie(out, name, mark, self.listener.tls.is_some());
        out.extend_from_slice(b"\r\n");
    }

    /// Whether the answer has begun to go to the client, so that no other one can be given.
    pub fn answered(&self) -> bool {
        self.tally.status.get() != 0 || self.tally.interim.get()
    }
}

/// Why an attempt came to nothing, and how far it had got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What went wrong.
    pub cause: Cause,
    /// What may be done about it.
    pub progress: Progress,
}

impl Failed {
    /// It cannot be tried again.
    pub fn begun(cause: Cause) -> Self {
        Self { cause, progress: Progress::Begun }
    }
}

/// Add to a number.
pub fn add(cell: &Cell<u64>, more: usize) {
    cell.set(cell.get() + more as u64);
}
