//! The rules of Anthropic's endpoints.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::{list, missing, text};

/// Top-level fields of a message.
pub(super) const FIELDS: [&str; 23] = [
    "model",
    "messages",
    "max_tokens",
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "metadata",
    "output_config",
    "output_format",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// The version that no longer takes sampling parameters.
const WITHOUT_SAMPLING: &str = "2026-10-21";

/// `generates`: an answer is asked for, not a count.
pub(super) fn of_messages(fields: &Map<String, Value>, headers: &HeaderMap, generates: bool) -> Vec<String> {
    let mut complaints: Vec<String> = ["model", "messages"].iter().filter_map(|name| missing(fields, name)).collect();
    if generates {
        complaints.extend(missing(fields, "max_tokens"));
    }
    if headers.get("anthropic-version").is_some_and(|version| version == WITHOUT_SAMPLING) {
        let refused = ["temperature", "top_p", "top_k"]
            .into_iter()
            .filter(|name| fields.contains_key(*name));
        complaints.extend(refused.map(|name| format!("`{name}` is not taken since version {WITHOUT_SAMPLING}")));
    }
    let messages = fields
        .get("messages")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    if fields.contains_key("messages") && messages.is_empty() {
        complaints.push("`messages` must be a list with at least one message".to_owned());
    }
    if messages.first().is_some_and(|first| text(first, "role") == "assistant") {
        complaints.push("the first message must not be the assistant's".to_owned());
    }
    complaints.extend(of_tools(fields));
    complaints.extend(of_results(messages));
    complaints
}

fn of_tools(fields: &Map<String, Value>) -> Vec<String> {
    let tools = fields.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut complaints = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let name = text(tool, "name");
        if name.is_empty()
            || name.len() > 128
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        {
            complaints.push(format!("tools[{index}] has the name `{name}`"));
        }
        // Typed tools run at the provider and bring no schema.
        let own = tool.get("type").is_none_or(|kind| kind == "custom");
        if own
            && tool
                .get("input_schema")
                .and_then(|schema| schema.get("type"))
                .is_none_or(|kind| kind != "object")
        {
            complaints.push(format!("tools[{index}].input_schema must be a schema of type object"));
        }
    }
    if fields.get("tool_choice").is_some_and(|choice| !choice.is_null()) && tools.is_empty() {
        complaints.push("`tool_choice` needs `tools`".to_owned());
    }
    complaints
}

/// Results stand first in the message after the calls, one for each; consecutive messages of a role count as one.
fn of_results(messages: &[Value]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut previous = "";
    let mut words = false;
    for (index, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        if !matches!(role, "user" | "assistant" | "system") {
            complaints.push(format!("messages[{index}] has the role `{role}`"));
        }
        if role == "assistant" && previous != "assistant" {
            complaints.extend(unanswered(&open, index));
            open.clear();
        }
        words &= role == previous;
        previous = role;
        if message.get("content").and_then(Value::as_str).is_some() {
            words = true;
        }
        for block in list(message, "content") {
            match text(block, "type") {
                "tool_use" if role == "assistant" => open.push(text(block, "id")),
                "tool_result" => {
                    let id = text(block, "tool_use_id");
                    match open.iter().position(|known| *known == id) {
                        Some(position) => drop(open.swap_remove(position)),
                        None => complaints.push(format!(
                            "messages[{index}] has a result for `{id}`, which the message before did not call"
                        )),
                    }
                    if words {
                        complaints.push(format!("messages[{index}]: the result for `{id}` must precede other content"));
                    }
                }
                "text" if text(block, "text").is_empty() => complaints.push(format!("messages[{index}] has an empty text block")),
                _ => words = true,
            }
        }
    }
    if previous != "assistant" {
        complaints.extend(unanswered(&open, messages.len()));
    }
    complaints
}

fn unanswered(open: &[&str], index: usize) -> Option<String> {
    (!open.is_empty()).then(|| format!("tool calls before messages[{index}] lack results for {}", open.join(", ")))
}
