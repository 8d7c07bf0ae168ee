//! What is learnt of an answer while it passes. Plain facts for the ledger and the attempt loop; never a copy of the answer's text.

use outrigger_core::{PicoUsd, Usage};

/// What an answer said about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Tokens as the provider counted them; `None` where it has not said (yet).
    pub usage: Option<Usage>,
    /// What the provider itself says that the call cost, where it does.
    pub cost: Option<PicoUsd>,
    /// The finish or stop reason in the provider's word; of several choices the last one told.
    pub finish: Option<String>,
    /// Stream events that carried content.
    pub content_events: u64,
    /// Bytes of generated text, reasoning and tool arguments included, escapes as they stand on the wire: for estimates where `usage` is missing.
    pub content_bytes: u64,
    /// The model that answered, in the provider's word.
    pub model: Option<String>,
}

/// What is known of a stream after a push. `content` and `done` stay true once they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Non-empty text, refusal, reasoning, audio, a tool call or a finish reason has come: the moment to commit.
    pub content: bool,
    /// An error event of the provider that came in this push; its bytes are in `out` like all others.
    pub error: Option<StreamError>,
    /// `[DONE]` or `message_stop` has come.
    pub done: bool,
    /// Set in the push that brought the end event: the index in `out` at which it starts, so that bytes inserted there come right before
    /// it. `[DONE]` always has one, unless other fields of its event had left before; `message_stop` has one where it came in one piece.
    pub done_at: Option<usize>,
}

/// An error event inside a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The event's data, for [`classify_stream_error`](crate::classify::classify_stream_error); at most 64 KiB of it.
    pub data: Vec<u8>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its end event, or at least with a finish reason.
    Complete,
    /// Before either.
    Truncated,
}
