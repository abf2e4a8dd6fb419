//! What must hold whatever bytes come: each module is one fuzz target, whose `check` panics when it does not hold.
//! The parsers here share nothing with those under test, so that a mistake is not made twice.

pub mod chunked;
pub mod differential;
pub mod forwarding;
pub mod frame;
pub mod plain;
pub mod proxy_protocol;
pub mod request_head;
pub mod response_head;
pub mod snapshot;
