//! A pool as the table in force has it, and which of its members takes a request.

use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::lasting::Lasting;
use pinfold_core::balance::{self, Candidate, SHARE_PARTS};
use pinfold_core::request::{values, Head};
use pinfold_core::{affinity, hash};
use pinfold_wire::{Balance, Ejection, HashKey, Mode, PoolTimeouts, Queue, Retry, SendProxy};
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// An endpoint as a pool has it.
pub struct Member {
    /// What all pools share of it.
    pub endpoint: Arc<Endpoint>,
    /// For logs and counters.
    pub name: Arc<str>,
    /// What stands for the name.
    pub mark: u64,
    /// Its share.
    pub weight: u32,
    /// What is wanted of it.
    pub mode: Mode,
    /// Only used when no other is available.
    pub spare: bool,
}

/// A pool.
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// As in the snapshot.
    pub settings: Settings,
    /// All of them.
    pub members: Vec<Member>,
    /// What outlives the table.
    pub lasting: Arc<Lasting>,
    /// Members that are ready and no spares, then the ready spares.
    tiers: [Tier; 2],
}

/// Places of members of which those of one tier are picked only if the tier before offers none.
struct Tier {
    places: Vec<usize>,
    /// In round-robin each as often as its weight, spread out.
    turns: Vec<usize>,
}

/// What the snapshot says of a pool, but for its endpoints.
pub struct Settings {
    /// How an endpoint is picked.
    pub balance: Balance,
    /// How long an endpoint may take.
    pub timeouts: PoolTimeouts,
    /// Requests in flight to one endpoint, 0: no bound.
    pub concurrency: u32,
    /// Requests that wait for one.
    pub queue: Queue,
    /// When a request may be sent again.
    pub retry: Retry,
    /// When traffic sets an endpoint aside.
    pub ejection: Ejection,
    /// Over which time a new endpoint gets its share.
    pub slow_start_ms: u64,
    /// Name of the cookie that keeps a client on its endpoint.
    pub affinity: Option<String>,
    /// Whether endpoints are told of the client by the PROXY protocol.
    pub send_proxy: SendProxy,
}

/// Which endpoint a request would like, as its head says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// A hash of what it is told apart by.
    pub key: Option<u64>,
    /// The mark in its cookie.
    pub pin: Option<u64>,
}

/// What the choice depends on.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Ids of endpoints that it was sent to before.
    pub tried: &'a [u64],
    /// What its head says.
    pub wish: Wish,
    /// It can be sent again, should its endpoint fail.
    pub idempotent: bool,
    /// Now.
    pub now: Moment,
    /// Settles ties.
    pub chance: u32,
}

/// A member that was picked.
pub struct Picked<'a> {
    /// The member.
    pub member: &'a Member,
    /// Present: the request is its trial.
    pub trial: Option<u64>,
}

/// What came of a choice.
pub enum Pick<'a> {
    /// All that could be picked have as many requests in flight as they may.
    Busy,
    /// There is nobody to pick.
    Nobody,
    /// This one.
    Taken(Picked<'a>),
}

impl Pool {
    /// A pool of these members.
    pub fn new(name: &str, settings: Settings, members: Vec<Member>, lasting: Arc<Lasting>) -> Self {
        let tiers = [false, true].map(|spare| Tier::new(&settings.balance, &members, spare));
        Self { name: Arc::from(name), settings, members, lasting, tiers }
    }

    /// What the head of a request says about which endpoint it would like.
    pub fn wish(&self, head: &Head<'_, '_>, client: &str) -> Wish {
        let key = match &self.settings.balance {
            Balance::Hash { by } => match by {
                HashKey::Address => Some(client.as_bytes()).filter(|address| !address.is_empty()),
                HashKey::Cookie { name } => affinity::cookie(head.fields, name),
                HashKey::Header { name } => values(head.fields, name).next(),
            },
            Balance::LeastRequests | Balance::RoundRobin | Balance::TwoRandom => None,
        };
        let cookie = self.settings.affinity.as_ref().and_then(|name| affinity::cookie(head.fields, name));
        Wish { key: key.map(hash::of), pin: cookie.and_then(affinity::mark_in) }
    }

    /// The member that takes a request.
    pub fn pick(&self, ask: &Ask<'_>, room: &mut Vec<Candidate>) -> Pick<'_> {
        let aside = self.lasting.aside.load(Ordering::Relaxed) > 0;
        if aside {
            if let Some(picked) = self.trial(ask) {
                return Pick::Taken(picked);
            }
        }
        // What is set aside is better than nothing.
        for shunned in [aside, false].iter().take(1 + usize::from(aside)) {
            for tier in &self.tiers {
                match self.pick_of(tier, ask, *shunned, room) {
                    Pick::Nobody => {}
                    found => return found,
                }
            }
        }
        Pick::Nobody
    }

    /// Whether there is a member that could take it some time.
    pub fn offers(&self, ask: &Ask<'_>) -> bool {
        self.ready().any(|member| !ask.tried.contains(&member.endpoint.id))
    }

    /// Whether a member could take a request.
    pub fn free(&self) -> bool {
        self.ready().any(|member| !self.full(&member.endpoint))
    }

    fn ready(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.mode == Mode::Ready)
    }

    /// Whether it has as many requests in flight as it may.
    fn full(&self, endpoint: &Endpoint) -> bool {
        let most = u64::from(self.settings.concurrency);
        most > 0 && endpoint.counters.in_flight.load(Ordering::Relaxed) >= most
    }

    /// An ejected member that is to be tried, and this request to try it with.
    ///
    /// At first one that can be sent elsewhere should it fail (once only, so it must not have failed before), and whose
    /// client is not kept on another endpoint; when none has come for as long as an ejection lasts, any. A spare is tried only when spares are used.
    fn trial(&self, ask: &Ask<'_>) -> Option<Picked<'_>> {
        let grace = self.settings.ejection.base_ms.saturating_mul(1000);
        let now = ask.now.micros();
        let mains = self.ready().any(|member| !member.spare && !member.endpoint.traffic.aside());
        let spared = ask.idempotent && ask.tried.is_empty();
        let suited = |member: &Member| spared && ask.wish.pin.is_none_or(|pin| pin == member.mark);
        self.ready().filter(|member| !(member.spare && mains)).find_map(|member| {
            let until = member.endpoint.traffic.ejected_until()?;
            let due = now >= if suited(member) { until } else { until.saturating_add(grace) };
            let open = due && !ask.tried.contains(&member.endpoint.id) && !self.full(&member.endpoint);
            let trial = if open { member.endpoint.traffic.begin_trial(now) } else { None };
            trial.map(|state| Picked { member, trial: Some(state) })
        })
    }

    fn pick_of(&self, tier: &Tier, ask: &Ask<'_>, shunned: bool, room: &mut Vec<Candidate>) -> Pick<'_> {
        let open = |member: &Member| {
            !(ask.tried.contains(&member.endpoint.id) || (shunned && member.endpoint.traffic.aside()))
        };
        let pinned = |member: &&Member| ask.wish.pin == Some(member.mark);
        let mut members = tier.places.iter().filter_map(|&place| self.members.get(place));
        if let Some(member) = ask.wish.pin.and_then(|_| members.find(pinned)).filter(|member| open(member)) {
            // A client is kept on its endpoint even if it has to wait for it.
            return if self.full(&member.endpoint) { Pick::Busy } else { taken(member) };
        }
        if self.settings.balance == Balance::RoundRobin {
            return self.take_turn(tier, ask, open);
        }
        room.clear();
        let mut nobody = true;
        for &place in &tier.places {
            let Some(member) = self.members.get(place).filter(|member| open(member)) else { continue };
            nobody = false;
            if !self.full(&member.endpoint) {
                room.push(self.candidate(place, member, ask.now));
            }
        }
        let index = match (&self.settings.balance, ask.wish.key) {
            (Balance::Hash { .. }, Some(key)) => balance::by_hash(room, key),
            (Balance::TwoRandom, _) => balance::two_random(room, ask.chance),
            (Balance::Hash { .. } | Balance::LeastRequests | Balance::RoundRobin, _) => {
                balance::least_requests(room, ask.chance)
            }
        };
        let picked = index.and_then(|index| room.get(index)).and_then(|one| self.members.get(one.place));
        match picked {
            Some(member) => taken(member),
            None if nobody => Pick::Nobody,
            None => Pick::Busy,
        }
    }

    fn candidate(&self, place: usize, member: &Member, now: Moment) -> Candidate {
        let endpoint = &member.endpoint;
        let two_random = self.settings.balance == Balance::TwoRandom;
        let weight = match (self.settings.slow_start_ms, &self.settings.balance) {
            // Keys would move back and forth.
            (0, _) | (_, Balance::Hash { .. }) => member.weight,
            (_, _) => member.weight * self.share(endpoint, now),
        };
        Candidate {
            place,
            weight,
            in_flight: endpoint.counters.in_flight.load(Ordering::Relaxed),
            latency_us: if two_random { endpoint.traffic.peak_us(now) } else { 0 },
            mark: member.mark,
        }
    }

    fn share(&self, endpoint: &Endpoint, now: Moment) -> u32 {
        balance::share(now.micros_since(endpoint.ready_since()), self.settings.slow_start_ms)
    }

    /// The member whose turn it is, or the next one behind it that is open.
    fn take_turn(&self, tier: &Tier, ask: &Ask<'_>, open: impl Fn(&Member) -> bool) -> Pick<'_> {
        let Ok(round @ 1..) = u64::try_from(tier.turns.len()) else { return Pick::Nobody };
        // A second choice is no turn of its own, or who follows one that is down would get twice its share. Nor is one that
        // comes to nothing because all are busy.
        let own = u64::from(ask.tried.is_empty());
        let bounded = self.settings.concurrency > 0;
        let turn = self.lasting.turn.fetch_add(if bounded { 0 } else { own }, Ordering::Relaxed);
        let first = usize::try_from(turn % round).unwrap_or(0);
        let (before, from) = tier.turns.split_at_checked(first).unwrap_or((&[], &tier.turns));
        let members = || from.iter().chain(before).filter_map(|&place| self.members.get(place)).filter(|one| open(one));
        let free = || members().filter(|member| !self.full(&member.endpoint));
        // One that is new lets most of its turns pass.
        let grown = |member: &&Member| {
            self.settings.slow_start_ms == 0 || ask.chance % SHARE_PARTS < self.share(&member.endpoint, ask.now)
        };
        match free().find(grown).or_else(|| free().next()) {
            Some(member) => {
                if bounded {
                    self.lasting.turn.fetch_add(own, Ordering::Relaxed);
                }
                taken(member)
            }
            None if members().next().is_some() => Pick::Busy,
            None => Pick::Nobody,
        }
    }
}

fn taken(member: &Member) -> Pick<'_> {
    Pick::Taken(Picked { member, trial: None })
}

impl Tier {
    fn new(balance: &Balance, members: &[Member], spare: bool) -> Self {
        let (places, weights): (Vec<usize>, Vec<u32>) = members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.mode == Mode::Ready && member.spare == spare)
            .map(|(place, member)| (place, member.weight))
            .unzip();
        let turns = match balance {
            Balance::LeastRequests | Balance::TwoRandom | Balance::Hash { .. } => Vec::new(),
            Balance::RoundRobin => {
                balance::turns(&weights).into_iter().filter_map(|turn| places.get(turn).copied()).collect()
            }
        };
        Self { places, turns }
    }
}
