//! The real binary, spoken to over its real socket as the daemon would: one file a subject, `rig` is what they stand on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may fail where it stands.
#![allow(clippy::disallowed_methods)] // Deadlines of tests are real time.

mod attach;
mod idle;
mod listen;
mod output;
mod proxy;
mod rig;
mod rotation;
mod spawn;
mod stop;
mod tree;
