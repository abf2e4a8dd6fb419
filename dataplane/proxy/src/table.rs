//! A snapshot resolved into what the cores look things up in; nothing is left to check when a request comes.

use crate::clients::Clients;
use crate::endpoint::{Address, Endpoint};
use crate::lasting::Lasting;
use crate::pool::{Member, Pool, Settings};
use crate::tls;
use pinfold_core::networks::Networks;
use pinfold_core::{hash, routes};
use pinfold_wire::{
    AccessLog, Action, Forwarded, ListenerLimits, ListenerTimeouts, Match, Problem, ProxyProtocol, Snapshot,
};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use tokio::sync::Notify;

/// Shares an endpoint may have.
const WEIGHTS: RangeInclusive<u32> = 1..=1000;

/// Counters of a listener; see `ListenerStats` of the seam.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Open now.
    pub connections: AtomicU64,
    /// Accepted.
    pub accepted: AtomicU64,
    /// Closed at once because of a bound.
    pub refused: AtomicU64,
    /// Requests.
    pub requests: AtomicU64,
    /// TLS handshakes and PROXY headers that failed.
    pub handshake_failures: AtomicU64,
    /// Open now, by client.
    pub clients: Clients,
}

/// A listener.
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Stands for the name; the same as long as the proxy lives.
    pub key: u32,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Present: it speaks TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Methods that pass; empty: all.
    pub methods: Vec<String>,
    /// How long a client may take.
    pub timeouts: ListenerTimeouts,
    /// How much a client may send.
    pub limits: ListenerLimits,
    /// Whose word about the client is believed.
    pub trusted: Arc<Networks>,
    /// Whether they speak the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// How endpoints are told of the client.
    pub forwarded: Forwarded,
    /// Its counters.
    pub counters: Arc<ListenerCounters>,
    routes: Vec<Route>,
}

struct Route {
    /// Its place in the snapshot.
    index: usize,
    matches: Match,
    pool: usize,
    trailers: bool,
}

/// What a route says of a request that it takes.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// Its place in the snapshot.
    pub route: usize,
    /// The place of its pool in the table.
    pub pool: usize,
    /// Trailers pass.
    pub trailers: bool,
}

/// Everything in force.
pub struct Table {
    /// That of the snapshot.
    pub generation: u64,
    /// Listeners, in the order of the snapshot.
    pub listeners: Vec<Listener>,
    /// Pools, in the order of the snapshot.
    pub pools: Vec<Arc<Pool>>,
    /// Which requests are logged.
    pub access_log: AccessLog,
}

impl Table {
    /// Nothing at all, before the first snapshot.
    pub fn empty() -> Self {
        Self { generation: 0, listeners: Vec::new(), pools: Vec::new(), access_log: AccessLog::Off }
    }

    /// The listener of this key.
    pub fn listener(&self, key: u32) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.key == key)
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.iter().find(|pool| *pool.name == *name)
    }
}

impl Listener {
    /// What the first route that takes a request says of it.
    pub fn route(&self, host: &str, path: &str) -> Option<Chosen> {
        let route = self.routes.iter().find(|route| routes::holds(&route.matches, host, path))?;
        Some(Chosen { route: route.index, pool: route.pool, trailers: route.trailers })
    }
}

/// Resolves snapshots one after the other and keeps what did not change: counters, TLS settings, keys of listeners.
pub struct Resolver {
    relieved: Arc<Notify>,
    keys: HashMap<String, u32>,
    endpoints: u64,
    tls: tls::Cache,
}

impl Resolver {
    /// One that has resolved nothing; see [`Endpoint::new`].
    pub fn new(relieved: Arc<Notify>) -> Self {
        Self { relieved, keys: HashMap::new(), endpoints: 0, tls: tls::Cache::default() }
    }

    /// The table of a snapshot that comes after `before`.
    ///
    /// # Errors
    /// Every problem; nothing has changed then.
    pub fn resolve(&mut self, generation: u64, snapshot: Snapshot, before: &Table) -> Result<Table, Vec<Problem>> {
        let mut problems = Vec::new();
        let pools = self.pools(&snapshot, before, &mut problems);
        let listeners = self.listeners(&snapshot, before, &mut problems);
        if problems.is_empty() {
            self.tls.forget_unused();
            Ok(Table { generation, listeners, pools, access_log: snapshot.access_log })
        } else {
            Err(problems)
        }
    }

    fn pools(&mut self, snapshot: &Snapshot, before: &Table, problems: &mut Vec<Problem>) -> Vec<Arc<Pool>> {
        let mut pools: Vec<Arc<Pool>> = Vec::new();
        for wanted in &snapshot.pools {
            if pools.iter().any(|pool| *pool.name == *wanted.name) {
                problems.push(problem(format!("pools.{}", wanted.name), "is named twice"));
                continue;
            }
            let old = before.pools.iter().find(|pool| *pool.name == *wanted.name);
            let lasting = old.map_or_else(Arc::default, |old| Arc::clone(&old.lasting));
            let mut members: Vec<Member> = Vec::new();
            for one in &wanted.endpoints {
                let twice = members.iter().any(|member| member.endpoint.address_text == one.address);
                match self.member(one, old, &lasting) {
                    Ok(member) if !twice => members.push(member),
                    found => {
                        let what = found.err().unwrap_or_else(|| format!("{} is there twice", one.address));
                        problems.push(problem(format!("pools.{}.endpoints.{}", wanted.name, one.name), &what));
                    }
                }
            }
            pools.push(Arc::new(Pool::new(&wanted.name, settings_of(wanted), members, lasting)));
        }
        pools
    }

    fn member(
        &mut self,
        wanted: &pinfold_wire::Endpoint,
        old: Option<&Arc<Pool>>,
        lasting: &Arc<Lasting>,
    ) -> Result<Member, String> {
        if !WEIGHTS.contains(&wanted.weight) {
            return Err(format!("a weight of {}, not from {} to {}", wanted.weight, WEIGHTS.start(), WEIGHTS.end()));
        }
        let known = old.into_iter().flat_map(|pool| &pool.members).map(|member| &member.endpoint);
        let endpoint = match known.into_iter().find(|endpoint| endpoint.address_text == wanted.address) {
            Some(endpoint) => Arc::clone(endpoint),
            None => {
                self.endpoints += 1;
                let address = Address::parse(&wanted.address).ok_or(format!("\"{}\" is no address", wanted.address))?;
                let at = (wanted.address.clone(), address);
                Arc::new(Endpoint::new(self.endpoints, at, Arc::clone(lasting), Arc::clone(&self.relieved)))
            }
        };
        let name = Arc::from(wanted.name.as_str());
        let mark = hash::mark(&wanted.name);
        Ok(Member { endpoint, name, mark, weight: wanted.weight, mode: wanted.mode, spare: wanted.spare })
    }

    fn listeners(&mut self, snapshot: &Snapshot, before: &Table, problems: &mut Vec<Problem>) -> Vec<Listener> {
        let names: Vec<&str> = snapshot.listeners.iter().map(|listener| listener.name.as_str()).collect();
        let routes = routes_of(snapshot, &names, problems);
        let mut listeners: Vec<Listener> = Vec::new();
        for wanted in &snapshot.listeners {
            let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
            let key = *self.keys.entry(wanted.name.clone()).or_insert(next);
            if listeners.iter().any(|listener| listener.key == key) {
                problems.push(problem(format!("listeners.{}", wanted.name), "is named twice"));
                continue;
            }
            let tls = match wanted.tls.as_ref().map(|tls| self.tls.settings(tls, &snapshot.certificates)).transpose() {
                Ok(tls) => tls,
                Err(fault) => {
                    problems.push(fault.at(&wanted.name));
                    continue;
                }
            };
            let trusted = networks(wanted, problems);
            let old = before.listener(key);
            listeners.push(Listener {
                name: wanted.name.clone(),
                key,
                addresses: wanted.addresses.clone(),
                tls,
                methods: wanted.methods.clone(),
                timeouts: wanted.timeouts.clone(),
                limits: wanted.limits.clone(),
                trusted: Arc::new(trusted),
                proxy_protocol: wanted.proxy_protocol,
                forwarded: wanted.forwarded,
                counters: old.map_or_else(Arc::default, |old| Arc::clone(&old.counters)),
                routes: routes_for(&wanted.name, &routes),
            });
        }
        listeners
    }
}

/// Routes with the names of the listeners they hold for, all if there are none.
type Named<'a> = (&'a [String], usize, &'a pinfold_wire::Route, usize);

fn routes_of<'a>(snapshot: &'a Snapshot, listeners: &[&str], problems: &mut Vec<Problem>) -> Vec<Named<'a>> {
    let mut routes = Vec::new();
    for (index, route) in snapshot.routes.iter().enumerate() {
        let Action::Forward { pool } = &route.action;
        match snapshot.pools.iter().position(|one| one.name == *pool) {
            Some(place) => routes.push((route.listeners.as_slice(), index, route, place)),
            None => problems.push(problem(format!("routes.{index}"), &format!("there is no pool \"{pool}\""))),
        }
        for name in route.listeners.iter().filter(|name| !listeners.contains(&name.as_str())) {
            problems.push(problem(format!("routes.{index}"), &format!("there is no listener \"{name}\"")));
        }
    }
    routes
}

fn routes_for(listener: &str, routes: &[Named<'_>]) -> Vec<Route> {
    routes
        .iter()
        .filter(|(names, ..)| names.is_empty() || names.iter().any(|name| name == listener))
        .map(|&(_, index, route, pool)| Route { index, matches: route.matches.clone(), pool, trailers: route.trailers })
        .collect()
}

fn networks(wanted: &pinfold_wire::Listener, problems: &mut Vec<Problem>) -> Networks {
    let mut networks = Networks::default();
    for text in &wanted.trusted_proxies {
        if networks.add(text).is_err() {
            let place = format!("listeners.{}.trusted_proxies", wanted.name);
            problems.push(problem(place, &format!("\"{text}\" is no network")));
        }
    }
    networks
}

fn settings_of(wanted: &pinfold_wire::Pool) -> Settings {
    Settings {
        balance: wanted.balance.clone(),
        timeouts: wanted.timeouts.clone(),
        concurrency: wanted.concurrency,
        queue: wanted.queue.clone(),
        retry: wanted.retry.clone(),
        ejection: wanted.ejection.clone(),
        slow_start_ms: wanted.slow_start_ms,
        affinity: wanted.affinity.clone(),
        send_proxy: wanted.send_proxy,
    }
}

fn problem(place: String, what: &str) -> Problem {
    Problem { place, what: what.to_owned(), errno: None }
}
