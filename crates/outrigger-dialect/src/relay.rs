//! One way to treat a stream, whether it is translated or not.

use crate::{
    report::{End, Report, Seen},
    tap::Tap,
    translate::Translator,
};
use bytes::Bytes;

/// A stream on its way from a provider to a client.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the untouched stream is the usual one, and costs no allocation"
)]
pub enum Relay {
    /// Both speak the same dialect: the bytes pass.
    Same(Tap),
    /// They do not.
    Translated(Box<Translator>),
}

impl Relay {
    /// Takes in a chunk and appends to `out` what may go to the client.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Seen {
        match self {
            Self::Same(tap) => tap.push(chunk, out),
            Self::Translated(translator) => translator.push(chunk, out),
        }
    }

    /// The provider's stream is over; appends to `out` what is left.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> End {
        match self {
            Self::Same(tap) => tap.finish(out),
            Self::Translated(translator) => translator.finish(out),
        }
    }

    /// What the stream has said so far.
    pub fn report(&self) -> &Report {
        match self {
            Self::Same(tap) => tap.report(),
            Self::Translated(translator) => translator.report(),
        }
    }
}
