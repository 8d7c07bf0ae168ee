//! Writes a whole message.

use crate::{
    ir::{Answer, Body, Reply, Stop, ToolCall},
    translate::Asked,
};
use outrigger_core::Usage;
use serde_json::{Value, json};

/// The body of the answer. The dialect knows one answer a call.
pub(crate) fn reply(reply: Reply, used: Option<&Usage>, asked: &Asked) -> Value {
    let answer = reply.answers.into_iter().next().unwrap_or(Answer {
        blocks: Vec::new(),
        stop: Stop::End,
        logprobs: None,
    });
    let refuses = answer.blocks.iter().any(|block| matches!(block.body, Body::Refusal(_)));
    let stop = if refuses && answer.stop == Stop::End {
        Stop::Refusal
    } else {
        answer.stop
    };
    let mut content = Vec::new();
    let mut calls = 0;
    for block in answer.blocks {
        content.extend(self::block(block.body, &mut calls, asked));
    }
    json!({
        "id": id(reply.id, asked),
        "type": "message",
        "role": "assistant",
        "model": reply.model.unwrap_or_else(|| asked.model.clone()),
        "content": content,
        "stop_reason": stop_reason(&stop),
        "stop_sequence": stop_sequence(&stop),
        "usage": usage(used.unwrap_or(&Usage::default())),
    })
}

/// The provider's id where it looks like this dialect's, else one made of the caller's.
pub(super) fn id(id: Option<String>, asked: &Asked) -> String {
    id.filter(|id| id.starts_with("msg_"))
        .unwrap_or_else(|| format!("msg_{}", asked.id))
}

/// The id of an answer's `n`th tool call, where the provider gave none.
pub(super) fn call_id(id: String, n: usize, asked_id: &str) -> String {
    if id.is_empty() { format!("toolu_{asked_id}_{n}") } else { id }
}

fn block(body: Body, calls: &mut usize, asked: &Asked) -> Option<Value> {
    match body {
        Body::Text(text) | Body::Refusal(text) => (!text.is_empty()).then(|| json!({"type": "text", "text": text})),
        Body::Thinking { text, signature } => {
            Some(json!({"type": "thinking", "thinking": text, "signature": signature.unwrap_or_default()}))
        }
        Body::Redacted(data) => Some(json!({"type": "redacted_thinking", "data": data})),
        Body::ToolCall(ToolCall { id, name, arguments }) => {
            let id = call_id(id, *calls, &asked.id);
            *calls += 1;
            Some(json!({"type": "tool_use", "id": id, "name": name, "input": arguments.into_object()}))
        }
        // No provider answers with these in a form that this dialect could show.
        Body::Media(_) | Body::ToolResult(_) | Body::Other(_) => None,
    }
}

pub(super) fn stop_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Sequence(_) => "stop_sequence",
        Stop::Length => "max_tokens",
        Stop::Window => "model_context_window_exceeded",
        Stop::ToolUse => "tool_use",
        Stop::Refusal => "refusal",
        Stop::Paused => "pause_turn",
    }
}

pub(super) fn stop_sequence(stop: &Stop) -> Option<&str> {
    match stop {
        Stop::Sequence(sequence) => sequence.as_deref(),
        Stop::End | Stop::Length | Stop::Window | Stop::ToolUse | Stop::Refusal | Stop::Paused => None,
    }
}

/// Here the input count contains nothing of the cache.
pub(super) fn usage(usage: &Usage) -> Value {
    let mut written = json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached_read,
        "output_tokens": usage.output,
    });
    if let (true, Some(members)) = (usage.reasoning > 0, written.as_object_mut()) {
        members.insert("output_tokens_details".to_owned(), json!({"thinking_tokens": usage.reasoning}));
    }
    written
}
