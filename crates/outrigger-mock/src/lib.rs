//! Scripted LLM providers with fault injection, for demonstrations and tests.
//!
//! One server plays many providers: the first segment of the path names one, the rest is an endpoint of OpenAI or Anthropic, with or
//! without `/v1`. A provider that nobody scripted is healthy. It refuses what a gateway must not forward, so an unmodified SDK that
//! talks to it *directly* needs `"strict": false`.
//!
//! ```
//! use outrigger_mock::{Behaviour, Mock};
//!
//! let mock = Mock::local()?;
//! mock.set("main", Behaviour { status: Some(503), fail_first: 2, ..Behaviour::default() });
//! // Calls to http://ADDR/main/v1/chat/completions now fail twice, then succeed.
//! assert!(mock.calls("main").is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ```text
#![doc = include_str!("reference.txt")]
//! ```

mod answer;
mod anthropic;
mod ask;
mod behaviour;
mod call;
mod control;
mod fault;
mod files;
mod json;
mod mock;
mod models;
mod openai;
mod place;
mod play;
mod realtime;
mod registry;
mod reply;
mod schema;
mod score;
mod serve;
mod server;
mod strict;
mod wire;

use std::collections::BTreeMap;

pub use behaviour::{Behaviour, BodyFault, Cut, ErrorScript, Gzip, Stall, StreamError, Tokens, ToolCall};
pub use call::Call;
pub use mock::{Mock, TimedOut};
pub use registry::Connections;

/// All fields of a [`Behaviour`] and the control API, for people at a terminal.
pub const REFERENCE: &str = include_str!("reference.txt");

/// Reads a start file: a JSON object of behaviours by provider name.
///
/// # Errors
/// What is wrong, and with which provider.
pub fn behaviours(json: &str) -> Result<BTreeMap<String, Behaviour>, String> {
    let all: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let parse = |(name, script): (String, Box<serde_json::value::RawValue>)| match Behaviour::parse(script.get()) {
        Ok(behaviour) => Ok((name, behaviour)),
        Err(why) => Err(format!("provider `{name}`: {why}")),
    };
    all.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests;
