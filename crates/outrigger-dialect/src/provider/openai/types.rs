//! What a chat completion looks like on the wire, with the shapes that OpenAI-like providers are known to send instead. Errors and usage
//! are not read here: the facts of an answer are the same whether it is translated or not.

use crate::lenient::{lenient, lenient_list};
use serde::Deserialize;
use serde_json::Value;

/// A whole answer, or a chunk of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Completion {
    #[serde(deserialize_with = "lenient")]
    pub id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub model: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub created: Option<u64>,
    #[serde(deserialize_with = "lenient_list")]
    pub choices: Vec<Choice>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    #[serde(deserialize_with = "lenient")]
    pub index: usize,
    #[serde(deserialize_with = "lenient")]
    pub message: Message,
    #[serde(deserialize_with = "lenient")]
    pub delta: Message,
    #[serde(deserialize_with = "lenient")]
    pub finish_reason: Option<String>,
    /// vLLM: the stop string that matched.
    #[serde(deserialize_with = "lenient")]
    pub stop_reason: Option<String>,
    pub logprobs: Option<Value>,
}

/// A message, or more of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    /// A string; with Mistral also a list of chunks.
    content: Option<Value>,
    #[serde(deserialize_with = "lenient")]
    reasoning_content: Option<String>,
    #[serde(deserialize_with = "lenient")]
    reasoning: Option<String>,
    #[serde(deserialize_with = "lenient")]
    refusal: Option<String>,
    #[serde(deserialize_with = "lenient_list")]
    pub tool_calls: Vec<ToolCall>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToolCall {
    #[serde(deserialize_with = "lenient")]
    pub index: Option<usize>,
    #[serde(deserialize_with = "lenient")]
    pub id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub function: Function,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Function {
    #[serde(deserialize_with = "lenient")]
    pub name: Option<String>,
    /// A string of JSON; with some an object.
    pub arguments: Option<Value>,
}

/// Something that the model said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// `echo`: the model wants it back with the turn.
    Thinking {
        text: String,
        echo: bool,
    },
    Text(String),
    Refusal(String),
}

impl Message {
    /// What it says, thinking first; nothing empty.
    pub(super) fn said(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        // Where both are sent they say the same. Only providers that use the first name are known to want the text back.
        let echoed = self.reasoning_content.take().filter(|text| !text.is_empty());
        let plain = self.reasoning.take().filter(|_| echoed.is_none());
        said.extend(echoed.map(|text| Said::Thinking { text, echo: true }));
        said.extend(plain.map(|text| Said::Thinking { text, echo: false }));
        match self.content.take() {
            Some(Value::String(text)) => said.push(Said::Text(text)),
            Some(Value::Array(chunks)) => said.extend(chunks.iter().filter_map(chunk)),
            _ => {}
        }
        said.extend(self.refusal.take().map(Said::Refusal));
        said.retain(|(Said::Thinking { text, .. } | Said::Text(text) | Said::Refusal(text))| !text.is_empty());
        said
    }
}

fn chunk(chunk: &Value) -> Option<Said> {
    let text = |value: &Value| value.get("text").and_then(Value::as_str).map(str::to_owned);
    match chunk.get("type").and_then(Value::as_str)? {
        "text" => text(chunk).map(Said::Text),
        "thinking" => match chunk.get("thinking")? {
            Value::String(text) => Some(Said::Thinking {
                text: text.clone(),
                echo: false,
            }),
            Value::Array(parts) => Some(Said::Thinking {
                text: parts.iter().filter_map(text).collect(),
                echo: false,
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        },
        _ => None,
    }
}

impl ToolCall {
    /// The id, where it is one: Mistral is known to write the word null.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| !id.is_empty() && *id != "null")
    }
}
