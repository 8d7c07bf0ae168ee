//! Writes the messages of a chat completion: every tool's answer is a message of its own, right behind the call; what such a message
//! cannot hold follows in a message of the user.

use crate::{
    client::openai::{redacted_detail, thinking_detail},
    ir::{Block, Body, Extra, Media, MediaKind, Role, Source, ToolCall, ToolResult, Turn, join_texts, unsigned},
    untranslatable::Untranslatable,
};
use serde_json::{Value, json};

/// What the target takes.
pub(super) struct Style<'a> {
    /// The call was written in this dialect: its own fields and blocks go out again.
    pub own: bool,
    pub model: &'a str,
}

/// The list of messages.
pub(super) fn write(system: &[Block], turns: Vec<Turn>, style: &Style<'_>) -> Result<Vec<Value>, Untranslatable> {
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if !system.is_empty() {
        messages.push(instructions(system, Extra::new(), style));
    }
    for turn in turns {
        let at = format!("messages[{}]", turn.index);
        match turn.role {
            Role::System => messages.push(instructions(&turn.blocks, turn.extra, style)),
            Role::User => user(turn, &at, style, &mut messages)?,
            Role::Assistant => assistant(turn, &at, style, &mut messages)?,
        }
    }
    Ok(messages)
}

fn message(role: &str, extra: Extra, style: &Style<'_>) -> Extra {
    let mut message = Extra::new();
    message.insert("role".to_owned(), role.into());
    if style.own {
        message.extend(extra);
    }
    message
}

fn instructions(blocks: &[Block], extra: Extra, style: &Style<'_>) -> Value {
    let mut message = message("system", extra, style);
    message.insert("content".to_owned(), join_texts(blocks).into());
    Value::Object(message)
}

fn user(turn: Turn, at: &str, style: &Style<'_>, messages: &mut Vec<Value>) -> Result<(), Untranslatable> {
    let mut parts = Vec::new();
    let mut said = Vec::new();
    for block in turn.blocks {
        if let Body::ToolResult(result) = block.body {
            messages.push(tool_result(result, turn.extra.clone(), at, style, &mut parts)?);
        } else {
            said.push(block);
        }
    }
    let only_text = parts.is_empty()
        && said
            .iter()
            .all(|block| matches!(block.body, Body::Text(_)) && block.extra.is_empty());
    if said.is_empty() && parts.is_empty() {
        return Ok(());
    }
    let mut message = message("user", turn.extra, style);
    // A string is understood by every model behind this dialect, a list of parts is not.
    let content = if only_text {
        join_texts(&said).into()
    } else {
        for block in said {
            parts.push(part(block, at, style)?);
        }
        Value::Array(parts)
    };
    message.insert("content".to_owned(), content);
    messages.push(Value::Object(message));
    Ok(())
}

/// Media of the result go to `parts`, for the user's message behind it.
fn tool_result(result: ToolResult, extra: Extra, at: &str, style: &Style<'_>, parts: &mut Vec<Value>) -> Result<Value, Untranslatable> {
    let text = join_texts(&result.content);
    let mut media = Vec::new();
    for block in result.content {
        match block.body {
            Body::Text(_) | Body::Refusal(_) => {}
            Body::Media(_) | Body::ToolCall(_) | Body::ToolResult(_) | Body::Thinking { .. } | Body::Redacted(_) | Body::Other(_) => {
                media.push(part(block, at, style)?);
            }
        }
    }
    let text = match (text.is_empty(), media.is_empty(), result.is_error) {
        (true, false, _) => "The result follows in the next message.".to_owned(),
        (true, true, true) => "The tool failed.".to_owned(),
        _ => text,
    };
    if !media.is_empty() {
        parts.push(json!({"type": "text", "text": format!("Result of tool call {}:", result.call_id)}));
        parts.append(&mut media);
    }
    let mut message = message("tool", extra, style);
    message.insert("tool_call_id".to_owned(), result.call_id.into());
    message.insert("content".to_owned(), text.into());
    Ok(Value::Object(message))
}

fn assistant(turn: Turn, at: &str, style: &Style<'_>, messages: &mut Vec<Value>) -> Result<(), Untranslatable> {
    let mut text = String::new();
    let mut reasoning = String::new();
    let mut details = Vec::new();
    let mut refusal = String::new();
    let mut calls = Vec::new();
    for block in turn.blocks {
        match block.body {
            Body::Refusal(piece) if style.own => refusal.push_str(&piece),
            Body::Text(piece) | Body::Refusal(piece) => text.push_str(&piece),
            Body::ToolCall(call) => calls.push(tool_call(call, block.extra, style)),
            Body::Thinking { text, signature } => match signature {
                Some(signature) if style.own && unsigned(&signature).is_none() => {
                    details.push(thinking_detail(details.len(), &text, Some(&signature)));
                }
                signature if wanted(signature.as_deref(), style) => reasoning.push_str(&text),
                Some(_) | None => {}
            },
            Body::Redacted(data) if style.own => details.push(redacted_detail(details.len(), &data)),
            Body::Redacted(_) => {}
            Body::Other(other) if style.own => calls.push(Value::Object(other)),
            Body::Media(_) | Body::ToolResult(_) | Body::Other(_) => return Err(foreign(&block.body, at)),
        }
    }
    if text.is_empty() && calls.is_empty() && refusal.is_empty() && turn.extra.is_empty() {
        return Ok(());
    }
    let mut message = message("assistant", turn.extra, style);
    if !reasoning.is_empty() {
        message.insert("reasoning_content".to_owned(), reasoning.into());
    }
    if !details.is_empty() {
        message.insert("reasoning_details".to_owned(), details.into());
    }
    let content = if text.is_empty() && !calls.is_empty() {
        Value::Null
    } else {
        text.into()
    };
    message.insert("content".to_owned(), content);
    if !refusal.is_empty() {
        message.insert("refusal".to_owned(), refusal.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    messages.push(Value::Object(message));
    Ok(())
}

/// Whether the model wants this thinking back: only the one that thought it does. A provider's signature means nothing to another one.
fn wanted(signature: Option<&str>, style: &Style<'_>) -> bool {
    match signature.map(unsigned) {
        None => style.own,
        Some(None) => false,
        // What answers may call itself `model-2026-11-01`.
        Some(Some(model)) => style.own || !model.is_empty() && (model.starts_with(style.model) || style.model.starts_with(model)),
    }
}

fn tool_call(call: ToolCall, extra: Extra, style: &Style<'_>) -> Value {
    let mut written = Extra::new();
    written.insert("id".to_owned(), call.id.into());
    written.insert("type".to_owned(), "function".into());
    written.insert(
        "function".to_owned(),
        json!({"name": call.name, "arguments": call.arguments.into_text()}),
    );
    if style.own {
        written.extend(extra);
    }
    Value::Object(written)
}

fn part(block: Block, at: &str, style: &Style<'_>) -> Result<Value, Untranslatable> {
    let mut part = match block.body {
        Body::Text(text) | Body::Refusal(text) => Extra::from_iter([("type".to_owned(), "text".into()), ("text".to_owned(), text.into())]),
        Body::Media(media) => self::media(media, at, style)?,
        Body::Other(other) if style.own => other,
        Body::Other(_) | Body::ToolCall(_) | Body::ToolResult(_) | Body::Thinking { .. } | Body::Redacted(_) => {
            return Err(foreign(&block.body, at));
        }
    };
    if style.own {
        part.extend(block.extra);
    }
    Ok(Value::Object(part))
}

fn media(media: Media, at: &str, style: &Style<'_>) -> Result<Extra, Untranslatable> {
    let refuse = |what: &str| {
        Err(Untranslatable::unsupported(
            at,
            format!("{what} cannot be sent to the selected provider"),
        ))
    };
    let named = |kind: &str, value: Value| Ok(Extra::from_iter([("type".to_owned(), kind.into()), (kind.to_owned(), value)]));
    match (media.kind, media.source) {
        (MediaKind::Image, source @ (Source::Inline { .. } | Source::Url(_))) => {
            let mut image = Extra::from_iter([("url".to_owned(), url(source).into())]);
            media.detail.map(|detail| image.insert("detail".to_owned(), detail.into()));
            named("image_url", Value::Object(image))
        }
        (MediaKind::Document, source @ Source::Inline { .. }) => {
            let name = media.title.unwrap_or_else(|| "document.pdf".to_owned());
            named("file", json!({"filename": name, "file_data": url(source)}))
        }
        (MediaKind::Document, Source::Text(text)) => {
            let titled = media.title.map_or_else(|| text.clone(), |title| format!("{title}\n\n{text}"));
            named("text", titled.into())
        }
        (MediaKind::Document, Source::File(id)) if style.own => named("file", json!({"file_id": id})),
        (MediaKind::Audio, Source::Inline { media_type, data }) => {
            let format = media_type.strip_prefix("audio/").unwrap_or(&media_type);
            named("input_audio", json!({"data": data, "format": format}))
        }
        (_, Source::File(_)) => refuse("a file in another provider's store"),
        (MediaKind::Document, Source::Url(_)) => refuse("a document by its URL"),
        (MediaKind::Image | MediaKind::Audio, Source::Text(_)) | (MediaKind::Audio, Source::Url(_)) => refuse("a medium of this kind"),
    }
}

fn url(source: Source) -> String {
    match source {
        Source::Inline { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Url(url) | Source::Text(url) | Source::File(url) => url,
    }
}

fn foreign(body: &Body, at: &str) -> Untranslatable {
    let kind = match body {
        Body::Other(block) => block.get("type").and_then(Value::as_str).unwrap_or("unknown"),
        Body::Media(_) => "image or document",
        Body::ToolResult(_) => "tool_result",
        Body::ToolCall(_) => "tool_use",
        Body::Thinking { .. } | Body::Redacted(_) => "thinking",
        Body::Text(_) | Body::Refusal(_) => "text",
    };
    Untranslatable::unsupported(
        at,
        format!("content of type {kind} cannot be sent to the selected provider in this place"),
    )
}
