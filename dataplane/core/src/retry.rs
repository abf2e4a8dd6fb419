//! Whether a request that failed at one endpoint may be sent again: never when the endpoint may have acted on it twice.

/// How far the request had got when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No connection came about, or nothing could be written to it.
    Unsent,
    /// Something of it was written, all of which is still at hand.
    Sent,
    /// Part of its body was written that is not at hand any more, or an answer has begun.
    Begun,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Tell the client.
    Fail,
    /// Try an endpoint that was not tried yet.
    Elsewhere,
    /// Try any endpoint, on a new connection: only the connection is known to be bad.
    Anew,
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Attempted {
    /// How far it had got.
    pub progress: Progress,
    /// The method is idempotent (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// The connection had been used before.
    pub reused: bool,
    /// How often this request has been written to an endpoint before this attempt.
    pub resent: u32,
}

/// Whether, and where, to try again.
///
/// An endpoint that took nothing costs nothing, so that is tried on until no endpoint is left. What may have arrived is
/// sent a second time only if it is idempotent, and never a third time: a request that kills an endpoint must not go
/// through all of them.
pub fn decide(attempted: Attempted) -> Decision {
    match attempted {
        Attempted { progress: Progress::Begun, .. } => Decision::Fail,
        Attempted { progress: Progress::Unsent, reused: true, .. } => Decision::Anew,
        Attempted { progress: Progress::Unsent, reused: false, .. } => Decision::Elsewhere,
        Attempted { progress: Progress::Sent, idempotent: true, resent: 0, reused } => {
            if reused {
                Decision::Anew
            } else {
                Decision::Elsewhere
            }
        }
        Attempted { progress: Progress::Sent, .. } => Decision::Fail,
    }
}

/// Whether a method is idempotent (RFC 9110 section 9.2.2); methods we do not know are not.
pub fn idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_table() {
        use Decision::*;
        use Progress::*;
        for (progress, idempotent, reused, resent, wanted) in [
            (Unsent, false, false, 0, Elsewhere),
            (Unsent, false, true, 0, Anew),
            (Unsent, true, false, 1, Elsewhere),
            (Unsent, true, true, 1, Anew),
            (Sent, true, true, 0, Anew),
            (Sent, true, false, 0, Elsewhere),
            (Sent, true, true, 1, Fail),
            (Sent, true, false, 1, Fail),
            (Sent, false, true, 0, Fail),
            (Sent, false, false, 0, Fail),
            (Begun, true, true, 0, Fail),
            (Begun, true, false, 0, Fail),
        ] {
            let attempted = Attempted { progress, idempotent, reused, resent };
            assert_eq!(decide(attempted), wanted, "{attempted:?}");
        }
    }

    #[test]
    fn a_post_that_may_have_arrived_is_never_sent_again() {
        for method in ["POST", "PATCH", "PROPFIND", "get"] {
            assert!(!idempotent(method), "{method}");
        }
    }
}
