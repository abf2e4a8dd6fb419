//! The name each message has on the wire, so that tests can demand one vector for each.

/// A set of messages, each with the name it bears in its `type` field.
pub trait Named {
    /// Every name the set knows, in the order of the specification.
    const NAMES: &'static [&'static str];
}
