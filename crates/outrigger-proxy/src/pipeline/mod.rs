//! One request, stage by stage: a file and a verb each. Stages pass values, so that a missing stage does not compile.
//!
//! ```text
//! accept ─► admit ─► decode ─► plan ─► attempt ⟲ translate ─► stream ─► account
//!   fault ◄──┴─────────┴────────┴────────┘                      (the body owns the ledger)
//! ```
//!
//! Large futures are pinned where they are made, `pin!(stage()).await`: to await one by value is to copy it first.

pub(crate) mod accept;
mod admit;
mod attempt;
mod decode;
mod exchange;
mod plan;
mod request;
mod respond;
pub(crate) mod stream;
mod unary;

pub(crate) use accept::{discard, refuse};
pub(crate) use attempt::Failed;
pub(crate) use exchange::Exchange;
pub(crate) use respond::stamp;
