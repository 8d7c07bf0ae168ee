//! Reads content blocks.

use crate::{
    fields::{Fields, missing, wrong},
    ir::{Arguments, Block, Body, Media, MediaKind, Source, ToolCall, ToolResult},
    untranslatable::Untranslatable,
};
use serde_json::Value;

/// The content at `key`: a string, or a list of blocks.
pub(super) fn content(fields: &mut Fields, key: &str, binding: &mut Vec<String>) -> Result<Vec<Block>, Untranslatable> {
    let at = fields.at(key);
    match fields.take(key) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Block::text(text)]),
        Some(Value::Array(blocks)) => blocks
            .into_iter()
            .enumerate()
            .map(|(i, block)| self::block(block, format!("{at}[{i}]"), binding))
            .collect(),
        Some(_) => Err(wrong(at, "a string or a list of content blocks")),
    }
}

fn block(block: Value, path: String, binding: &mut Vec<String>) -> Result<Block, Untranslatable> {
    let mut fields = Fields::of(block, path)?;
    let body = match fields.peek("type") {
        "text" => Body::Text(fields.required_text("text")?),
        "tool_use" => Body::ToolCall(ToolCall {
            id: fields.required_text("id")?,
            name: fields.required_text("name")?,
            arguments: Arguments::from_value(fields.take("input").unwrap_or(Value::Null)),
        }),
        "tool_result" => Body::ToolResult(ToolResult {
            call_id: fields.required_text("tool_use_id")?,
            content: content(&mut fields, "content", binding)?,
            is_error: fields.flag("is_error")?.unwrap_or(false),
        }),
        "thinking" => {
            let signature = fields.text("signature")?.filter(|signature| !signature.is_empty());
            Body::Thinking {
                text: fields.required_text("thinking")?,
                signature,
            }
        }
        "redacted_thinking" => Body::Redacted(fields.required_text("data")?),
        kind @ ("image" | "document") => {
            let kind = if kind == "image" { MediaKind::Image } else { MediaKind::Document };
            match media(&mut fields, kind, binding)? {
                Some(media) => Body::Media(media),
                None => return Ok(Block::of(Body::Other(fields.rest()))),
            }
        }
        _ => return Ok(Block::of(Body::Other(fields.rest()))),
    };
    fields.take("type");
    let cache = fields.take("cache_control");
    Ok(Block {
        body,
        cache,
        extra: fields.rest(),
    })
}

/// `None` for a source that only this dialect knows; nothing is taken out then.
fn media(fields: &mut Fields, kind: MediaKind, binding: &mut Vec<String>) -> Result<Option<Media>, Untranslatable> {
    let known = ["base64", "text", "url", "file"];
    let source_kind = fields
        .look("source")
        .and_then(|source| source.get("type"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if !known.contains(&source_kind.as_str()) {
        return Ok(None);
    }
    let at = fields.at("source");
    let mut source = fields.object("source")?.ok_or_else(|| missing(at))?;
    let source = match source_kind.as_str() {
        "base64" => Source::Inline {
            media_type: source.required_text("media_type")?,
            data: source.required_text("data")?,
        },
        "text" => Source::Text(source.required_text("data")?),
        "url" => Source::Url(source.required_text("url")?),
        _ => Source::File(source.required_text("file_id")?),
    };
    if fields.look("citations").and_then(|citations| citations.get("enabled")) == Some(&Value::Bool(true)) {
        binding.push(fields.at("citations"));
    }
    Ok(Some(Media {
        kind,
        source,
        title: fields.text("title")?,
        detail: None,
    }))
}
