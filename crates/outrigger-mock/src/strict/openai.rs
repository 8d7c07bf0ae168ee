//! The rules of OpenAI's endpoints.

use serde_json::{Map, Value};

use super::{list, missing, text};

/// Top-level fields of a chat completion.
pub(super) const CHAT_FIELDS: [&str; 37] = [
    "model",
    "messages",
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// Top-level fields of a request for embeddings.
pub(super) const EMBEDDING_FIELDS: [&str; 5] = ["input", "model", "dimensions", "encoding_format", "user"];

pub(super) fn of_chat(fields: &Map<String, Value>) -> Vec<String> {
    let mut complaints: Vec<String> = ["model", "messages"].iter().filter_map(|name| missing(fields, name)).collect();
    let flag = |name: &str| fields.get(name).and_then(Value::as_bool).unwrap_or(false);
    let given = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    if given("stream_options") && !flag("stream") {
        complaints.push("`stream_options` needs `stream: true`".to_owned());
    }
    if given("top_logprobs") && !flag("logprobs") {
        complaints.push("`top_logprobs` needs `logprobs: true`".to_owned());
    }
    if given("tool_choice") && !given("tools") && fields.get("tool_choice").and_then(Value::as_str) != Some("none") {
        complaints.push("`tool_choice` needs `tools`".to_owned());
    }
    let messages = fields
        .get("messages")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if given("messages") && messages.is_empty() {
        complaints.push("`messages` must be a list with at least one message".to_owned());
    }
    complaints.extend(of_messages(messages));
    complaints
}

pub(super) fn of_embeddings(fields: &Map<String, Value>) -> Vec<String> {
    ["model", "input"].iter().filter_map(|name| missing(fields, name)).collect()
}

/// Each tool message answers a call of the assistant message before it, and each call is answered.
fn of_messages(messages: &[Value]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        if !matches!(role, "developer" | "system" | "user" | "assistant" | "tool" | "function") {
            complaints.push(format!("messages[{index}] has the role `{role}`"));
        }
        if role == "tool" {
            let id = text(message, "tool_call_id");
            match open.iter().position(|known| *known == id) {
                Some(position) => drop(open.swap_remove(position)),
                None => complaints.push(format!("messages[{index}] answers `{id}`, which no preceding `tool_calls` made")),
            }
            continue;
        }
        complaints.extend(unanswered(&open, index));
        open = list(message, "tool_calls").iter().map(|call| text(call, "id")).collect();
        for call in list(message, "tool_calls") {
            let arguments = call.get("function").and_then(|function| function.get("arguments"));
            if arguments.is_some_and(|arguments| !arguments.is_string()) {
                complaints.push(format!("messages[{index}]: `arguments` of a tool call must be a string"));
            }
        }
    }
    complaints.extend(unanswered(&open, messages.len()));
    complaints
}

fn unanswered(open: &[&str], index: usize) -> Option<String> {
    (!open.is_empty()).then(|| format!("`tool_calls` before messages[{index}] lack tool messages for {}", open.join(", ")))
}
