//! LLM wire formats as pure translation: client dialects in, provider dialects out.
//!
//! Nothing here opens a socket, reads a clock or waits: bytes in, bytes and facts out.

pub mod report;
pub mod scan;
pub mod splice;
pub mod sse;
pub mod usage;

mod json;

pub use report::{End, Report, Seen, StreamError};
