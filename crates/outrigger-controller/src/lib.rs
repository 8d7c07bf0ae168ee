//! The controller: from the cluster's objects to one snapshot and one Secret for each namespace, and back to conditions.
//!
//! ```text
//! watches ──► stores ──► queue (key = namespace)
//!                │          │ while this replica holds the Lease
//!                ▼          ▼
//!             gather ──► desired_state (pure) ──► apply ──► report
//!                ▲                    │
//!             verifier ◄──────────────┘ new versions of keys
//! ```
//!
//! It is never on a request's path: sidecars run on what was published last, whether this runs or not.

mod apply;
mod cluster;
mod config;
mod controller;
pub mod desired;
mod gather;
mod inject;
pub mod installation;
mod lease;
mod metrics;
mod moment;
pub mod queue;
mod reconcile;
pub mod rotation;
mod store;
mod tell;
mod verify;
mod webhook;

pub use config::{Arguments, Command, Settings, WebhookArguments};
pub use controller::{Controller, Side};
pub use inject::SidecarSettings;
pub use lease::LeaseSettings;
pub use verify::{Cidr, NoCidr};
pub use webhook::WebhookSettings;
