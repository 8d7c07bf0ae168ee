//! The core's decisions under a virtual clock. A seed is a world: a route, providers that fail and recover, sidecars with evidence of their
//! own, and callers. It is run to its end in milliseconds, each step is held against the properties, and the same seed gives the same trace.
//!
//! ```text
//! seed ─► World ─► run: events by time ─► Router · plan · Dispatch · Health   (as the data plane drives them)
//!                    │        ▲                 │
//!                    ▼        └── Providers ◄───┘ attempts
//!              Check, Meter ─► violations, sums
//! ```
//!
//! ```
//! let ran = outrigger_simulator::run(&outrigger_simulator::World::new(7), true);
//! assert!(ran.violations.is_empty() && !ran.trace.is_empty());
//! ```
#![expect(
    clippy::indexing_slicing,
    reason = "indices are of the world's own making, and a panic is a test that fails"
)]

mod allowed;
mod call;
mod check;
mod meter;
mod property;
mod providers;
mod random;
mod run;
mod seeds;
mod trace;
mod world;

pub use meter::Sums;
pub use property::{Property, Violation};
pub use run::{Ran, run};
pub use seeds::{Report, seeds};
pub use trace::{Entry, What};
pub use world::{Kind, World};
