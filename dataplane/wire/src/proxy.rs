//! Messages between the daemon and the proxy, and those on the link by which the shim hands the proxy its sockets.

use crate::{Hello, Named, Problem, Snapshot};
use serde::{Deserialize, Serialize};

/// From the daemon to the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToProxy {
    /// First message of the connection.
    Hello(Hello),
    /// Put a snapshot in force; answered by `applied` or `rejected`.
    Apply(Apply),
    /// Tell the counters; answered by `stats`.
    Stats(StatsQuery),
    /// Accept no more, let requests in flight end, then exit.
    Stop(Stop),
}

impl Named for ToProxy {
    const NAMES: &'static [&'static str] = &["hello", "apply", "stats", "stop"];
}

/// From the proxy to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromProxy {
    /// Answer to `hello`.
    Hello(ProxyHello),
    /// The snapshot of this generation is in force on every core.
    Applied(Applied),
    /// The snapshot of this generation is refused as a whole; the one before it serves on.
    Rejected(Rejected),
    /// A draining endpoint has no request in flight and no connection left. Said once for each drain.
    Drained(Drained),
    /// Answer to `stats`.
    Stats(Stats),
}

impl Named for FromProxy {
    const NAMES: &'static [&'static str] = &["hello", "applied", "rejected", "drained", "stats"];
}

/// From the shim to the proxy on the link, one message a datagram, without a frame header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToProxyLink {
    /// The listening sockets of one address, as ancillary descriptors (`SCM_RIGHTS`).
    Sockets(Sockets),
}

impl Named for ToProxyLink {
    const NAMES: &'static [&'static str] = &["sockets"];
}

/// See [`ToProxy::Apply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Greater than that of every snapshot before it.
    pub generation: u64,
    /// What to serve.
    pub snapshot: Snapshot,
}

/// See [`ToProxy::Stats`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatsQuery {
    /// Comes back in the answer.
    pub serial: u64,
}

/// See [`ToProxy::Stop`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// After this, what is still in flight is cut.
    pub timeout_ms: u64,
}

/// See [`FromProxy::Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyHello {
    /// Protocol of the proxy.
    pub protocol: u32,
    /// Version of the proxy.
    pub version: String,
    /// Its process id.
    pub pid: i32,
    /// Cores it runs on.
    pub threads: u32,
    /// Generation in force; 0 when none has been applied.
    pub generation: u64,
}

/// See [`FromProxy::Applied`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// That of the `apply`.
    pub generation: u64,
}

/// See [`FromProxy::Rejected`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// That of the `apply`.
    pub generation: u64,
    /// Why; at least one.
    pub problems: Vec<Problem>,
}

/// See [`FromProxy::Drained`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drained {
    /// Name of the pool.
    pub pool: String,
    /// Address of the endpoint.
    pub address: String,
}

/// See [`FromProxy::Stats`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// That of the query.
    pub serial: u64,
    /// Generation in force.
    pub generation: u64,
    /// By listener, in the order of the snapshot.
    pub listeners: Vec<ListenerStats>,
    /// By pool, in the order of the snapshot.
    pub pools: Vec<PoolStats>,
    /// Lines of the access log that were dropped because its pipe was full.
    pub access_log_dropped: u64,
}

/// Counters of one listener since the proxy started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerStats {
    /// Its name.
    pub name: String,
    /// Connections open now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once because a bound was reached.
    pub refused: u64,
    /// Requests whose head was read.
    pub requests: u64,
    /// TLS handshakes and PROXY headers that failed.
    pub handshake_failures: u64,
}

/// Counters of one pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolStats {
    /// Its name.
    pub name: String,
    /// Requests answered 503 because no endpoint could be picked.
    pub unavailable: u64,
    /// Requests that wait for an endpoint now.
    pub queued: u64,
    /// Requests answered 503 because the queue was full, or their wait in it too long.
    pub overflowed: u64,
    /// Attempts that were second ones.
    pub retries: u64,
    /// Retries that the budget did not allow.
    pub retries_denied: u64,
    /// By endpoint, in the order of the snapshot.
    pub endpoints: Vec<EndpointStats>,
}

/// Counters of one endpoint, kept as long as its address stays in the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointStats {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Requests sent to it.
    pub requests: u64,
    /// Attempts that failed: refused, reset, timed out, malformed answer.
    pub errors: u64,
    /// Answers with a 5xx status.
    pub server_errors: u64,
    /// Requests in flight now, upgraded connections included.
    pub in_flight: u64,
    /// Upgraded connections among those.
    pub tunnels: u64,
    /// Connections opened to it.
    pub connects: u64,
    /// Connections open now, idle ones included.
    pub connections: u64,
    /// Whether traffic has set it aside.
    pub ejected: bool,
    /// How often it was set aside.
    pub ejections: u64,
    /// Moving average of the time to the first byte of an answer, in microseconds; 0: not known.
    pub latency_us: u64,
}

/// See [`ToProxyLink::Sockets`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sockets {
    /// The address as the snapshot names it.
    pub address: String,
    /// How many descriptors come with this datagram; 0: the address is listened on no more, and copies are to be closed.
    pub count: u32,
}
