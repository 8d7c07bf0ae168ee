//! The dialects that providers speak: calls are written in them, answers are read from them. Nothing here knows which client asked, and
//! nothing here opens a connection.

pub(crate) mod anthropic;
pub(crate) mod openai;

use crate::{
    ir::{Call, Event, Extra, Reply},
    translate::TargetTraits,
    untranslatable::Untranslatable,
};
use outrigger_core::Dialect;

/// Writes a call for a target.
pub(crate) fn call(dialect: Dialect, call: Call, target: &TargetTraits<'_>) -> Result<Extra, Untranslatable> {
    if let Some(param) = call.binding.first().filter(|_| call.source != dialect) {
        let message = format!("{param} has no equivalent at the selected provider");
        return Err(Untranslatable::unsupported(param.clone(), message));
    }
    match dialect {
        Dialect::OpenAi => openai::request::call(call, target),
        Dialect::Anthropic => anthropic::request::call(call, target),
    }
}

/// Reads a whole answer; `None` where it is none.
pub(crate) fn reply(dialect: Dialect, body: &[u8]) -> Option<Reply> {
    match dialect {
        Dialect::OpenAi => openai::response::reply(body),
        Dialect::Anthropic => anthropic::response::reply(body),
    }
}

/// Reads an answer as it comes.
#[derive(Debug)]
pub(crate) enum Decoder {
    OpenAi(openai::stream::Decoder),
    Anthropic(anthropic::stream::Decoder),
}

impl Decoder {
    pub(crate) fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi => Self::OpenAi(openai::stream::Decoder::new()),
            Dialect::Anthropic => Self::Anthropic(anthropic::stream::Decoder::new()),
        }
    }

    /// Appends to `events` what one event's data says.
    pub(crate) fn read(&mut self, data: &[u8], events: &mut Vec<Event>) {
        match self {
            Self::OpenAi(decoder) => decoder.read(data, events),
            Self::Anthropic(decoder) => decoder.read(data, events),
        }
    }

    /// The stream is over: closes what is open where the answer was complete but for its end event.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>) {
        match self {
            Self::OpenAi(decoder) => decoder.finish(events),
            Self::Anthropic(decoder) => decoder.finish(events),
        }
    }
}
