//! Every decision of the request path, without I/O, clock or unsafe code: what a request is, how long its body is, which
//! headers go on, which route and which endpoint take it. Bytes, time and chance come in as arguments.
#![forbid(unsafe_code)]

pub mod affinity;
pub mod balance;
pub mod budget;
pub mod chunked;
pub mod ejection;
pub mod failure;
pub mod fields;
pub mod fifo;
pub mod forwarding;
pub mod framing;
pub mod hash;
pub mod headers;
pub mod latency;
pub mod networks;
pub mod pace;
pub mod proxy_protocol;
pub mod request;
pub mod response;
pub mod retry;
pub mod routes;
pub mod trailers;
