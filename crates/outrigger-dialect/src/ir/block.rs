//! Pieces of a turn.

use super::Extra;
use serde_json::{Map, Value};

/// One piece of a turn's content.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// What it is.
    pub body: Body,
    /// A mark that the prompt may be cached up to here, as the dialect wrote it.
    pub cache: Option<Value>,
    /// What else the dialect said about it.
    pub extra: Extra,
}

/// The kinds of content.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// Plain text.
    Text(String),
    /// An image, a document or a recording.
    Media(Media),
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// What a tool answered.
    ToolResult(ToolResult),
    /// The model's thinking. The signature is opaque and its provider's, or a [mark](mark_unsigned) of ours.
    Thinking { text: String, signature: Option<String> },
    /// Thinking that only its provider can read.
    Redacted(String),
    /// The model's words of refusal.
    Refusal(String),
    /// A block that only its own dialect knows, complete.
    Other(Extra),
}

/// An image, a document or a recording.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Media {
    pub kind: MediaKind,
    pub source: Source,
    /// A file name or title.
    pub title: Option<String>,
    /// How closely to look at it.
    pub detail: Option<String>,
}

/// Kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Image,
    Document,
    Audio,
}

/// Where a medium's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Here, in base64.
    Inline { media_type: String, data: String },
    /// Here, as plain text.
    Text(String),
    /// Behind an address that the provider fetches.
    Url(String),
    /// In the provider's own file store; means nothing to another provider.
    File(String),
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: Arguments,
}

/// Arguments of a tool call: models do write JSON that does not parse.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arguments {
    Object(Map<String, Value>),
    /// Anything that is no JSON object, word for word.
    Raw(String),
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolResult {
    pub call_id: String,
    /// Text and media.
    pub content: Vec<Block>,
    pub is_error: bool,
}

/// Thinking that no provider signed carries this where its signature would be: clients keep signatures untouched, so it is known again
/// when it comes back. The model's name follows where that model wants its thinking back; others refuse a message that has any.
pub(crate) const UNSIGNED: &str = "outrigger/thinking/";

/// The mark on unsigned thinking; `back_to` names the model that wants it back, or is empty.
pub(crate) fn mark_unsigned(back_to: &str) -> String {
    format!("{UNSIGNED}{back_to}")
}

/// Of a mark on unsigned thinking, the model that wants it back, or empty; `None` = a provider's own signature.
pub(crate) fn unsigned(signature: &str) -> Option<&str> {
    signature.strip_prefix(UNSIGNED)
}

/// The one member of an object that stands for arguments that are none. It goes out where a dialect insists on an object, and is taken
/// off again on the way back.
const RAW: &str = "__raw_arguments";

impl Arguments {
    /// Reads a dialect that writes arguments as a string. Empty is no arguments.
    pub(crate) fn parse(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::Object(Map::new());
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Self::Object(object),
            Ok(Value::Null) => Self::Object(Map::new()),
            Ok(_) | Err(_) => Self::Raw(text.to_owned()),
        }
    }

    /// Reads a dialect that writes arguments as an object.
    pub(crate) fn from_value(value: Value) -> Self {
        match value {
            Value::Object(object) => match object.get(RAW) {
                Some(Value::String(raw)) if object.len() == 1 => Self::Raw(raw.clone()),
                _ => Self::Object(object),
            },
            Value::Null => Self::Object(Map::new()),
            Value::String(text) => Self::parse(&text),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_)) => Self::Raw(other.to_string()),
        }
    }

    /// As a string of JSON, or of what should have been JSON.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Object(object) => Value::Object(object).to_string(),
            Self::Raw(raw) => raw,
        }
    }

    /// As an object, whatever it takes.
    pub(crate) fn into_object(self) -> Map<String, Value> {
        match self {
            Self::Object(object) => object,
            Self::Raw(raw) => Map::from_iter([(RAW.to_owned(), Value::String(raw))]),
        }
    }
}

impl Block {
    /// A block of which nothing else is said.
    pub(crate) fn of(body: Body) -> Self {
        Self {
            body,
            cache: None,
            extra: Extra::new(),
        }
    }

    /// Plain text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::of(Body::Text(text.into()))
    }

    /// The words of a text or a refusal.
    pub(crate) fn words(&self) -> Option<&str> {
        match &self.body {
            Body::Text(text) | Body::Refusal(text) => Some(text),
            Body::Media(_) | Body::ToolCall(_) | Body::ToolResult(_) | Body::Thinking { .. } | Body::Redacted(_) | Body::Other(_) => None,
        }
    }
}

/// The texts among `blocks`, a blank line between two.
pub(crate) fn join_texts(blocks: &[Block]) -> String {
    let texts: Vec<&str> = blocks.iter().filter_map(Block::words).filter(|text| !text.is_empty()).collect();
    texts.join("\n\n")
}
