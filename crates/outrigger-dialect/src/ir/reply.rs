//! An answer, whole or as it comes.

use super::Block;
use outrigger_core::Usage;
use serde_json::Value;

/// A whole answer. Its usage is told apart; what its dialect said beside this is not carried over, as an answer stays in its dialect
/// only as untouched bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub id: Option<String>,
    pub model: Option<String>,
    /// Unix seconds.
    pub created: Option<u64>,
    /// At least one.
    pub answers: Vec<Answer>,
}

/// One of the answers asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub blocks: Vec<Block>,
    pub stop: Stop,
    pub logprobs: Option<Value>,
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It had said everything.
    End,
    /// It wrote one of the caller's stop sequences: this one, where known.
    Sequence(Option<String>),
    /// The token limit.
    Length,
    /// The context window.
    Window,
    /// It waits for tools.
    ToolUse,
    /// It, or its provider, refuses.
    Refusal,
    /// Its provider wants to be asked to go on.
    Paused,
}

/// What happens in a stream. Blocks of one answer may interleave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// First, once.
    Start {
        id: Option<String>,
        model: Option<String>,
        created: Option<u64>,
    },
    /// A block begins; `block` is its number inside the answer.
    Open { answer: usize, block: usize, head: Head },
    /// More of an open block.
    Delta { answer: usize, block: usize, delta: Delta },
    /// A block is complete.
    Close { answer: usize, block: usize },
    /// Token probabilities of what just came.
    Logprobs { answer: usize, value: Value },
    /// An answer is complete.
    Finish { answer: usize, stop: Stop },
    /// All that was used up to now: replaces what was said before. May come at any time, before the start too.
    Usage(Usage),
    /// Last: nothing else will come.
    Done,
}

/// What is known of a block when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Text,
    Refusal,
    Thinking,
    /// Complete as it begins.
    Redacted(String),
    ToolCall {
        id: String,
        name: String,
    },
}

/// More of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delta {
    /// Of a text, a refusal or thinking.
    Text(String),
    /// Of a thinking's signature.
    Signature(String),
    /// Of a tool call's arguments: a piece of JSON text.
    Arguments(String),
}
