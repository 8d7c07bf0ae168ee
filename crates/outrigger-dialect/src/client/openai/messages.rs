//! Reads the messages of a chat completion: leading instructions go apart, a tool's answer becomes a turn of the user.

use super::{DETAILS_FORMAT, OTHERS_FORMAT};
use crate::{
    fields::{Fields, missing, wrong},
    ir::{Arguments, Block, Body, Call, Extra, Media, MediaKind, Role, Source, ToolCall, ToolResult, Turn},
    untranslatable::Untranslatable,
};
use serde_json::Value;

/// Reads `messages` into `call`.
pub(super) fn read(messages: Vec<Value>, call: &mut Call) -> Result<(), Untranslatable> {
    for (i, message) in messages.into_iter().enumerate() {
        let mut fields = Fields::of(message, format!("messages[{i}]"))?;
        let role = fields.required_text("role")?;
        let turn = match role.as_str() {
            "system" | "developer" if call.turns.is_empty() => {
                call.system.append(&mut content(&mut fields)?);
                continue;
            }
            "system" | "developer" => Turn {
                index: i,
                role: Role::System,
                blocks: content(&mut fields)?,
                extra: fields.rest(),
            },
            "user" => Turn {
                index: i,
                role: Role::User,
                blocks: content(&mut fields)?,
                extra: fields.rest(),
            },
            "assistant" => assistant(i, fields, &mut call.binding)?,
            "tool" => tool(i, fields)?,
            "function" => return Err(legacy(fields.at("role"))),
            _ => return Err(wrong(fields.at("role"), "one of system, developer, user, assistant, tool")),
        };
        call.turns.push(turn);
    }
    Ok(())
}

fn legacy(at: String) -> Untranslatable {
    Untranslatable::unsupported(
        at,
        "functions are superseded and cannot be sent to the selected provider; use tools instead",
    )
}

fn tool(index: usize, mut fields: Fields) -> Result<Turn, Untranslatable> {
    let call_id = fields.required_text("tool_call_id")?;
    let result = ToolResult {
        call_id,
        content: content(&mut fields)?,
        is_error: false,
    };
    Ok(Turn {
        index,
        role: Role::User,
        blocks: vec![Block::of(Body::ToolResult(result))],
        extra: fields.rest(),
    })
}

fn assistant(index: usize, mut fields: Fields, binding: &mut Vec<String>) -> Result<Turn, Untranslatable> {
    let mut blocks = thinking(&mut fields);
    blocks.append(&mut content(&mut fields)?);
    if let Some(refusal) = fields.text("refusal")? {
        blocks.push(Block::of(Body::Refusal(refusal)));
    }
    let at = fields.at("tool_calls");
    for (i, call) in fields.list("tool_calls")?.into_iter().enumerate() {
        blocks.push(tool_call(call, format!("{at}[{i}]"))?);
    }
    if fields.look("function_call").is_some() {
        return Err(legacy(fields.at("function_call")));
    }
    if fields.look("audio").is_some() {
        binding.push(fields.at("audio"));
    }
    Ok(Turn {
        index,
        role: Role::Assistant,
        blocks,
        extra: fields.rest(),
    })
}

/// `reasoning_details` that carry this crate's mark hold thinking word for word; without them plain reasoning text is all there is.
fn thinking(fields: &mut Fields) -> Vec<Block> {
    let text = fields.take("reasoning_content").or_else(|| fields.take("reasoning"));
    let restored: Vec<Block> = match fields.look("reasoning_details") {
        Some(Value::Array(details)) => details.iter().filter_map(restore).collect(),
        _ => Vec::new(),
    };
    if !restored.is_empty() {
        fields.take("reasoning_details");
        return restored;
    }
    match text {
        Some(Value::String(text)) if !text.is_empty() => vec![Block::of(Body::Thinking { text, signature: None })],
        _ => Vec::new(),
    }
}

fn restore(detail: &Value) -> Option<Block> {
    let text = |key: &str| detail.get(key).and_then(Value::as_str);
    if text("format").is_some_and(|format| ![DETAILS_FORMAT, OTHERS_FORMAT].contains(&format)) {
        return None;
    }
    match text("type")? {
        "reasoning.text" => {
            let signature = text("signature").filter(|signature| !signature.is_empty())?;
            let thinking = text("text").unwrap_or_default().to_owned();
            Some(Block::of(Body::Thinking {
                text: thinking,
                signature: Some(signature.to_owned()),
            }))
        }
        "reasoning.encrypted" => Some(Block::of(Body::Redacted(text("data")?.to_owned()))),
        _ => None,
    }
}

fn tool_call(call: Value, path: String) -> Result<Block, Untranslatable> {
    let mut fields = Fields::of(call, path)?;
    let kind = fields.peek("type");
    if !kind.is_empty() && kind != "function" {
        return Ok(Block::of(Body::Other(fields.rest())));
    }
    fields.take("type");
    let id = fields.text("id")?.unwrap_or_default();
    let at = fields.at("function");
    let mut function = fields.object("function")?.ok_or_else(|| missing(at))?;
    let name = function.required_text("name")?;
    let arguments = match function.take("arguments") {
        None => Arguments::Object(Extra::new()),
        Some(Value::String(text)) => Arguments::parse(&text),
        Some(object @ Value::Object(_)) => Arguments::from_value(object),
        Some(_) => return Err(wrong(function.at("arguments"), "a string of JSON")),
    };
    Ok(Block {
        body: Body::ToolCall(ToolCall { id, name, arguments }),
        cache: None,
        extra: fields.rest(),
    })
}

/// The message's `content`: a string, or a list of parts.
fn content(fields: &mut Fields) -> Result<Vec<Block>, Untranslatable> {
    let at = fields.at("content");
    match fields.take("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Block::text(text)]),
        Some(Value::Array(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(i, part)| self::part(part, format!("{at}[{i}]")))
            .collect(),
        Some(_) => Err(wrong(at, "a string or a list of parts")),
    }
}

fn part(part: Value, path: String) -> Result<Block, Untranslatable> {
    if let Value::String(text) = part {
        return Ok(Block::text(text));
    }
    let mut fields = Fields::of(part, path)?;
    let body = match fields.peek("type") {
        "text" => Body::Text(fields.required_text("text")?),
        "refusal" => Body::Refusal(fields.required_text("refusal")?),
        "image_url" => Body::Media(image(&mut fields)?),
        "file" => Body::Media(file(&mut fields)?),
        "input_audio" => Body::Media(audio(&mut fields)?),
        _ => return Ok(Block::of(Body::Other(fields.rest()))),
    };
    fields.take("type");
    Ok(Block {
        body,
        cache: None,
        extra: fields.rest(),
    })
}

fn image(fields: &mut Fields) -> Result<Media, Untranslatable> {
    let (url, detail) = if fields.look("image_url").is_some_and(Value::is_string) {
        (fields.required_text("image_url")?, None)
    } else {
        let at = fields.at("image_url");
        let mut image = fields.object("image_url")?.ok_or_else(|| missing(at))?;
        (image.required_text("url")?, image.text("detail")?)
    };
    Ok(Media {
        kind: MediaKind::Image,
        source: located(url),
        title: None,
        detail,
    })
}

fn file(fields: &mut Fields) -> Result<Media, Untranslatable> {
    let at = fields.at("file");
    let mut file = fields.object("file")?.ok_or_else(|| missing(at))?;
    let source = match (file.text("file_data")?, file.text("file_id")?) {
        (Some(data), _) => match located(data) {
            // Some clients send the bare base64 of what is nearly always a PDF.
            Source::Url(data) if !data.contains(':') => Source::Inline {
                media_type: "application/pdf".to_owned(),
                data,
            },
            source @ (Source::Inline { .. } | Source::Text(_) | Source::Url(_) | Source::File(_)) => source,
        },
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(wrong(file.path().to_owned(), "an object with file_data or file_id")),
    };
    Ok(Media {
        kind: MediaKind::Document,
        source,
        title: file.text("filename")?,
        detail: None,
    })
}

fn audio(fields: &mut Fields) -> Result<Media, Untranslatable> {
    let at = fields.at("input_audio");
    let mut audio = fields.object("input_audio")?.ok_or_else(|| missing(at))?;
    let media_type = format!("audio/{}", audio.required_text("format")?);
    Ok(Media {
        kind: MediaKind::Audio,
        source: Source::Inline {
            media_type,
            data: audio.required_text("data")?,
        },
        title: None,
        detail: None,
    })
}

/// A base64 data URL is the medium itself; anything else is an address.
fn located(url: String) -> Source {
    let inline = url
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("data:"))
        .and_then(|_| url.get(5..))
        .and_then(|rest| rest.split_once(','))
        .and_then(|(kind, data)| {
            let (kind, coding) = kind.rsplit_once(';')?;
            let media_type = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            (coding.trim().eq_ignore_ascii_case("base64")).then(|| Source::Inline {
                media_type,
                data: data.to_owned(),
            })
        });
    inline.unwrap_or(Source::Url(url))
}
