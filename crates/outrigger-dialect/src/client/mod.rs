//! The dialects that clients speak: calls are read from them, answers are written in them. Nothing here knows which provider answers.

pub(crate) mod anthropic;
pub(crate) mod openai;

use crate::{
    ir::{Call, Event, Reply},
    translate::Asked,
    untranslatable::Untranslatable,
};
use outrigger_core::{Dialect, Usage};
use serde_json::Value;

/// Reads a call.
pub(crate) fn call(dialect: Dialect, body: &[u8]) -> Result<Call, Untranslatable> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Untranslatable {
        message: "the request body is not valid JSON".to_owned(),
        param: None,
        elsewhere: false,
    })?;
    match dialect {
        Dialect::OpenAi => openai::request::call(body),
        Dialect::Anthropic => anthropic::request::call(body),
    }
}

/// Writes a whole answer and what it used, where that is known.
pub(crate) fn reply(dialect: Dialect, reply: Reply, used: Option<&Usage>, asked: &Asked) -> Value {
    match dialect {
        Dialect::OpenAi => openai::response::reply(reply, used, asked),
        Dialect::Anthropic => anthropic::response::reply(reply, used, asked),
    }
}

/// Writes an answer as it comes.
#[derive(Debug)]
pub(crate) enum Encoder {
    OpenAi(openai::stream::Encoder),
    Anthropic(anthropic::stream::Encoder),
}

/// The writer had to hold back more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Encoder {
    pub(crate) fn new(dialect: Dialect, asked: &Asked) -> Self {
        match dialect {
            Dialect::OpenAi => Self::OpenAi(openai::stream::Encoder::new(asked)),
            Dialect::Anthropic => Self::Anthropic(anthropic::stream::Encoder::new(asked)),
        }
    }

    /// Appends what `event` means in the client's dialect: nothing, or whole events. The last event of an OpenAI stream (`[DONE]`) is
    /// not written: the caller does that, so that something can be put before it.
    pub(crate) fn write(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Overflow> {
        match self {
            Self::OpenAi(encoder) => encoder.write(event, out),
            Self::Anthropic(encoder) => return encoder.write(event, out),
        }
        Ok(())
    }

    /// The event behind everything, where the dialect has one.
    pub(crate) fn end(&self) -> &'static [u8] {
        match self {
            Self::OpenAi(_) => b"data: [DONE]\n\n",
            Self::Anthropic(_) => b"",
        }
    }
}
