//! From one dialect into another: a call, a whole answer, a stream. It must never add to an answer what the provider did not say.
//!
//! ```text
//! client's call ──client::call──► Call ──provider::call──► body for the target
//! client's answer ◄──client::reply── Reply ◄──provider::reply── target's answer
//! client's events ◄──client::Encoder── Event ◄──provider::Decoder── target's events
//! ```

mod foreign;
mod stream;

pub use foreign::without_foreign_thinking;
pub use stream::Translator;

use crate::{
    client, provider,
    report::Report,
    unary::{self, BadBody},
    untranslatable::Untranslatable,
};
use outrigger_core::{Dialect, Endpoint, ModelFacts, Quirks};

/// What a call must be written for.
#[derive(Clone, Copy, Debug)]
pub struct TargetTraits<'a> {
    /// The provider's name of the model.
    pub model: &'a str,
    /// What is known of the model.
    pub facts: &'a ModelFacts,
    /// What the provider does differently.
    pub quirks: &'a Quirks,
    /// The answer shall be a stream.
    pub stream: bool,
}

/// What of the request its answer needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Makes ids where the provider gives none that fit: letters, digits, `-` and `_`. Unique for each request.
    pub id: String,
    /// When it was asked, Unix seconds.
    pub created: u64,
    /// The model, for an answer that does not name one.
    pub model: String,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
}

/// Writes the call in `body`, which is in `from`, as a body in `to`. With `from` = `to` it is written anew all the same: what such a
/// provider gets should be the client's own bytes.
///
/// # Errors
/// [`Untranslatable`] where the call means something that the target cannot express, or is not a call at all.
pub fn request(from: Dialect, to: Dialect, endpoint: Endpoint, body: &[u8], target: &TargetTraits<'_>) -> Result<Vec<u8>, Untranslatable> {
    if endpoint == Endpoint::Embeddings {
        return Err(Untranslatable::unsupported(
            "model",
            "the selected provider has no embeddings that this API could return",
        ));
    }
    let call = client::call(from, body)?;
    let body = provider::call(to, call, target)?;
    Ok(serde_json::Value::Object(body).to_string().into_bytes())
}

/// Writes a provider's whole answer to a chat or messages call as the client's dialect has it.
///
/// # Errors
/// [`BadBody`] where the body is no answer.
pub fn unary(provider: Dialect, client: Dialect, body: &[u8], asked: &Asked) -> Result<(Vec<u8>, Report), BadBody> {
    let endpoint = match provider {
        Dialect::OpenAi => Endpoint::Chat,
        Dialect::Anthropic => Endpoint::Messages,
    };
    let report = unary::inspect(provider, endpoint, body)?;
    let reply = provider::reply(provider, body).ok_or(BadBody::NoAnswer)?;
    let body = client::reply(client, reply, report.usage.as_ref(), asked);
    Ok((body.to_string().into_bytes(), report))
}

#[cfg(test)]
mod tests;
