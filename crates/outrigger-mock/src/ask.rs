//! What an answer needs to know of the request.
//!
//! Decides nothing about validity (that is `strict`): it reads leniently, and what it cannot read is absent. It must never fail.

use serde_json::{Map, Value};

use crate::place::Dialect;

/// The request, as far as answers depend on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) choices: usize,
    /// Alternatives wanted for each token, if token probabilities are wanted at all.
    pub(crate) logprobs: Option<usize>,
    pub(crate) last_text: String,
    /// The last message brings tool results: the model goes on in words.
    pub(crate) brings_results: bool,
    /// The tool that must be called, and the schema of its arguments.
    pub(crate) forced_tool: Option<(String, Value)>,
    /// The schema that the text must keep to.
    pub(crate) schema: Option<Value>,
    /// Prompt length in tokens, four bytes each.
    pub(crate) prompt_tokens: u64,
}

/// Choices of one answer that are honoured at most.
const MOST_CHOICES: u64 = 16;

impl Ask {
    pub(crate) fn of(dialect: Dialect, body: &Map<String, Value>) -> Self {
        let messages = body
            .get("messages")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let flag = |key: &str| body.get(key).and_then(Value::as_bool).unwrap_or(false);
        let bytes: usize = ["messages", "system", "input", "tools"]
            .iter()
            .filter_map(|key| body.get(*key))
            .map(text_bytes)
            .sum();
        let include_usage = body
            .get("stream_options")
            .and_then(|options| options.get("include_usage"))
            .and_then(Value::as_bool);
        let alternatives = body.get("top_logprobs").and_then(Value::as_u64).unwrap_or(0).min(20);
        Self {
            model: body.get("model").and_then(Value::as_str).unwrap_or("mock").to_owned(),
            stream: flag("stream"),
            include_usage: include_usage.unwrap_or(false),
            choices: usize::try_from(body.get("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, MOST_CHOICES)).unwrap_or(1),
            logprobs: flag("logprobs").then_some(usize::try_from(alternatives).unwrap_or(0)),
            last_text: messages.iter().rev().find_map(user_text).unwrap_or_default(),
            brings_results: messages.last().is_some_and(brings_results),
            forced_tool: forced_tool(dialect, body),
            schema: schema(body),
            prompt_tokens: tokens(bytes),
        }
    }
}

/// Four bytes to a token, rounded up.
pub(crate) fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

/// Bytes of all texts inside a value.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(members) => members.values().map(text_bytes).sum(),
        Value::Number(_) => 4,
        Value::Null | Value::Bool(_) => 0,
    }
}

/// The text of a user's message; none if it is another's, or has no text.
fn user_text(message: &Value) -> Option<String> {
    if message.get("role")?.as_str()? != "user" {
        return None;
    }
    match message.get("content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
            (!texts.is_empty()).then(|| texts.join("\n"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn brings_results(message: &Value) -> bool {
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    let blocks = message
        .get("content")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    role == "tool"
        || blocks
            .iter()
            .any(|block| block.get("type").and_then(Value::as_str) == Some("tool_result"))
}

/// The tool that `tool_choice` leaves no way around.
fn forced_tool(dialect: Dialect, body: &Map<String, Value>) -> Option<(String, Value)> {
    let choice = body.get("tool_choice")?;
    let tools = body.get("tools")?.as_array()?;
    let name_of = |tool: &Value| -> Option<String> {
        let holder = if dialect == Dialect::OpenAi { tool.get("function")? } else { tool };
        holder.get("name")?.as_str().map(str::to_owned)
    };
    let kind = choice.as_str().or_else(|| choice.get("type").and_then(Value::as_str))?;
    let wanted = match kind {
        "required" | "any" => tools.first().and_then(name_of)?,
        "function" | "tool" => name_of(choice)?,
        _ => return None,
    };
    let tool = tools.iter().find(|tool| name_of(tool).as_deref() == Some(wanted.as_str()))?;
    let schema = match dialect {
        Dialect::OpenAi => tool.get("function")?.get("parameters"),
        Dialect::Anthropic => tool.get("input_schema"),
    };
    Some((wanted, schema.cloned().unwrap_or(Value::Null)))
}

/// The schema of `response_format` (OpenAI) or of `output_config.format` (Anthropic).
fn schema(body: &Map<String, Value>) -> Option<Value> {
    let anthropic = || body.get("output_config")?.get("format")?.get("schema").cloned();
    let Some(format) = body.get("response_format") else {
        return anthropic();
    };
    match format.get("type")?.as_str()? {
        "json_schema" => format.get("json_schema")?.get("schema").cloned(),
        "json_object" => Some(serde_json::json!({"type": "object", "properties": {"ok": {"type": "boolean"}}})),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(dialect: Dialect, body: &Value) -> Ask {
        Ask::of(dialect, body.as_object().unwrap())
    }

    #[test]
    fn the_last_user_text_is_found_behind_other_messages() {
        let body = json!({"messages": [
            {"role": "user", "content": "first"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "no"}
        ]});
        assert_eq!(ask(Dialect::OpenAi, &body).last_text, "a\nb");
    }

    #[test]
    fn tool_results_are_noticed_in_both_dialects() {
        let openai = json!({"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]});
        let anthropic = json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]}]});
        assert!(ask(Dialect::OpenAi, &openai).brings_results);
        assert!(ask(Dialect::Anthropic, &anthropic).brings_results);
    }

    #[test]
    fn a_forced_tool_comes_with_its_schema() {
        let openai = json!({
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}}
        });
        let anthropic = json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}});
        let expected = Some(("f".to_owned(), json!({"type": "object"})));
        assert_eq!(ask(Dialect::OpenAi, &openai).forced_tool, expected);
        assert_eq!(ask(Dialect::Anthropic, &anthropic).forced_tool, expected);
        assert_eq!(ask(Dialect::OpenAi, &json!({"tools": [], "tool_choice": "auto"})).forced_tool, None);
    }
}
