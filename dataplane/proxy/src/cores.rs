//! The cores seen from the control side: puts tables in force on all of them, knows which endpoints drain, adds up counters.

use crate::acceptors::Wanted;
use crate::clock;
use crate::endpoint::Endpoint;
use crate::runtime::Command;
use crate::sockets::Sockets;
use crate::table::{Resolver, Table};
use pinfold_wire::proxy::{Drained, EndpointStats, ListenerStats, PoolStats, Stats};
use pinfold_wire::{Mode, Problem, Snapshot};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Milliseconds that sockets which a snapshot names may be on their way from the shim.
const SOCKETS_MS: u64 = 2_000;

/// See the head of the file.
pub struct Cores {
    threads: Vec<mpsc::Sender<Command>>,
    sockets: Rc<Sockets>,
    resolver: Resolver,
    table: Arc<Table>,
    dropped: Arc<AtomicU64>,
}

impl Cores {
    /// Cores without a table; `dropped` counts the lines of the access log they could not hand over.
    pub fn new(
        threads: Vec<mpsc::Sender<Command>>,
        sockets: Rc<Sockets>,
        resolver: Resolver,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        Self { threads, sockets, resolver, table: Arc::new(Table::empty()), dropped }
    }

    /// How many cores.
    pub fn threads(&self) -> u32 {
        u32::try_from(self.threads.len()).unwrap_or(u32::MAX)
    }

    /// Generation in force.
    pub fn generation(&self) -> u64 {
        self.table.generation
    }

    /// Put a snapshot in force on every core.
    ///
    /// # Errors
    /// Every problem; the table before it stays.
    pub async fn apply(&mut self, generation: u64, snapshot: Snapshot) -> Result<(), Vec<Problem>> {
        if generation <= self.table.generation {
            let what = format!("generation {generation} is not greater than {} in force", self.table.generation);
            return Err(vec![Problem { place: "generation".to_owned(), what, errno: None }]);
        }
        let table = self.resolver.resolve(generation, snapshot, &self.table)?;
        self.await_sockets(&table).await?;
        let before = std::mem::replace(&mut self.table, Arc::new(table));
        self.turn_to_endpoints(&before);
        let table = Arc::clone(&self.table);
        self.command(|core, done| Command::Install(Arc::clone(&table), self.wanted(&table, core), done)).await;
        Ok(())
    }

    /// Have the endpoints of the table accept requests, and no others; then those who wait may be served.
    fn turn_to_endpoints(&self, before: &Table) {
        let (now, pools) = (clock::now(), &self.table.pools);
        let ready = pools.iter().flat_map(|pool| &pool.members).filter(|member| member.mode == Mode::Ready);
        let ready: HashMap<u64, &Arc<Endpoint>> = ready.map(|member| (member.endpoint.id, &member.endpoint)).collect();
        for member in before.pools.iter().flat_map(|pool| &pool.members) {
            if !ready.contains_key(&member.endpoint.id) {
                member.endpoint.refuse();
            }
        }
        ready.values().for_each(|endpoint| endpoint.accept(now));
        for pool in pools {
            pool.lasting.install(Some(pool), before.pool(&pool.name).map(|pool| &**pool));
        }
        for gone in before.pools.iter().filter(|pool| self.table.pool(&pool.name).is_none()) {
            gone.lasting.install(None, None);
        }
    }

    /// Accept no more; idle connections are closed.
    pub async fn stop(&mut self) {
        self.command(|_, done| Command::Stop(done)).await;
    }

    /// Have the cores end, and with them every connection that is still open.
    pub fn end(&mut self) {
        self.threads.clear();
    }

    /// Endpoints that are to drain, with their pools.
    pub fn draining(&self) -> Vec<(Arc<str>, Arc<Endpoint>)> {
        let pools = self.table.pools.iter();
        let draining = pools.flat_map(|pool| {
            let members = pool.members.iter().filter(|member| member.mode == Mode::Drain);
            members.map(|member| (Arc::clone(&pool.name), Arc::clone(&member.endpoint)))
        });
        draining.collect()
    }

    /// Those among them that have nothing left.
    pub fn drained(&self) -> Vec<Drained> {
        let relieved = self.draining().into_iter().filter(|(_, endpoint)| endpoint.relieved());
        relieved
            .map(|(pool, endpoint)| Drained { pool: pool.to_string(), address: endpoint.address_text.clone() })
            .collect()
    }

    /// The counters.
    pub fn stats(&self, serial: u64) -> Stats {
        Stats {
            serial,
            generation: self.table.generation,
            listeners: self.table.listeners.iter().map(listener_stats).collect(),
            pools: self.table.pools.iter().map(|pool| pool_stats(pool)).collect(),
            access_log_dropped: read(&self.dropped),
        }
    }

    /// Wait for the sockets of every address, for a while.
    async fn await_sockets(&self, table: &Table) -> Result<(), Vec<Problem>> {
        let _ = self.sockets.take_in(); // Without a shim there is what there was.
        let deadline = clock::now().after_ms(SOCKETS_MS);
        loop {
            let addresses = table.listeners.iter().flat_map(|listener| &listener.addresses);
            let missing: Vec<&String> = addresses.filter(|address| self.sockets.of(address, 0).is_none()).collect();
            let Some(instant) = deadline.instant().filter(|_| !missing.is_empty()) else { return Ok(()) };
            if tokio::time::timeout_at(instant, self.sockets.wait_changed()).await.is_err() {
                let what = |address: &str| format!("no socket was handed over for {address}");
                let problem =
                    |address: &&String| Problem { place: (*address).clone(), what: what(address), errno: None };
                return Err(missing.iter().map(problem).collect());
            }
        }
    }

    /// The sockets one core is to accept on.
    fn wanted(&self, table: &Table, core: usize) -> Vec<Wanted> {
        let addresses = table
            .listeners
            .iter()
            .flat_map(|listener| listener.addresses.iter().map(move |address| (listener.key, address)));
        let wanted = addresses.filter_map(|(key, address)| {
            let (serial, socket) = self.sockets.of(address, core)?;
            Some(Wanted { key, address: address.clone(), serial, socket })
        });
        wanted.collect()
    }

    /// Give every core a command, and return when all have carried it out.
    async fn command(&self, command: impl Fn(usize, oneshot::Sender<()>) -> Command) {
        let mut waiting = Vec::new();
        for (core, commands) in self.threads.iter().enumerate() {
            let (done, answer) = oneshot::channel();
            // A core that is gone has taken its connections along; the others go on.
            if commands.send(command(core, done)).await.is_ok() {
                waiting.push(answer);
            }
        }
        for answer in waiting {
            let _ = answer.await;
        }
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn listener_stats(listener: &crate::table::Listener) -> ListenerStats {
    let counters = &listener.counters;
    ListenerStats {
        name: listener.name.clone(),
        connections: read(&counters.connections),
        accepted: read(&counters.accepted),
        refused: read(&counters.refused),
        requests: read(&counters.requests),
        handshake_failures: read(&counters.handshake_failures),
    }
}

fn pool_stats(pool: &crate::pool::Pool) -> PoolStats {
    let endpoints = pool.members.iter().map(|member| {
        let counters = &member.endpoint.counters;
        EndpointStats {
            name: member.name.to_string(),
            address: member.endpoint.address_text.clone(),
            requests: read(&counters.requests),
            errors: read(&counters.errors),
            server_errors: read(&counters.server_errors),
            in_flight: read(&counters.in_flight),
            tunnels: read(&counters.tunnels),
            connects: read(&counters.connects),
            connections: read(&counters.connections),
            ejected: member.endpoint.traffic.aside(),
            ejections: read(&member.endpoint.traffic.ejections),
            latency_us: member.endpoint.traffic.latency_us(),
        }
    });
    PoolStats {
        name: pool.name.to_string(),
        unavailable: read(&pool.lasting.unavailable),
        queued: pool.lasting.waiting() as u64,
        overflowed: read(&pool.lasting.overflowed),
        retries: read(&pool.lasting.retries),
        retries_denied: read(&pool.lasting.retries_denied),
        endpoints: endpoints.collect(),
    }
}
