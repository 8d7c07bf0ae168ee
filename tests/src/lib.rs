//! The harness of the process tests: the real `outrigger` binary, scripted providers, a plain HTTP client. A test writes its routes as YAML,
//! sets the providers' behaviour, calls, and asserts on answers and on what reached the providers.
//!
//! ```no_run
//! # async fn example() {
//! use outrigger_tests::{Plane, chat, provider, route};
//! let mock = outrigger_tests::mock();
//! let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
//! let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
//! assert_eq!(answer.status, 200);
//! # }
//! ```

#![expect(clippy::disallowed_methods, reason = "what measures looks at the clock itself")]

mod api_server;
mod client;
mod collector;
mod figures;
mod plane;
mod published;
mod relay;
mod sidecar;
mod tls;
mod watcher;
mod yaml;

pub use api_server::ApiServer;
pub use client::{Answer, Connection, chunked};
pub use collector::{Collector, Reaction, attribute};
pub use figures::{Load, Shot, Times, figure, memory};
pub use plane::{Plane, binary, post, request};
pub use published::{NAMESPACE, Published, published};
pub use relay::Relay;
pub use sidecar::{Mount, Sidecar};
pub use watcher::{Watcher, Watching, address_in};
pub use yaml::{KEY, anthropic_provider, chat, messages, provider, provider_with, route, route_with, target};

/// Scripted providers on a port of their own.
///
/// # Panics
/// Where they cannot be started.
#[expect(clippy::expect_used, reason = "a test cannot go on without it")]
pub fn mock() -> outrigger_mock::Mock {
    outrigger_mock::Mock::local().expect("scripted providers")
}

/// Scripts the provider `name`; see the reference of behaviours for the fields.
///
/// # Panics
/// Where `behaviour` is none.
#[expect(clippy::expect_used, reason = "a test cannot go on without it")]
pub fn behave(mock: &outrigger_mock::Mock, name: &str, behaviour: serde_json::Value) {
    mock.set(name, serde_json::from_value(behaviour).expect("a behaviour"));
}
