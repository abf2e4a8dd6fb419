//! One request on its way: what is known of it, and what is counted while it is served.

use crate::pool::Pool;
use crate::serve::Client;
use crate::table::Listener;
use crate::watch::Watch;
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
}

/// What is counted.
#[derive(Default)]
pub struct Tally {
    /// Status of the answer; 0 until there is one.
    pub status: Cell<u16>,
    /// Bytes of the body from the client.
    pub received: Cell<u64>,
    /// Bytes of the body to the client.
    pub sent: Cell<u64>,
    /// Endpoints tried.
    pub attempts: Cell<u32>,
    /// The endpoint that was tried last.
    pub endpoint: RefCell<Option<Arc<str>>>,
    /// The body has gone to the endpoint, all of it.
    pub uploaded: Cell<bool>,
    /// Bytes of the client's buffer that belong to this request, kept in case it is sent again.
    pub kept: Cell<usize>,
}

/// One request on its way.
pub struct Exchange<'a> {
    /// Whose it is.
    pub client: &'a Client,
    /// Where it came in.
    pub listener: &'a Listener,
    /// Where it goes.
    pub pool: &'a Pool,
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

    /// Whether the answer has begun to go to the client, so that no other one can be given.
    pub fn answered(&self) -> bool {
        self.tally.status.get() != 0
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
