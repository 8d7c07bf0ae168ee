//! LLM wire formats as pure translation: client dialects in, provider dialects out.
//!
//! Nothing here opens a socket, reads a clock or waits: bytes in, bytes and facts out.

pub mod classify;
pub mod error;
pub mod models;
pub mod report;
pub mod scan;
pub mod splice;
pub mod sse;
pub mod tap;
pub mod unary;
pub mod usage;

mod facts;
mod json;

pub use report::{End, Report, Seen, StreamError};
