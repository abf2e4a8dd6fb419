//! What all cores share about one endpoint: its address, its counters, and what traffic has shown of it.

use crate::clock::Moment;
use crate::lasting::Lasting;
use crate::traffic::Traffic;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use tokio::sync::Notify;

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The address in `host:port`, `[v6]:port` or `unix:/path`; None if it is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => path.starts_with('/').then(|| Self::Unix(PathBuf::from(path))),
            None => text.parse().ok().map(Self::Tcp),
        }
    }
}

/// Counters of an endpoint; see `EndpointStats` of the seam.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests sent to it.
    pub requests: AtomicU64,
    /// Attempts that failed.
    pub errors: AtomicU64,
    /// Answers with a 5xx status.
    pub server_errors: AtomicU64,
    /// Requests in flight, tunnels included.
    pub in_flight: AtomicU64,
    /// Upgraded connections among those.
    pub tunnels: AtomicU64,
    /// Connections opened.
    pub connects: AtomicU64,
    /// Connections open now.
    pub connections: AtomicU64,
}

/// One endpoint, as long as its address stays in its pool.
#[derive(Debug)]
pub struct Endpoint {
    /// Never used twice while the proxy lives.
    pub id: u64,
    /// As the snapshot writes it.
    pub address_text: String,
    /// Where it is.
    pub address: Address,
    /// Its counters.
    pub counters: Counters,
    /// What requests have shown.
    pub traffic: Traffic,
    /// What its pool keeps.
    pub lasting: Arc<Lasting>,
    /// Since when it may be sent requests, in microseconds.
    ready_since: AtomicU64,
    /// Whether it may be sent requests; if not, `relieved` is told when nothing is left.
    accepting: AtomicBool,
    relieved: Arc<Notify>,
}

impl Endpoint {
    /// A new one; `relieved` is notified whenever an endpoint that is not accepting has nothing left.
    pub fn new(
        id: u64,
        (address_text, address): (String, Address),
        lasting: Arc<Lasting>,
        relieved: Arc<Notify>,
    ) -> Self {
        Self {
            id,
            address_text,
            address,
            counters: Counters::default(),
            traffic: Traffic::default(),
            lasting,
            ready_since: AtomicU64::new(0),
            accepting: AtomicBool::new(false),
            relieved,
        }
    }

    /// Since when it may be sent requests.
    pub fn ready_since(&self) -> Moment {
        Moment::at_micros(self.ready_since.load(Ordering::Relaxed))
    }

    /// Whether its connections are worth keeping.
    pub fn accepting(&self) -> bool {
        self.accepting.load(Ordering::Relaxed)
    }

    /// It may be sent no more requests.
    pub fn refuse(&self) {
        self.accepting.store(false, Ordering::SeqCst);
    }

    /// It may be sent requests. If it might not before, nothing that was is held against it.
    pub fn accept(&self, now: Moment) {
        if !self.accepting.swap(true, Ordering::SeqCst) {
            self.traffic.forget();
            self.ready_since.store(now.micros(), Ordering::Relaxed);
        }
    }

    /// Whether no request is in flight to it and no connection is open.
    pub fn relieved(&self) -> bool {
        self.counters.in_flight.load(Ordering::SeqCst) == 0 && self.counters.connections.load(Ordering::SeqCst) == 0
    }

    fn less(&self, counter: &AtomicU64) {
        counter.fetch_sub(1, Ordering::SeqCst);
        if !self.accepting() && self.relieved() {
            self.relieved.notify_one();
        }
    }
}

/// Add one to a counter.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A request in flight to an endpoint, for as long as this lives.
pub struct InFlight(Arc<Endpoint>);

impl InFlight {
    /// It begins.
    pub fn begin(endpoint: &Arc<Endpoint>) -> Self {
        count(&endpoint.counters.in_flight);
        Self(Arc::clone(endpoint))
    }

    /// To which endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.less(&self.0.counters.in_flight);
        self.0.lasting.relieve();
    }
}

/// An open connection to an endpoint, for as long as this lives.
pub struct Open(Arc<Endpoint>);

impl Open {
    /// It has been opened.
    pub fn begin(endpoint: &Arc<Endpoint>) -> Self {
        count(&endpoint.counters.connects);
        count(&endpoint.counters.connections);
        Self(Arc::clone(endpoint))
    }

    /// To which endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.less(&self.0.counters.connections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_seam_writes_them() {
        assert_eq!(Address::parse("127.0.0.1:80"), Some(Address::Tcp(([127, 0, 0, 1], 80).into())));
        assert!(matches!(Address::parse("[::1]:80"), Some(Address::Tcp(_))));
        assert_eq!(Address::parse("unix:/run/x"), Some(Address::Unix("/run/x".into())));
        for text in ["", "localhost:80", "127.0.0.1", "unix:x", "::1:80"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn relief_is_told_when_the_last_of_a_draining_endpoint_goes() {
        let relieved = Arc::new(Notify::new());
        let at = (String::new(), Address::Unix("/x".into()));
        let endpoint = Arc::new(Endpoint::new(1, at, Arc::default(), Arc::clone(&relieved)));
        endpoint.accept(Moment::at_micros(1));
        let (flight, open) = (InFlight::begin(&endpoint), Open::begin(&endpoint));
        endpoint.refuse();
        drop(flight);
        assert!(!endpoint.relieved());
        drop(open);
        relieved.notified().await;
        assert!(endpoint.relieved());
    }
}
