//! Connections to providers: an own HTTP/1.1 pool over hyper's connection API. One call has one connection for as long as it lasts, so that
//! no call waits behind another's stream. Pools outlive snapshots: an edit of the routes closes nothing.
//!
//! ```text
//! Upstreams::lease(destination) ─► idle connection, or dns ► connect ► tls ─► Lease::send(request) ─► Response<Body>
//!                                        ▲                                                              │
//!                                        └────────────── back, once the body has been read to its end ──┘
//! ```

mod connect;
mod destination;
mod dns;
mod pool;
mod tls;

pub(crate) use destination::Destination;
pub(crate) use pool::{Body, PoolSettings, Send, SendError, Upstreams};
pub(crate) use tls::Tls;
pub use tls::TlsError;
