//! A pool as the table in force has it, and which of its members takes a request.

use crate::endpoint::{count, Endpoint};
use pinfold_core::balance;
use pinfold_wire::{Balance, Ejection, Mode, PoolTimeouts, Queue, Retry, SendProxy};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// An endpoint as a pool has it.
pub struct Member {
    /// What all pools share of it.
    pub endpoint: Arc<Endpoint>,
    /// For logs and counters.
    pub name: Arc<str>,
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
    /// Places of the members that may be picked; in round-robin as often as their weight.
    turns: Vec<usize>,
}

/// What a pool keeps from table to table.
#[derive(Debug, Default)]
pub struct Lasting {
    /// Requests for which no endpoint could be picked.
    pub unavailable: AtomicU64,
    turn: AtomicU64,
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

impl Pool {
    /// A pool of these members.
    pub fn new(name: &str, settings: Settings, members: Vec<Member>, lasting: Arc<Lasting>) -> Self {
        let turns = turns(&settings.balance, &members);
        Self { name: Arc::from(name), settings, members, lasting, turns }
    }

    /// The member that takes a request, none of the endpoints whose id was `tried`; `chance` settles ties.
    pub fn pick(&self, tried: &[u64], chance: u32, room: &mut Vec<balance::Candidate>) -> Option<&Member> {
        let open = |place: &usize| self.members.get(*place).filter(|member| !tried.contains(&member.endpoint.id));
        match self.settings.balance {
            Balance::LeastRequests | Balance::TwoRandom | Balance::Hash { .. } => {
                room.clear();
                room.extend(self.turns.iter().filter_map(open).map(|member| balance::Candidate {
                    weight: member.weight,
                    in_flight: member.endpoint.counters.in_flight.load(Ordering::Relaxed),
                }));
                self.turns.iter().filter_map(open).nth(balance::least_requests(room, chance)?)
            }
            Balance::RoundRobin => {
                let round = self.turns.len();
                // A second choice is no turn of its own, or who follows one that is down would get twice its share.
                let turn = self.lasting.turn.fetch_add(u64::from(tried.is_empty()), Ordering::Relaxed);
                let first = usize::try_from(turn.checked_rem(u64::try_from(round).ok()?)?).ok()?;
                let (before, from) = self.turns.split_at_checked(first)?;
                from.iter().chain(before).find_map(open)
            }
        }
    }

    /// No endpoint could be picked.
    pub fn count_unavailable(&self) {
        count(&self.lasting.unavailable);
    }
}

fn turns(balance: &Balance, members: &[Member]) -> Vec<usize> {
    let (ready, weights): (Vec<usize>, Vec<u32>) = members
        .iter()
        .enumerate()
        .filter(|(_, member)| member.mode == Mode::Ready)
        .map(|(place, member)| (place, member.weight))
        .unzip();
    match balance {
        Balance::LeastRequests | Balance::TwoRandom | Balance::Hash { .. } => ready,
        Balance::RoundRobin => {
            balance::turns(&weights).into_iter().filter_map(|turn| ready.get(turn).copied()).collect()
        }
    }
}
