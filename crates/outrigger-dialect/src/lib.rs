//! LLM wire formats as pure translation: client dialects in, provider dialects out.
//!
//! Nothing here opens a socket, reads a clock or waits: bytes in, bytes and facts out.

pub mod classify;
pub mod error;
pub mod headers;
pub mod models;
pub mod relay;
pub mod report;
pub mod scan;
pub mod splice;
pub mod sse;
pub mod tap;
pub mod translate;
pub mod unary;
pub mod usage;

mod client;
mod conversation;
mod facts;
mod fields;
mod ir;
mod json;
mod lenient;
mod provider;
mod untranslatable;

pub use client::anthropic::token_count;
pub use conversation::conversation;
pub use relay::Relay;
pub use report::{End, Report, Seen, StreamError};
pub use translate::{Asked, TargetTraits, Translator};
pub use untranslatable::Untranslatable;
