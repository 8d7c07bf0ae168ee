//! Routing decisions: match, plan, attempt loop, health, breaker, price.
//!
//! Pure: this crate never reads a clock, a random source, a file or a socket. Time is a [`Tick`], randomness is a seed, and
//! both are arguments; so the data plane and a simulator under a virtual clock drive exactly the same decisions.
//!
//! ```text
//! Table ──► Router::find(call) ──► plan(…, &Health, now, seed) ──► Dispatch ──next/observe──► Step
//!   ▲                                        ▲                             │
//! compiled from objects                 evidence, outlives tables  ◄───────┘
//! ```
#![no_std]
extern crate alloc;

pub mod dispatch;
mod duration;
pub mod health;
pub mod outcome;
pub mod plan;
pub mod price;
pub mod router;
pub mod secret;
mod seed;
pub mod table;
#[cfg(test)]
mod testing;
pub mod time;

pub use dispatch::{Attempt, AttemptId, Dispatch, Step, Tried, Verdict};
pub use duration::parse_duration;
pub use health::{Ending, Headroom, Health, KeyState, KindView, Learnt, ScoreView, Slot, Slots, StreamEnd, TargetState, TargetView};
pub use outcome::{Class, Outcome};
pub use plan::{Affinity, Plan, Ranked, Reason, Score, Shape, plan};
pub use price::{PicoUsd, Price, Usage};
pub use router::{CallFacts, Matched, NoMatch, Router, Unmet, unmet};
pub use secret::Secret;
pub use table::{
    Attempts, Auth, Balance, Baseline, Breaker, Candidate, DataPolicy, Dialect, Endpoint, HealthCheck, Lack, Match, ModelFacts,
    ModelPattern, Needs, Origin, PathPattern, Provider, Quirks, Residency, RingKey, Route, Rule, Scheme, SlowOf, SlowRule, Table, Target,
    TargetModel, Timeouts, TokenRange,
};
pub use time::Tick;
