//! What a call and its answer mean, in no dialect's shape: a list of blocks per turn, the system prompt apart, thinking and tool results
//! as blocks of their own. N client dialects read into it and M provider dialects write out of it, so that no pair needs code of its own.
//!
//! A field that has no place here rides in `extra` under the name it had in the dialect it came from: it goes out again only to that same
//! dialect. It must never hold a decision about routing.

mod block;
mod call;
mod reply;

pub(crate) use block::{
    Arguments, Block, Body, Media, MediaKind, Source, ToolCall, ToolResult, UNSIGNED, join_texts, mark_unsigned, unsigned,
};
pub(crate) use call::{Call, Effort, Format, Function, Role, Thinking, Tool, ToolChoice, Turn};
pub(crate) use reply::{Answer, Delta, Event, Head, Reply, Stop};

/// Fields without a place of their own, as they came.
pub(crate) type Extra = serde_json::Map<String, serde_json::Value>;
