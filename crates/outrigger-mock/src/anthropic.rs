//! Anthropic's spelling of an answer: messages and their events.
//!
//! Decides field names and the order of events, as the official SDKs expect them. It must never decide what is said.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::behaviour::Tokens;
use crate::reply::{Reply, ToolUse, even};
use crate::score::Event;

/// A whole message.
pub(crate) fn message(reply: &Reply) -> Value {
    let mut content = Vec::new();
    if !reply.thinking.is_empty() {
        content.push(json!({"type": "thinking", "thinking": reply.thinking.concat(), "signature": signature(reply)}));
    }
    if !reply.text.is_empty() {
        content.push(json!({"type": "text", "text": reply.text.concat()}));
    }
    for (position, tool) in reply.tools.iter().enumerate() {
        // `input` is an object here: arguments that are broken on purpose can only show in a stream.
        let input = serde_json::from_str(&tool.arguments).unwrap_or_else(|_| json!({}));
        content.push(json!({"type": "tool_use", "id": tool_id(reply, tool, position), "name": tool.name, "input": input}));
    }
    envelope(
        reply,
        &content,
        Some(stop_reason(&reply.finish)),
        &usage(&reply.tokens, reply.tokens.output),
    )
}

/// The same message as events.
pub(crate) fn stream(reply: &Reply) -> Vec<Event> {
    let started = envelope(reply, &[], None, &usage(&reply.tokens, 1));
    let mut events = vec![event("message_start", &json!({"type": "message_start", "message": started})).opening()];
    let mut blocks = Blocks {
        events: &mut events,
        index: 0,
    };
    if !reply.thinking.is_empty() {
        blocks.open(&json!({"type": "thinking", "thinking": "", "signature": ""}));
        for part in &reply.thinking {
            blocks.delta(&json!({"type": "thinking_delta", "thinking": part}));
        }
        blocks.delta(&json!({"type": "signature_delta", "signature": signature(reply)}));
        blocks.close();
    }
    if !reply.text.is_empty() {
        blocks.open(&json!({"type": "text", "text": ""}));
        for part in &reply.text {
            blocks.delta(&json!({"type": "text_delta", "text": part}));
        }
        blocks.close();
    }
    for (position, tool) in reply.tools.iter().enumerate() {
        blocks.open(&json!({"type": "tool_use", "id": tool_id(reply, tool, position), "name": tool.name, "input": {}}));
        blocks.delta(&json!({"type": "input_json_delta", "partial_json": ""}));
        for part in even(&tool.arguments, 3) {
            blocks.delta(&json!({"type": "input_json_delta", "partial_json": part}));
        }
        blocks.close();
    }
    let delta = json!({"stop_reason": stop_reason(&reply.finish), "stop_sequence": null});
    // Cumulative: it replaces what `message_start` said.
    let usage = usage(&reply.tokens, reply.tokens.output);
    events.push(event("message_delta", &json!({"type": "message_delta", "delta": delta, "usage": usage})).closing());
    events.push(event("message_stop", &json!({"type": "message_stop"})).closing());
    events
}

/// The keep-alive of this dialect.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")
}

fn envelope(reply: &Reply, content: &[Value], stop_reason: Option<&str>, usage: &Value) -> Value {
    json!({
        "id": format!("msg_{}", reply.tag), "type": "message", "role": "assistant", "model": reply.model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    })
}

fn usage(tokens: &Tokens, output: u64) -> Value {
    json!({
        "input_tokens": tokens.input, "cache_creation_input_tokens": tokens.cache_write, "cache_read_input_tokens": tokens.cached_read,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output, "output_tokens_details": {"thinking_tokens": tokens.reasoning.min(output)}, "service_tier": "standard",
    })
}

fn stop_reason(finish: &str) -> &str {
    match finish {
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        other => other,
    }
}

fn signature(reply: &Reply) -> String {
    format!("signed-{}", reply.tag)
}

fn tool_id(reply: &Reply, tool: &ToolUse, position: usize) -> String {
    tool.id.clone().unwrap_or_else(|| format!("toolu_{}-{position}", reply.tag))
}

fn event(name: &str, value: &Value) -> Event {
    Event::content(Bytes::from(format!("event: {name}\ndata: {value}\n\n")))
}

/// Content blocks under way: they never interleave.
struct Blocks<'a> {
    events: &'a mut Vec<Event>,
    index: usize,
}

impl Blocks<'_> {
    fn open(&mut self, block: &Value) {
        let started = json!({"type": "content_block_start", "index": self.index, "content_block": block});
        self.events.push(event("content_block_start", &started).opening());
        if self.index == 0 {
            // The original sends one here in every stream.
            self.events.push(Event::opening_bytes(ping()));
        }
    }

    fn delta(&mut self, delta: &Value) {
        let value = json!({"type": "content_block_delta", "index": self.index, "delta": delta});
        self.events.push(event("content_block_delta", &value));
    }

    fn close(&mut self) {
        self.events
            .push(event("content_block_stop", &json!({"type": "content_block_stop", "index": self.index})).closing());
        self.index += 1;
    }
}
