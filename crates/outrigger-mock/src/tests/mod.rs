//! The mock over real sockets, as a gateway meets it.

mod answers;
pub(crate) mod client;
mod controls;
mod faults;
mod life;
mod opaque;
mod rules;
