//! What each process needs around its own work: a clock, logs, metrics, an admin port, listeners, signals, a task set, a drain.
//!
//! ```text
//!   Signals ──► Drain ──► Draining ──► accept loops stop, connections finish, then are cut
//!                                          │ every future belongs to
//!   Listeners ──► connections ──────────► Tasks ──shutdown(grace)──► stragglers, by name
//!   Metrics ──► admin::serve ──► /metrics and the caller's own routes
//! ```
//!
//! Nothing here knows what a process does; this crate depends on none of its siblings.

pub mod admin;
pub mod clock;
pub mod drain;
pub mod files;
pub mod listen;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod signals;
pub mod tasks;

pub use clock::Clock;
pub use drain::{Drain, Draining, InFlight};
pub use listen::Listeners;
pub use metrics::Metrics;
pub use tasks::Tasks;
