//! The seam: every message between the daemon, the proxy and the shim, and how a message is framed.
//!
//! `protocol/PROTOCOL.md` is the specification; `protocol/vectors/v1` holds one golden file a message, which this
//! crate and the Python side both decode, encode again and compare byte for byte. This is the only crate that
//! knows serde. It does no I/O.
#![forbid(unsafe_code)]

mod frame;
mod name;
pub mod proxy;
pub mod shim;
mod snapshot;

pub use frame::{decode, encode, take_frame, FrameError, HEADER_BYTES, MAX_FRAME_BYTES};
pub use name::Named;
pub use snapshot::{
    AccessLog, Action, Balance, Certificate, Ejection, Endpoint, Forwarded, HashKey, Listener, ListenerLimits,
    ListenerTimeouts, Match, Mode, Pool, PoolTimeouts, ProxyProtocol, Queue, Retry, Route, SendProxy, Snapshot, Tls,
};

use serde::{Deserialize, Serialize};

/// Version of the messages; both sides say it in `hello` and part if it differs.
pub const PROTOCOL: u32 = 1;

/// Version of pinfold; one repository, one version, checked in `hello`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Descriptor at which the shim hands a new proxy its listening control socket.
pub const PROXY_CONTROL_FD: i32 = 3;
/// Descriptor at which the shim hands a new proxy its end of the link on which listening sockets arrive.
pub const PROXY_LINK_FD: i32 = 4;
/// Descriptor at which the shim hands a new proxy the pipe its access log lines go into.
pub const PROXY_ACCESS_LOG_FD: i32 = 5;
/// Descriptor at which the daemon hands a new shim its listening control socket.
pub const SHIM_CONTROL_FD: i32 = 3;

/// First message in both directions on every control connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u32,
    /// [`VERSION`] of the sender.
    pub version: String,
}

impl Hello {
    /// The greeting of this build.
    pub fn ours() -> Self {
        Self { protocol: PROTOCOL, version: VERSION.to_owned() }
    }

    /// Whether the peer is of the same build; no other combination is supported.
    pub fn matches(&self) -> bool {
        self.protocol == PROTOCOL && self.version == VERSION
    }
}

/// A fault, where it is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Path of the faulty part, for example `listeners.ec2` or `0.0.0.0:8772`.
    pub place: String,
    /// What is wrong, one sentence.
    pub what: String,
    /// The number of the system error behind it, if there is one.
    pub errno: Option<i32>,
}
