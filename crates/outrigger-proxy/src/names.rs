//! Names of headers that every call reads or writes, and who we say that we are. Made once: a name given as text would be checked and folded
//! on each use.

use http::{HeaderName, HeaderValue};

/// The `user-agent` towards whomever we call for an application, and beside it.
pub(crate) static AGENT: HeaderValue = HeaderValue::from_static(concat!("outrigger/", env!("CARGO_PKG_VERSION")));

macro_rules! names {
    ($($name:ident $text:literal,)*) => {
        $(pub(crate) static $name: HeaderName = HeaderName::from_static($text);)*
    };
}

names! {
    ACCEL_BUFFERING "x-accel-buffering",
    ANTHROPIC_VERSION "anthropic-version",
    API_KEY "x-api-key",
    ATTEMPTS "x-outrigger-attempts",
    COST "x-outrigger-cost-usd",
    METADATA "x-outrigger-metadata",
    MODEL "x-outrigger-model",
    PROVIDER "x-outrigger-provider",
    REQUEST_ID "request-id",
    ROUTE "x-outrigger-route",
    SERVER_TIMING "server-timing",
    SHOULD_RETRY "x-should-retry",
    TASK "x-outrigger-task",
    TIMEOUT "x-outrigger-timeout",
    X_REQUEST_ID "x-request-id",
}
