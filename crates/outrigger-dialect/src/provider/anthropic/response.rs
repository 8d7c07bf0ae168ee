//! Reads a whole message.

use super::types::{Block as Wire, Message};
use crate::ir::{Answer, Arguments, Block, Body, Reply, Stop, ToolCall};

/// The answer in `body`; `None` where there is none.
pub(crate) fn reply(body: &[u8]) -> Option<Reply> {
    let message: Message = serde_json::from_slice(body).ok()?;
    if message.kind != "message" {
        return None;
    }
    let answer = Answer {
        blocks: message.content.into_iter().filter_map(block).map(Block::of).collect(),
        stop: stop(message.stop_reason.as_deref(), message.stop_sequence),
        logprobs: None,
    };
    Some(Reply {
        id: message.id,
        model: message.model,
        created: None,
        answers: vec![answer],
    })
}

/// `None` for blocks that only a client of this dialect could have asked for.
fn block(block: Wire) -> Option<Body> {
    match block.kind.as_str() {
        "text" => Some(Body::Text(block.text)),
        "thinking" => Some(Body::Thinking {
            text: block.thinking,
            signature: Some(block.signature).filter(|s| !s.is_empty()),
        }),
        "redacted_thinking" => Some(Body::Redacted(block.data)),
        "tool_use" => Some(Body::ToolCall(ToolCall {
            id: block.id,
            name: block.name,
            arguments: Arguments::from_value(block.input),
        })),
        _ => None,
    }
}

pub(super) fn stop(reason: Option<&str>, sequence: Option<String>) -> Stop {
    match reason {
        Some("max_tokens") => Stop::Length,
        Some("model_context_window_exceeded") => Stop::Window,
        Some("tool_use") => Stop::ToolUse,
        Some("refusal") => Stop::Refusal,
        Some("pause_turn") => Stop::Paused,
        Some("stop_sequence") => Stop::Sequence(sequence),
        _ => Stop::End,
    }
}
