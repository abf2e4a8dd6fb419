//! What this build is, as JSON for `--describe`: the tests of the other side compare it with what they know.

use crate::{bound, lines, listeners, logs, step::Step};
use pinfold_wire::shim::{FromShim, ToShim};
use pinfold_wire::{Named, MAX_FRAME_BYTES, PROTOCOL, VERSION};

/// Protocol, version, messages, steps of a spawn and limits, on one line. Every name in it is plain ASCII, so that Rust's
/// quotes are those of JSON, and only the wire crate need know serde.
pub fn json() -> String {
    let steps = Step::ALL.map(Step::word);
    let limits = [
        ("backlog", usize::try_from(bound::BACKLOG).unwrap_or(0)),
        ("frame_bytes", MAX_FRAME_BYTES),
        ("line_bytes", lines::MAX_LINE_BYTES),
        ("log_queue_bytes", logs::MAX_LOG_BYTES),
        ("logs_queue_bytes", logs::MAX_QUEUE_BYTES),
        ("sockets_per_address", usize::try_from(listeners::MAX_SOCKETS).unwrap_or(0)),
    ];
    let limits: Vec<_> = limits.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    format!(
        "{{\"protocol\":{PROTOCOL},\"version\":{VERSION:?},\"messages\":{{\"to_shim\":{:?},\"from_shim\":{:?}}},\
         \"steps\":{steps:?},\"limits\":{{{}}}}}",
        ToShim::NAMES,
        FromShim::NAMES,
        limits.join(",")
    )
}
