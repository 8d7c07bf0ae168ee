//! Writes a whole chat completion.

use super::{redacted_detail, thinking_detail};
use crate::{
    ir::{Answer, Body, Extra, Reply, Stop, ToolCall},
    translate::Asked,
};
use outrigger_core::Usage;
use serde_json::{Value, json};

/// The body of the answer.
pub(crate) fn reply(reply: Reply, used: Option<&Usage>, asked: &Asked) -> Value {
    let choices: Vec<Value> = reply
        .answers
        .into_iter()
        .enumerate()
        .map(|(index, answer)| choice(index, answer, asked))
        .collect();
    json!({
        "id": id(reply.id, asked),
        "object": "chat.completion",
        "created": reply.created.unwrap_or(asked.created),
        "model": reply.model.unwrap_or_else(|| asked.model.clone()),
        "choices": choices,
        "usage": used.map(usage),
    })
}

/// The provider's id where it looks like this dialect's, else one made of the caller's.
pub(super) fn id(id: Option<String>, asked: &Asked) -> String {
    id.filter(|id| id.starts_with("chatcmpl"))
        .unwrap_or_else(|| format!("chatcmpl-{}", asked.id))
}

/// The id of an answer's `n`th tool call, where the provider gave none.
pub(super) fn call_id(id: String, n: usize, asked_id: &str) -> String {
    if id.is_empty() { format!("call_{asked_id}_{n}") } else { id }
}

fn choice(index: usize, answer: Answer, asked: &Asked) -> Value {
    let finish_reason = finish_reason(&answer.stop);
    let mut text = String::new();
    let mut refusal = String::new();
    let mut reasoning = String::new();
    let mut details = Vec::new();
    let mut calls = Vec::new();
    for block in answer.blocks {
        match block.body {
            Body::Text(piece) => text.push_str(&piece),
            Body::Refusal(piece) => refusal.push_str(&piece),
            Body::Thinking { text, signature } => {
                reasoning.push_str(&text);
                details.push(thinking_detail(details.len(), &text, signature.as_deref()));
            }
            Body::Redacted(data) => details.push(redacted_detail(details.len(), &data)),
            Body::ToolCall(ToolCall { id, name, arguments }) => {
                let id = call_id(id, calls.len(), &asked.id);
                calls.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments.into_text()}}));
            }
            // No provider answers with these in a form that this dialect could show.
            Body::Media(_) | Body::ToolResult(_) | Body::Other(_) => {}
        }
    }
    let mut message = Extra::new();
    message.insert("role".to_owned(), "assistant".into());
    let silent = text.is_empty() && !(calls.is_empty() && refusal.is_empty());
    message.insert("content".to_owned(), if silent { Value::Null } else { text.into() });
    message.insert("refusal".to_owned(), if refusal.is_empty() { Value::Null } else { refusal.into() });
    if !reasoning.is_empty() {
        message.insert("reasoning_content".to_owned(), reasoning.into());
    }
    if !details.is_empty() {
        message.insert("reasoning_details".to_owned(), details.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    json!({"index": index, "message": message, "logprobs": answer.logprobs, "finish_reason": finish_reason})
}

pub(super) fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Paused => "stop",
        Stop::Length | Stop::Window => "length",
        Stop::ToolUse => "tool_calls",
        Stop::Refusal => "content_filter",
    }
}

/// Here the prompt count contains what the cache gave and took, and the completion count contains reasoning.
pub(super) fn usage(usage: &Usage) -> Value {
    let prompt = usage.input.saturating_add(usage.cached_read).saturating_add(usage.cache_write);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt.saturating_add(usage.output),
        "prompt_tokens_details": {"cached_tokens": usage.cached_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}
