//! Thinking in the history that another dialect's provider did. A call that stays in its dialect goes out as the client's own bytes, but a
//! provider refuses thinking that it did not sign and fields that it does not know; so these blocks, and nothing else, must go.

use crate::{client::openai::DETAILS_FORMAT, ir::UNSIGNED};
use memchr::memmem;
use outrigger_core::Dialect;
use serde_json::Value;

/// The body of a call in `dialect` without the thinking that this crate once wrote into an answer for it, to be sent to a provider of the
/// same dialect. `None` = there is none, which is found out without parsing: the body can go as it is. Needed only where targets of
/// several dialects may have served one conversation.
pub fn without_foreign_thinking(dialect: Dialect, body: &[u8]) -> Option<Vec<u8>> {
    let mark = match dialect {
        Dialect::OpenAi => DETAILS_FORMAT,
        Dialect::Anthropic => UNSIGNED,
    };
    memmem::find(body, mark.as_bytes())?;
    let mut call: Value = serde_json::from_slice(body).ok()?;
    let messages = call.get_mut("messages")?.as_array_mut()?;
    let mut found = false;
    for message in messages.iter_mut() {
        found |= match dialect {
            Dialect::OpenAi => openai(message),
            Dialect::Anthropic => anthropic(message),
        };
    }
    messages.retain(|message| {
        message
            .get("content")
            .and_then(Value::as_array)
            .is_none_or(|content| !content.is_empty())
    });
    found.then(|| call.to_string().into_bytes())
}

fn openai(message: &mut Value) -> bool {
    let ours = |detail: &Value| detail.get("format").and_then(Value::as_str) == Some(DETAILS_FORMAT);
    let marked = message
        .get("reasoning_details")
        .and_then(Value::as_array)
        .is_some_and(|details| details.iter().any(ours));
    match message.as_object_mut() {
        Some(fields) if marked => {
            fields.shift_remove("reasoning_details");
            fields.shift_remove("reasoning_content");
            true
        }
        _ => false,
    }
}

fn anthropic(message: &mut Value) -> bool {
    let Some(content) = message.get_mut("content").and_then(Value::as_array_mut) else {
        return false;
    };
    let before = content.len();
    content.retain(|block| {
        !block
            .get("signature")
            .and_then(Value::as_str)
            .is_some_and(|signature| signature.starts_with(UNSIGNED))
    });
    content.len() < before
}
