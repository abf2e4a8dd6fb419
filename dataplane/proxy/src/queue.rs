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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::endpoint::Address;
    use crate::pool::{Member, Settings};
    use pinfold_wire::{Balance, Ejection, Mode, PoolTimeouts, Queue as Bounds, Retry, SendProxy};
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    fn settings(concurrency: u32, length: u32) -> Settings {
        Settings {
            balance: Balance::LeastRequests,
            timeouts: PoolTimeouts { connect_ms: 1, first_byte_ms: 1, silence_ms: 1 },
            concurrency,
            queue: Bounds { length, timeout_ms: 1 },
            retry: Retry { budget_percent: 20, replay_bytes: 0 },
            ejection: Ejection { failures: 0, latency_factor: 0, base_ms: 1 },
            slow_start_ms: 0,
            affinity: None,
            send_proxy: SendProxy::Off,
        }
    }

    /// Pools one after the other, of the endpoints that are named by numbers.
    struct Pools {
        lasting: Arc<Lasting>,
        known: Vec<Arc<Endpoint>>,
    }

    impl Pools {
        fn new(endpoints: u64) -> Self {
            let lasting = Arc::<Lasting>::default();
            let new = |id: u64| {
                let at = (id.to_string(), Address::Unix("/x".into()));
                Arc::new(Endpoint::new(id, at, Arc::clone(&lasting), Arc::new(Notify::new())))
            };
            Self { known: (0..endpoints).map(new).collect(), lasting }
        }

        fn install(&self, ids: &[usize], concurrency: u32, length: u32) -> Arc<Pool> {
            let member = |&id: &usize| Member {
                endpoint: Arc::clone(&self.known[id]),
                name: Arc::from(id.to_string()),
                mark: id as u64,
                weight: 1,
                mode: Mode::Ready,
                spare: false,
            };
            let members = ids.iter().map(member).collect();
            let pool = Pool::new("p", settings(concurrency, length), members, Arc::clone(&self.lasting));
            let pool = Arc::new(pool);
            self.lasting.install(Some(&pool), None);
            pool
        }

        fn in_flight(&self) -> Vec<u64> {
            self.known.iter().map(|one| one.counters.in_flight.load(Ordering::SeqCst)).collect()
        }
    }

    const ASK: Ask<'_> =
        Ask { tried: &[], wish: Wish { key: None, pin: None }, idempotent: true, now: Moment::NEVER, chance: 0 };

    fn now(entry: Entry) -> Hold {
        match entry {
            Entry::Now(hold) => hold,
            Entry::Later(_) => panic!("it has to wait"),
            Entry::Never(cause) => panic!("{cause:?}"),
        }
    }

    fn later(entry: Entry) -> Place {
        match entry {
            Entry::Later(place) => place,
            Entry::Now(_) => panic!("it does not wait"),
            Entry::Never(cause) => panic!("{cause:?}"),
        }
    }

    fn served(place: &mut Place) -> Option<Hold> {
        match place.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(hold) => hold,
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_is_served_in_order_and_nobody_overtakes() {
        let pools = Pools::new(2);
        let pool = pools.install(&[0, 1], 1, 10);
        let held: Vec<Hold> = (0..2).map(|_| now(enter(&pool, &ASK))).collect();
        let mut places: Vec<Place> = (0..3).map(|_| later(enter(&pool, &ASK))).collect();
        assert!(places.iter_mut().all(|place| served(place).is_none()));
        assert_eq!(pools.lasting.waiting(), 3);
        drop(held);
        let (first, second) = (served(&mut places[0]), served(&mut places[1]));
        assert!(first.is_some() && second.is_some() && served(&mut places[2]).is_none());
        assert_eq!((pools.in_flight(), pools.lasting.waiting()), (vec![1, 1], 1));
        let mut behind = later(enter(&pool, &ASK));
        drop(first);
        assert!(served(&mut behind).is_none());
        assert!(served(&mut places[2]).is_some());
    }

    #[test]
    fn who_leaves_frees_its_place_and_what_it_was_just_given() {
        let pools = Pools::new(1);
        let pool = pools.install(&[0], 1, 2);
        let held = now(enter(&pool, &ASK));
        let (first, second) = (later(enter(&pool, &ASK)), later(enter(&pool, &ASK)));
        assert!(matches!(enter(&pool, &ASK), Entry::Never(Cause::QueueFull)));
        drop(second);
        let mut third = later(enter(&pool, &ASK));
        drop(held); // The first has been given the endpoint by now, and does not know yet.
        drop(first);
        assert!(served(&mut third).is_some());
        drop(third);
        assert_eq!((pools.in_flight(), pools.lasting.waiting()), (vec![0], 0));
    }

    #[test]
    fn a_pool_that_changes_serves_those_who_wait() {
        let pools = Pools::new(2);
        let pool = pools.install(&[0], 1, 10);
        let _held = now(enter(&pool, &ASK));
        let mut places: Vec<Place> = (0..4).map(|_| later(enter(&pool, &ASK))).collect();
        pools.install(&[0, 1], 1, 10);
        let first = served(&mut places[0]);
        assert!(first.is_some() && served(&mut places[1]).is_none());
        pools.install(&[0, 1], 2, 10);
        let more = [served(&mut places[1]), served(&mut places[2])];
        assert!(more.iter().all(Option::is_some) && served(&mut places[3]).is_none());
        pools.install(&[1], 0, 10);
        assert!(served(&mut places[3]).is_some());
        let pool = pools.install(&[], 1, 10);
        assert!(matches!(enter(&pool, &ASK), Entry::Never(Cause::NoEndpoint)));
    }

    #[test]
    fn a_client_waits_for_its_own_endpoint_and_holds_up_nobody() {
        let pools = Pools::new(2);
        let pool = pools.install(&[0, 1], 1, 10);
        let pinned = Ask { wish: Wish { key: None, pin: Some(1) }, ..ASK };
        let own = now(enter(&pool, &pinned));
        let other = now(enter(&pool, &ASK));
        let mut place = later(enter(&pool, &pinned));
        let mut plain = later(enter(&pool, &ASK));
        drop(other);
        assert!(served(&mut place).is_none());
        assert!(served(&mut plain).is_some());
        drop(own);
        assert_eq!(served(&mut place).map(|hold| hold.mark), Some(1));
    }

    #[test]
    fn a_pool_that_goes_dismisses_those_who_wait() {
        let pools = Pools::new(1);
        let pool = pools.install(&[0], 1, 10);
        let _held = now(enter(&pool, &ASK));
        let mut place = later(enter(&pool, &ASK));
        pools.lasting.install(None, Some(&pool));
        assert!(matches!(place.poll(&mut Context::from_waker(std::task::Waker::noop())), Poll::Ready(None)));
        assert_eq!(pools.lasting.waiting(), 0);
    }

    /// Threads that come, wait, go early and are served, while the pool changes: never more in flight than may be, nobody
    /// is forgotten, and at the end nothing is left.
    #[test]
    fn many_threads_never_exceed_the_bound_and_none_is_forgotten() {
        const THREADS: usize = 8;
        const ROUNDS: usize = 4_000;
        let pools = Pools::new(3);
        let pool = pools.install(&[0, 1, 2], 2, 1000);
        let (most, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for number in 0..THREADS {
                let (pool, pools, most, done) = (&pool, &pools, &most, &done);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    for round in 0..ROUNDS {
                        let hold = match enter(pool, &ASK) {
                            Entry::Now(hold) => hold,
                            Entry::Never(cause) => panic!("{cause:?}"),
                            Entry::Later(place) if (round + number) % 5 == 0 => {
                                drop(place); // Its client has gone.
                                continue;
                            }
                            Entry::Later(mut place) => {
                                let wait = poll_fn(|cx| place.poll(cx));
                                let limit = std::time::Duration::from_secs(20);
                                let served = runtime.block_on(async { tokio::time::timeout(limit, wait).await });
                                served.expect("it was forgotten").expect("the pool is there")
                            }
                        };
                        let in_flight = hold.endpoint().counters.in_flight.load(Ordering::SeqCst);
                        most.fetch_max(usize::try_from(in_flight).unwrap(), Ordering::SeqCst);
                        if round % 7 == 0 {
                            std::thread::yield_now();
                        }
                        drop(hold);
                        if number == 0 && round % 50 == 0 {
                            pools.install(if round % 100 == 0 { &[0, 1, 2] } else { &[0, 2] }, 2, 1000);
                        }
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), THREADS);
        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert_eq!((pools.in_flight(), pools.lasting.waiting()), (vec![0; 3], 0));
    }
}
