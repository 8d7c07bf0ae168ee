//! OpenAI's chat completions, as clients speak them.

mod messages;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;

use serde_json::{Value, json};

/// The mark on `reasoning_details` that this crate makes. A name of its own, so that they are known again when they come back.
pub(crate) const DETAILS_FORMAT: &str = "outrigger-v1";
/// The mark that is in use elsewhere for signed thinking of the same shape.
const OTHERS_FORMAT: &str = "anthropic-claude-v1";

/// A thinking block as a member of `reasoning_details`: what a client sends back untouched, so that the signature survives.
pub(crate) fn thinking_detail(index: usize, text: &str, signature: Option<&str>) -> Value {
    let mut detail = json!({"type": "reasoning.text", "index": index, "format": DETAILS_FORMAT, "text": text});
    if let (Some(signature), Some(detail)) = (signature, detail.as_object_mut()) {
        detail.insert("signature".to_owned(), signature.into());
    }
    detail
}

/// A redacted thinking block, likewise.
pub(crate) fn redacted_detail(index: usize, data: &str) -> Value {
    json!({"type": "reasoning.encrypted", "index": index, "format": DETAILS_FORMAT, "data": data})
}
