//! Writes the conversation: roles alternate, the answers of all tools of a turn stand first in the one message of the user behind it, and
//! no text is blank.

use super::model::Model;
use crate::{
    ir::{Block, Body, Extra, Media, MediaKind, Role, Source, ToolCall, ToolResult, Turn, unsigned},
    untranslatable::Untranslatable,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// What the target takes.
pub(super) struct Style<'a> {
    /// The call was written in this dialect: its own fields and blocks go out again.
    pub own: bool,
    pub model: &'a Model,
}

/// The conversation, and what the rest of the request must know of it.
pub(super) struct Conversation {
    pub system: Vec<Value>,
    pub messages: Vec<Value>,
    /// Names of the tools that were called, each once.
    pub called: Vec<String>,
    /// It goes on behind a tool call whose thinking is lost.
    pub unsigned: bool,
}

struct Message {
    role: Role,
    blocks: Vec<Value>,
}

/// The conversation of a call.
pub(super) fn write(system: Vec<Block>, turns: Vec<Turn>, style: &Style<'_>) -> Result<Conversation, Untranslatable> {
    let mut system = blocks(system, "messages", style)?;
    let called = called(&turns);
    let mut messages: Vec<Message> = Vec::with_capacity(turns.len());
    for turn in turns {
        let role = role(turn.role, messages.last(), style);
        let mut written = blocks(turn.blocks, &format!("messages[{}]", turn.index), style)?;
        match messages.last_mut() {
            _ if written.is_empty() => {}
            Some(last) if last.role == role => last.blocks.append(&mut written),
            _ => messages.push(Message { role, blocks: written }),
        }
    }
    if messages.is_empty() && !system.is_empty() {
        messages.push(Message {
            role: Role::User,
            blocks: core::mem::take(&mut system),
        });
    }
    check_end(&mut messages, style)?;
    let unsigned = lost_thinking(&messages);
    let messages = messages.into_iter().map(Message::into_value).collect();
    Ok(Conversation {
        system,
        messages,
        called,
        unsigned,
    })
}

/// Instructions between the messages: a role of their own with newer models, but never between a tool call and its answer.
fn role(role: Role, before: Option<&Message>, style: &Style<'_>) -> Role {
    match role {
        Role::System if style.own => Role::System,
        Role::System if !style.model.system_turns || before.is_some_and(Message::calls_tools) => Role::User,
        Role::System | Role::User | Role::Assistant => role,
    }
}

fn check_end(messages: &mut [Message], style: &Style<'_>) -> Result<(), Untranslatable> {
    let Some(last) = messages.last_mut() else {
        return Err(Untranslatable::malformed(
            "messages",
            "messages must hold at least one message that is not empty",
        ));
    };
    if last.role != Role::Assistant || style.own {
        return Ok(());
    }
    if !style.model.prefill {
        let message = "the selected model does not continue a message of the assistant: the last message must be the user's or a tool's";
        return Err(Untranslatable::unsupported("messages", message));
    }
    // White space at the end of such a message is refused.
    if let Some(Value::String(text)) = last.blocks.last_mut().and_then(|block| block.get_mut("text")) {
        text.truncate(text.trim_end().len());
    }
    Ok(())
}

fn called(turns: &[Turn]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for block in turns.iter().flat_map(|turn| &turn.blocks) {
        if let Body::ToolCall(call) = &block.body
            && !names.contains(&call.name)
        {
            names.push(call.name.clone());
        }
    }
    names
}

/// The last message answers tools, and the assistant's message before it calls them without the thinking that led to it.
fn lost_thinking(messages: &[Message]) -> bool {
    let Some([.., assistant, user]) = messages.last_chunk::<2>().map(<[Message; 2]>::as_slice) else {
        return false;
    };
    let first = assistant.blocks.first().and_then(kind);
    user.blocks.first().and_then(kind) == Some("tool_result") && !matches!(first, Some("thinking" | "redacted_thinking"))
}

fn kind(block: &Value) -> Option<&str> {
    block.get("type").and_then(Value::as_str)
}

impl Message {
    fn calls_tools(&self) -> bool {
        self.role == Role::Assistant && self.blocks.iter().any(|block| kind(block) == Some("tool_use"))
    }

    fn into_value(mut self) -> Value {
        let role = match self.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        if self.role == Role::User {
            self.blocks.sort_by_key(|block| kind(block) != Some("tool_result"));
        }
        json!({"role": role, "content": self.blocks})
    }
}

fn blocks(blocks: Vec<Block>, at: &str, style: &Style<'_>) -> Result<Vec<Value>, Untranslatable> {
    let mut written = Vec::with_capacity(blocks.len());
    for block in blocks {
        if let Some(mut value) = body(block.body, at, style)? {
            if style.own {
                block.cache.map(|mark| value.insert("cache_control".to_owned(), mark));
                value.extend(block.extra);
            }
            written.push(Value::Object(value));
        }
    }
    Ok(written)
}

/// `None` for what is left out: blank texts, which are refused, and thinking that nobody signed.
fn body(body: Body, at: &str, style: &Style<'_>) -> Result<Option<Extra>, Untranslatable> {
    let block = match body {
        Body::Text(text) | Body::Refusal(text) if text.trim().is_empty() => return Ok(None),
        Body::Text(text) | Body::Refusal(text) => object(json!({"type": "text", "text": text})),
        Body::Media(media) => self::media(media, at, style)?,
        Body::ToolCall(ToolCall { id, name, arguments }) => {
            object(json!({"type": "tool_use", "id": safe_id(&id), "name": name, "input": arguments.into_object()}))
        }
        Body::ToolResult(result) => tool_result(result, at, style)?,
        Body::Thinking {
            signature: Some(signature),
            ..
        } if unsigned(&signature).is_some() => return Ok(None),
        Body::Thinking {
            text,
            signature: Some(signature),
        } => object(json!({"type": "thinking", "thinking": text, "signature": signature})),
        Body::Thinking { text, signature: None } if style.own => object(json!({"type": "thinking", "thinking": text, "signature": ""})),
        Body::Thinking { signature: None, .. } => return Ok(None),
        Body::Redacted(data) => object(json!({"type": "redacted_thinking", "data": data})),
        Body::Other(block) if style.own => block,
        Body::Other(block) => {
            let kind = block.get("type").and_then(Value::as_str).unwrap_or("unknown");
            return Err(Untranslatable::unsupported(
                at,
                format!("content of type {kind} cannot be sent to the selected provider"),
            ));
        }
    };
    Ok(Some(block))
}

fn object(value: Value) -> Extra {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Extra::new(),
    }
}

/// Ids of other providers may hold characters that are refused here (`functions.lookup:0`). Calls and results are renamed alike.
fn safe_id(id: &str) -> String {
    if id.is_empty() {
        return "call".to_owned();
    }
    id.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn tool_result(result: ToolResult, at: &str, style: &Style<'_>) -> Result<Extra, Untranslatable> {
    let mut written = object(json!({"type": "tool_result", "tool_use_id": safe_id(&result.call_id)}));
    let content = match result.content.as_slice() {
        [
            Block {
                body: Body::Text(text),
                cache: None,
                extra,
            },
        ] if extra.is_empty() => Value::String(text.clone()),
        _ => blocks(result.content, at, style)?.into(),
    };
    let empty = content.as_str().is_some_and(str::is_empty) || content.as_array().is_some_and(Vec::is_empty);
    if !empty {
        written.insert("content".to_owned(), content);
    }
    if result.is_error {
        written.insert("is_error".to_owned(), true.into());
    }
    Ok(written)
}

fn media(media: Media, at: &str, style: &Style<'_>) -> Result<Extra, Untranslatable> {
    let refuse = |what: String| Untranslatable::unsupported(at, format!("{what} cannot be sent to the selected provider"));
    let source = match (media.kind, media.source) {
        (MediaKind::Audio, _) => return Err(refuse("audio".to_owned())),
        (_, Source::File(id)) if style.own => json!({"type": "file", "file_id": id}),
        (_, Source::File(_)) => return Err(refuse("a file in another provider's store".to_owned())),
        (MediaKind::Image | MediaKind::Document, Source::Url(url)) => {
            let scheme = url
                .split_once(':')
                .map(|(scheme, _)| scheme.to_ascii_lowercase())
                .unwrap_or_default();
            if !style.own && !["http", "https"].contains(&scheme.as_str()) {
                return Err(Untranslatable::malformed(
                    at,
                    format!("{at}: media must be given as an http(s) URL or as a base64 data URL"),
                ));
            }
            json!({"type": "url", "url": url})
        }
        (MediaKind::Image | MediaKind::Document, Source::Text(text)) => json!({"type": "text", "media_type": "text/plain", "data": text}),
        (MediaKind::Image, Source::Inline { media_type, data }) => {
            let media_type = if media_type == "image/jpg" {
                "image/jpeg".to_owned()
            } else {
                media_type
            };
            if !style.own && !["image/jpeg", "image/png", "image/gif", "image/webp"].contains(&media_type.as_str()) {
                return Err(refuse(format!("an image of type {media_type}")));
            }
            json!({"type": "base64", "media_type": media_type, "data": data})
        }
        (MediaKind::Document, Source::Inline { media_type, data }) => {
            if style.own || media_type == "application/pdf" {
                json!({"type": "base64", "media_type": media_type, "data": data})
            } else if let Some(text) = plain_text(&media_type, &data) {
                json!({"type": "text", "media_type": "text/plain", "data": text})
            } else {
                return Err(refuse(format!("a document of type {media_type}")));
            }
        }
    };
    let kind = if media.kind == MediaKind::Image { "image" } else { "document" };
    let mut block = object(json!({"type": kind, "source": source}));
    if let Some(title) = media.title.filter(|_| media.kind == MediaKind::Document) {
        block.insert("title".to_owned(), title.into());
    }
    Ok(block)
}

fn plain_text(media_type: &str, data: &str) -> Option<String> {
    if !media_type.starts_with("text/") {
        return None;
    }
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}
