//! The whole of what the proxy is to do, in one value. The daemon builds it, the proxy resolves it into its table.
//! Durations are milliseconds (`_ms`), sizes bytes (`_bytes`); 0 where a bound may be off means off.

use serde::{Deserialize, Serialize};

/// Everything the proxy serves, at one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Where clients are accepted.
    pub listeners: Vec<Listener>,
    /// Certificates by name; only listeners that name one use it.
    pub certificates: Vec<Certificate>,
    /// Pools by name.
    pub pools: Vec<Pool>,
    /// Tried in order; the first that matches decides.
    pub routes: Vec<Route>,
    /// Which requests are logged.
    pub access_log: AccessLog,
}

/// One listener, at one or more addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Its name in the config.
    pub name: String,
    /// `host:port`, `[v6]:port` or `unix:/path`; the sockets come from the shim under exactly these names.
    pub addresses: Vec<String>,
    /// Present: the listener speaks HTTPS.
    pub tls: Option<Tls>,
    /// Methods that may pass; empty: all. Anything else is answered 405.
    pub methods: Vec<String>,
    /// How long a client may take.
    pub timeouts: ListenerTimeouts,
    /// How much a client may send.
    pub limits: ListenerLimits,
    /// Networks (`10.0.0.0/8`, `::1`) whose word about the client is believed.
    pub trusted_proxies: Vec<String>,
    /// Whether trusted proxies speak the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// How the endpoint is told of the client.
    pub forwarded: Forwarded,
}

/// Whether a listener takes the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// Version 1 or 2 is demanded of trusted proxies, and not understood from anybody else.
    Accept,
    /// Nobody speaks it.
    #[default]
    Off,
}

/// How an endpoint is told of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarded {
    /// Both of the below.
    Both,
    /// Not at all.
    None,
    /// By `Forwarded` (RFC 7239).
    Rfc7239,
    /// By `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    #[default]
    XForwarded,
}

/// The TLS side of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Names of certificates; the first answers clients whose server name none of them has.
    pub certificates: Vec<String>,
}

/// Deadlines towards a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTimeouts {
    /// From the first byte of a request to the end of its head; also for a PROXY header and the TLS handshake.
    pub head_ms: u64,
    /// Between two requests on a connection.
    pub idle_ms: u64,
    /// Between two reads, or two writes, of a body.
    pub body_ms: u64,
    /// For a request and its answer together, 0: no bound; past it 504. Tunnels are not bound.
    pub total_ms: u64,
}

/// Bounds towards a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerLimits {
    /// Bytes of a request head, request line included; past it 431.
    pub head_bytes: u64,
    /// Header fields of a request; past it 431.
    pub headers: u64,
    /// Bytes of the target of a request; past it 414.
    pub target_bytes: u64,
    /// Bytes of a request body, 0: no bound; past it 413.
    pub body_bytes: u64,
    /// Least bytes a second of a request body, on average from its fifth second on, 0: no bound; past it 408.
    pub body_rate: u64,
    /// Connections open at once on this listener over all cores, 0: no bound; past it accepted ones are closed.
    pub connections: u64,
    /// Connections open at once from one address (IPv6: one /64) that is no trusted proxy's, 0: no bound; past it accepted
    /// ones are closed.
    pub connections_per_client: u64,
}

/// A certificate chain with its private key. The key lives in the memory of the proxy only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// How listeners name it.
    pub name: String,
    /// Server names it is good for, lower case; `*.example.org` stands for one label.
    pub server_names: Vec<String>,
    /// PEM, the end entity first.
    pub chain_pem: String,
    /// PEM, PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key_pem: String,
}

impl std::fmt::Debug for Certificate {
    // A private key must not get into a log by way of `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Interchangeable endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name: `images`, or `nova-api.ec2` for a port of a program.
    pub name: String,
    /// How an endpoint is picked.
    pub balance: Balance,
    /// How long an endpoint may take.
    pub timeouts: PoolTimeouts,
    /// Requests in flight to one endpoint, 0: no bound; the rest waits in one queue for the whole pool.
    pub concurrency: u32,
    /// That queue.
    pub queue: Queue,
    /// When a request may be sent again.
    pub retry: Retry,
    /// When traffic sets an endpoint aside.
    pub ejection: Ejection,
    /// Over which time an endpoint that is new gets its share, 0: at once.
    pub slow_start_ms: u64,
    /// Name of the cookie that keeps a client on its endpoint.
    pub affinity: Option<String>,
    /// Whether endpoints are told of the client by the PROXY protocol; then a connection carries one request.
    pub send_proxy: SendProxy,
    /// Only endpoints that are ready or draining; identity within a pool is the address.
    pub endpoints: Vec<Endpoint>,
}

/// How an endpoint is picked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Balance {
    /// By a hash, consistent when endpoints come and go.
    Hash {
        /// Of what.
        by: HashKey,
    },
    /// The fewest requests in flight for its weight; ties at random.
    LeastRequests,
    /// In turn, by weight.
    RoundRobin,
    /// The better of two drawn at random, by latency and requests in flight.
    TwoRandom,
}

/// What a hash is taken of; a request without it is balanced by `least-requests`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HashKey {
    /// The address of the client.
    Address,
    /// A cookie of this name.
    Cookie {
        /// The name.
        name: String,
    },
    /// A header field of this name.
    Header {
        /// The name.
        name: String,
    },
}

/// Requests that wait for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Most that wait; past it 503 at once.
    pub length: u32,
    /// Longest wait; past it 503.
    pub timeout_ms: u64,
}

/// When a request may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Retries for each hundred requests, beyond ten in ten seconds.
    pub budget_percent: u32,
    /// Bytes of a body that are kept to be sent again, at most 65536.
    pub replay_bytes: u64,
}

/// When traffic sets an endpoint aside; never more than half of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// Failures in a row, 0: never.
    pub failures: u32,
    /// Latency as a multiple of the pool's, 0: never.
    pub latency_factor: u32,
    /// Until its first trial; doubled each time it fails again, up to 32 times this.
    pub base_ms: u64,
}

/// Whether endpoints are told of the client by the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SendProxy {
    /// No.
    #[default]
    Off,
    /// Version 1, text.
    V1,
    /// Version 2, binary.
    V2,
}

/// Deadlines towards an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolTimeouts {
    /// To connect.
    pub connect_ms: u64,
    /// From the end of the request to the first byte of the answer.
    pub first_byte_ms: u64,
    /// Between two bytes of an answer, or of an upgraded connection.
    pub silence_ms: u64,
}

/// One address in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// For logs and counters: `nova-api.1`, or the address.
    pub name: String,
    /// `host:port` with a numeric host, `[v6]:port` or `unix:/path`.
    pub address: String,
    /// Its share, from 1 to 1000.
    pub weight: u32,
    /// What the daemon wants of it.
    pub mode: Mode,
    /// Only used when no other is available.
    pub spare: bool,
}

/// What is wanted of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// No new requests; `drained` is said once those in flight have ended.
    Drain,
    /// Requests may be sent to it.
    Ready,
}

/// Which requests, and what to do with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Names of the listeners it holds for; empty: all.
    pub listeners: Vec<String>,
    /// Which requests.
    #[serde(rename = "match")]
    pub matches: Match,
    /// What to do with them.
    pub action: Action,
    /// Trailers of chunked bodies pass, in both directions.
    pub trailers: bool,
}

/// Conditions of a route, all of which must hold; an empty one holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Hosts, lower case, without port; `*.example.org` stands for any name below it.
    pub hosts: Vec<String>,
    /// Path prefixes by whole segments: `/api` holds for `/api` and `/api/x`, not for `/apix`.
    pub paths: Vec<String>,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Send the request to an endpoint of this pool.
    Forward {
        /// The pool's name.
        pool: String,
    },
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessLog {
    /// One JSON line a request.
    #[default]
    Json,
    /// None.
    Off,
}
