//! How an attempt ended, in the words of metrics, records and headers alike.

use crate::Tick;

/// The class of an attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A complete unary answer, or the first content of a stream.
    Ok,
    /// No connection: name resolution, refused, TLS, or the `connect` clock.
    Connect,
    /// One of the clocks `response`, `firstToken`, `betweenTokens`, `total`.
    Timeout,
    /// The connection broke after it was made.
    Reset,
    /// The provider says that it is overloaded (503 with such a text, 529).
    Overloaded,
    /// 429: wait, then the same key is good again.
    RateLimited,
    /// 401, 403: this key is not good until the configuration changes.
    Auth,
    /// The money on this key's account is spent.
    Quota,
    /// Any other 5xx.
    ServerError,
    /// The prompt is too long for this model.
    ContextWindow,
    /// The provider refuses the content.
    ContentPolicy,
    /// The caller's mistake: no other target would answer differently.
    ClientError,
    /// 200, but no answer: an error body, HTML, an empty or undecodable body, a stream that ends before content.
    BadResponse,
    /// The client hung up, or another attempt won.
    Cancelled,
}

impl Class {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::Overloaded,
        Self::RateLimited,
        Self::Auth,
        Self::Quota,
        Self::ServerError,
        Self::ContextWindow,
        Self::ContentPolicy,
        Self::ClientError,
        Self::BadResponse,
        Self::Cancelled,
    ];

    /// The name used in metrics, records and `x-outrigger-attempts`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::ServerError => "server_error",
            Self::ContextWindow => "context_window",
            Self::ContentPolicy => "content_policy",
            Self::ClientError => "client_error",
            Self::BadResponse => "bad_response",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an attempt ended with, as the attempt loop needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The class.
    pub class: Class,
    /// When the provider said that it will serve again, where it said so.
    pub until: Option<Tick>,
    /// A *reused* connection closed before any byte of a response: the idle-close race, not the provider's health.
    pub stale: bool,
    /// This target cannot serve such a call, whatever its health: it is left out of this request, uncounted.
    pub unsuited: bool,
}

impl Outcome {
    /// An outcome of which nothing but the class is known.
    pub fn of(class: Class) -> Self {
        Self {
            class,
            until: None,
            stale: false,
            unsuited: false,
        }
    }
}
