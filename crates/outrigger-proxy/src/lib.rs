//! The data plane: accepts calls from the application beside it, drives attempts at providers, streams the answer, keeps the account.
//!
//! ```text
//! client ─► connection ─► pipeline ─► upstream ─► provider
//!                │            │
//!          listing, passthrough   Snapshot (swapped atomically) · Health (outlives it) · pools (outlive both)
//! ```
//!
//! [`Proxy`] is the whole of it: make one, [`install`](Proxy::install) a routing table, [`serve`](Proxy::serve) listeners.

mod admin;
mod app;
mod body;
mod budget;
mod checks;
mod connection;
mod fault;
mod gauges;
mod ledger;
mod listing;
mod metrics;
mod names;
mod passthrough;
mod pipeline;
pub mod plane;
mod proxy;
mod record;
mod settings;
pub mod sidecar;
mod snapshot;
mod source;
mod surface;
mod text;
mod timer;
mod traces;
mod tunnel;
pub mod upstream;

pub use admin::{Admin, Page};
pub use proxy::Proxy;
pub use settings::Settings;
pub use snapshot::Unusable;
pub use traces::TraceSettings;
