//! Names of headers that every call reads or writes. Made once: a name given as text would be checked and folded on each use.

use http::HeaderName;

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
    SDK_READ_TIMEOUT "x-stainless-read-timeout",
    SDK_TIMEOUT "x-stainless-timeout",
    SERVER_TIMING "server-timing",
    SHOULD_RETRY "x-should-retry",
    TASK "x-outrigger-task",
    TIMEOUT "x-outrigger-timeout",
    X_REQUEST_ID "x-request-id",
}
