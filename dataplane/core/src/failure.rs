//! Why a request failed: the words are the same in the answer, the access log and the counters. Which status a cause is
//! answered with is decided in one place of the proxy, `respond`.

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the client sent, or that it went away.
    Client,
    /// What the endpoint did.
    Endpoint,
    /// The config, or the proxy itself.
    Proxy,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The body is longer than the listener allows.
    BodyTooLarge,
    /// The body comes slower than the listener allows.
    BodyTooSlow,
    /// The client stopped in the middle of a body.
    BodyTimeout,
    /// The client went away.
    ClientClosed,
    /// The connection to the endpoint failed otherwise than below.
    ConnectFailed,
    /// `CONNECT` is not offered.
    ConnectMethod,
    /// The endpoint refused the connection, or its socket is not there.
    ConnectRefused,
    /// The endpoint did not take the connection in time.
    ConnectTimeout,
    /// The endpoint closed or reset the connection before it had answered.
    EndpointClosed,
    /// The endpoint did not begin to answer in time.
    FirstByteTimeout,
    /// The client did not finish the head of its request in time.
    HeadTimeout,
    /// The head of the request is larger than the listener allows.
    HeadTooLarge,
    /// `Host` is missing, repeated, invalid or not that of the target.
    InvalidHost,
    /// The target is none.
    InvalidTarget,
    /// The answer is no HTTP, or contradicts itself.
    MalformedAnswer,
    /// The body of the request is no body.
    MalformedBody,
    /// The head of the request is none.
    MalformedHead,
    /// The listener does not let this method pass.
    MethodNotAllowed,
    /// No endpoint of the pool is ready.
    NoEndpoint,
    /// No route takes the request.
    NoRoute,
    /// As many requests wait for an endpoint as may.
    QueueFull,
    /// No endpoint was free in time.
    QueueTimeout,
    /// The endpoint fell silent in the middle of its answer.
    SilenceTimeout,
    /// The target is longer than the listener allows.
    TargetTooLong,
    /// Request and answer together took longer than the listener allows.
    TotalTimeout,
    /// More header fields than the listener allows.
    TooManyFields,
    /// The answer ended before its end.
    TruncatedAnswer,
    /// A transfer coding we do not know.
    UnknownCoding,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}

impl Cause {
    /// Every cause, in the order of the words.
    pub const ALL: [Self; 29] = [
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::ClientClosed,
        Self::ConnectFailed,
        Self::ConnectMethod,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::EndpointClosed,
        Self::FirstByteTimeout,
        Self::HeadTimeout,
        Self::HeadTooLarge,
        Self::InvalidHost,
        Self::InvalidTarget,
        Self::MalformedAnswer,
        Self::MalformedBody,
        Self::MalformedHead,
        Self::MethodNotAllowed,
        Self::NoEndpoint,
        Self::NoRoute,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::SilenceTimeout,
        Self::TargetTooLong,
        Self::TooManyFields,
        Self::TotalTimeout,
        Self::TruncatedAnswer,
        Self::UnknownCoding,
        Self::VersionNotSupported,
    ];

    /// The word for logs and counters.
    pub fn word(self) -> &'static str {
        match self {
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::ClientClosed => "client_closed",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectMethod => "connect_method",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::EndpointClosed => "endpoint_closed",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::HeadTooLarge => "head_too_large",
            Self::InvalidHost => "invalid_host",
            Self::InvalidTarget => "invalid_target",
            Self::MalformedAnswer => "malformed_answer",
            Self::MalformedBody => "malformed_body",
            Self::MalformedHead => "malformed_head",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoEndpoint => "no_endpoint",
            Self::NoRoute => "no_route",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::SilenceTimeout => "silence_timeout",
            Self::TargetTooLong => "target_too_long",
            Self::TooManyFields => "too_many_fields",
            Self::TotalTimeout => "total_timeout",
            Self::TruncatedAnswer => "truncated_answer",
            Self::UnknownCoding => "unknown_coding",
            Self::VersionNotSupported => "version_not_supported",
        }
    }

    /// Whose fault it is.
    pub fn side(self) -> Side {
        match self {
            Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::ClientClosed
            | Self::ConnectMethod
            | Self::HeadTimeout
            | Self::HeadTooLarge
            | Self::InvalidHost
            | Self::InvalidTarget
            | Self::MalformedBody
            | Self::MalformedHead
            | Self::MethodNotAllowed
            | Self::TargetTooLong
            | Self::TooManyFields
            | Self::UnknownCoding
            | Self::VersionNotSupported => Side::Client,
            Self::ConnectFailed
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::EndpointClosed
            | Self::FirstByteTimeout
            | Self::MalformedAnswer
            | Self::SilenceTimeout
            | Self::TruncatedAnswer => Side::Endpoint,
            Self::NoEndpoint | Self::NoRoute | Self::QueueFull | Self::QueueTimeout | Self::TotalTimeout => Side::Proxy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_word_of_its_own_and_they_are_in_order() {
        let words: Vec<_> = Cause::ALL.iter().map(|cause| cause.word()).collect();
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(words, sorted);
    }
}
