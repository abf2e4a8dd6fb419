//! In: a request of a pool whose endpoints take so many at a time and no more. Out: an endpoint, or a place in the one queue
//! that all cores share. Who comes waits behind those who wait; whoever lets go of an endpoint serves the first of them.

use crate::clock;
use crate::endpoint::{Endpoint, InFlight};
use crate::lasting::Lasting;
use crate::pool::{Ask, Pick, Picked, Pool, Wish};
use crate::traffic::Trial;
use pinfold_core::balance::Candidate;
use pinfold_core::failure::Cause;
use pinfold_core::fifo::Fifo;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{fence, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// An endpoint that a request has been given, for as long as this lives.
pub struct Hold {
    /// Name of the endpoint.
    pub name: Arc<str>,
    /// What stands for the name.
    pub mark: u64,
    /// Present: the request is its trial.
    pub trial: Option<Trial>,
    in_flight: InFlight,
}

impl Hold {
    /// Take what was picked.
    pub fn new(picked: &Picked<'_>) -> Self {
        let member = picked.member;
        Self {
            name: Arc::clone(&member.name),
            mark: member.mark,
            trial: picked.trial.map(|state| Trial::new(&member.endpoint, state)),
            in_flight: InFlight::begin(&member.endpoint),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.in_flight.endpoint()
    }
}

/// One who waits.
struct Waiter {
    tried: Vec<u64>,
    wish: Wish,
    idempotent: bool,
    grant: oneshot::Sender<Hold>,
}

impl Waiter {
    fn ask(&self, now: clock::Moment, chance: u32) -> Ask<'_> {
        Ask { tried: &self.tried, wish: self.wish, idempotent: self.idempotent, now, chance }
    }

    /// Whether it takes whatever there is.
    fn plain(&self) -> bool {
        self.tried.is_empty() && self.wish.pin.is_none()
    }
}

/// Those who wait, and the pool in force.
#[derive(Default)]
pub struct Queue {
    pool: Option<Arc<Pool>>,
    fifo: Fifo<Waiter>,
    room: Vec<Candidate>,
    turns: u32,
}

impl Queue {
    /// The pool in force.
    pub fn pool(&self) -> Option<&Pool> {
        self.pool.as_deref()
    }

    /// Put a pool in force; the one before.
    pub fn put(&mut self, pool: Option<Arc<Pool>>) -> Option<Arc<Pool>> {
        std::mem::replace(&mut self.pool, pool)
    }

    /// Nobody waits any longer.
    pub fn dismiss(&mut self) {
        self.fifo.clear();
    }

    /// Give what is free to those who wait, in their order; what nobody took is returned.
    ///
    /// Nobody is forgotten: who lets go of an endpoint first lessens its count and then looks whether anybody waits; who
    /// begins to wait first says so and then, here, looks at the counts.
    pub fn serve(&mut self, lasting: &Lasting) -> Vec<Hold> {
        let mut returned = Vec::new();
        lasting.set_waiting(self.fifo.len());
        fence(Ordering::SeqCst);
        let (Some(pool), now) = (&self.pool, clock::now()) else { return returned };
        while !self.fifo.is_empty() && pool.free() {
            // Once one that takes anything got nothing, its like get nothing either.
            let mut refused = [false; 2];
            let (room, turns) = (&mut self.room, &mut self.turns);
            let served = self.fifo.serve(|waiter| {
                let alike = refused.get_mut(usize::from(waiter.idempotent))?;
                if *alike && waiter.plain() {
                    return None;
                }
                *turns = turns.wrapping_add(1);
                match pool.pick(&waiter.ask(now, *turns), room) {
                    Pick::Taken(picked) => Some(Hold::new(&picked)),
                    Pick::Busy | Pick::Nobody => {
                        *alike |= waiter.plain();
                        None
                    }
                }
            });
            let Some((waiter, hold)) = served else { break };
            // One who has just gone may not have left yet.
            returned.extend(waiter.grant.send(hold).err());
        }
        lasting.set_waiting(self.fifo.len());
        returned
    }
}

/// What a request gets that enters.
pub enum Entry {
    /// An endpoint.
    Now(Hold),
    /// A place in the queue.
    Later(Place),
    /// Nothing.
    Never(Cause),
}

/// A place in the queue, for as long as this lives.
pub struct Place {
    lasting: Arc<Lasting>,
    ticket: u64,
    grant: oneshot::Receiver<Hold>,
}

/// Have the request given an endpoint of a pool, or a place in its queue.
pub fn enter(pool: &Pool, ask: &Ask<'_>) -> Entry {
    let lasting = &pool.lasting;
    let mut queue = lasting.lock();
    if queue.fifo.is_empty() {
        // The pool in force may be a newer one than that of the caller's table.
        let Queue { pool: in_force, room, .. } = &mut *queue;
        match in_force.as_deref().unwrap_or(pool).pick(ask, room) {
            Pick::Taken(picked) => return Entry::Now(Hold::new(&picked)),
            Pick::Nobody => return Entry::Never(Cause::NoEndpoint),
            Pick::Busy => {}
        }
    } else if !queue.pool().unwrap_or(pool).offers(ask) {
        return Entry::Never(Cause::NoEndpoint);
    }
    let (grant, granted) = oneshot::channel();
    let waiter = Waiter { tried: ask.tried.to_vec(), wish: ask.wish, idempotent: ask.idempotent, grant };
    let most = usize::try_from(pool.settings.queue.length).unwrap_or(usize::MAX);
    let Some(ticket) = queue.fifo.join(waiter, most) else { return Entry::Never(Cause::QueueFull) };
    let returned = queue.serve(lasting);
    drop(queue);
    drop(returned);
    Entry::Later(Place { lasting: Arc::clone(lasting), ticket, grant: granted })
}

impl Place {
    /// Its endpoint, once it is its turn; None when the pool is gone.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Hold>> {
        Pin::new(&mut self.grant).poll(cx).map(Result::ok)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.lasting.lock();
        if queue.fifo.leave(self.ticket).is_some() {
            self.lasting.set_waiting(queue.fifo.len());
        }
    }
}
