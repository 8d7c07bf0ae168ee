//! An answer laid out in time: bytes, waits and breaks, one after the other.
//!
//! Decides at which point of an answer each pause and each fault falls. It must never put two events into one piece, unless the script
//! wants it so.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::behaviour::{Behaviour, BodyFault, Cut, Stall};
use crate::wire::Break;

/// How long a stall lasts: longer than anybody waits.
const FOREVER: Duration = Duration::from_hours(10 * 365 * 24);
/// Pieces of a whole answer, where faults or pauses need some and the script names no number.
const PIECES: usize = 4;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    bytes: Bytes,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Opening,
    Content,
    Closing,
}

impl Event {
    pub(crate) fn content(bytes: Bytes) -> Self {
        Self {
            bytes,
            part: Part::Content,
        }
    }

    pub(crate) fn opening_bytes(bytes: Bytes) -> Self {
        Self {
            bytes,
            part: Part::Opening,
        }
    }

    pub(crate) fn closing_bytes(bytes: Bytes) -> Self {
        Self {
            bytes,
            part: Part::Closing,
        }
    }

    /// The same event, counted as one that precedes content.
    pub(crate) fn opening(self) -> Self {
        Self {
            part: Part::Opening,
            ..self
        }
    }

    /// The same event, counted as one that follows content.
    pub(crate) fn closing(self) -> Self {
        Self {
            part: Part::Closing,
            ..self
        }
    }
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// One document of known length.
    Whole(Bytes),
    /// Events, and the keep-alive and the error of their dialect.
    Stream { events: Vec<Event>, ping: Bytes, error: Bytes },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Data(Bytes),
    Wait(Duration),
    Break(Break),
}

/// What happens after so many pieces of content.
enum Strike {
    Break(Break),
    Stall,
    Error(Bytes),
}

/// The pieces of an answer, in the order in which they are played.
pub(crate) fn pieces(content: Content, behaviour: &Behaviour) -> VecDeque<Piece> {
    let pieces = laid(content, behaviour);
    if behaviour.one_write || behaviour.split_bytes > 0 {
        rechunked(pieces, behaviour.split_bytes)
    } else {
        pieces.into()
    }
}

fn laid(content: Content, behaviour: &Behaviour) -> Vec<Piece> {
    let (events, error) = match content {
        Content::Whole(body) => (parts(&body, behaviour), Bytes::new()),
        Content::Stream { events, error, .. } => (damaged(events, behaviour.body), error),
    };
    let strikes = strikes(behaviour, &error);
    if let Some((_, strike)) = strikes.iter().find(|(after, _)| after.is_none()) {
        return struck(Vec::new(), strike);
    }
    let strike_at = |seen: usize| strikes.iter().find(|(after, _)| *after == Some(seen)).map(|(_, strike)| strike);
    let mut tape = Vec::with_capacity(events.len());
    let mut seen = 0;
    for event in events {
        if seen == 0
            && event.part != Part::Opening
            && let Some(strike) = strike_at(0)
        {
            return struck(tape, strike);
        }
        if event.part == Part::Content {
            let pause = if seen == 0 { behaviour.first_token_ms } else { behaviour.chunk_ms };
            if pause > 0 {
                tape.push(Piece::Wait(Duration::from_millis(pause)));
            }
            seen += 1;
        }
        tape.push(Piece::Data(event.bytes));
        if event.part == Part::Content
            && let Some(strike) = strike_at(seen)
        {
            return struck(tape, strike);
        }
    }
    tape
}

/// The faults that strike within the body; `None` strikes before its first byte.
fn strikes(behaviour: &Behaviour, error: &Bytes) -> Vec<(Option<usize>, Strike)> {
    let mut strikes = Vec::new();
    for (cut, how) in [(behaviour.reset, Break::Reset), (behaviour.close, Break::Close)] {
        match cut {
            Some(Cut::AfterHead) => strikes.push((None, Strike::Break(how))),
            Some(Cut::AfterChunks(seen)) => strikes.push((Some(seen), Strike::Break(how))),
            Some(Cut::BeforeHead | Cut::Reused) | None => {}
        }
    }
    match behaviour.stall {
        Some(Stall::AfterHead) => strikes.push((None, Strike::Stall)),
        Some(Stall::AfterChunks(seen)) => strikes.push((Some(seen), Strike::Stall)),
        Some(Stall::Accept) | None => {}
    }
    if let (Some(script), false) = (&behaviour.error_in_stream, error.is_empty()) {
        strikes.push((Some(script.after_chunks), Strike::Error(error.clone())));
    }
    strikes
}

fn struck(mut tape: Vec<Piece>, strike: &Strike) -> Vec<Piece> {
    tape.push(match strike {
        Strike::Break(how) => Piece::Break(*how),
        Strike::Stall => Piece::Wait(FOREVER),
        Strike::Error(bytes) => Piece::Data(bytes.clone()),
    });
    tape
}

/// A stream with the body's fault worked into its events.
fn damaged(mut events: Vec<Event>, fault: Option<BodyFault>) -> Vec<Event> {
    let is_content = |event: &Event| event.part == Part::Content;
    match fault {
        Some(BodyFault::Truncated) => events.truncate(events.iter().rposition(is_content).map_or(0, |last| last + 1)),
        Some(BodyFault::Malformed) => {
            events.truncate(events.iter().position(is_content).map_or(0, |first| first + 1));
            if let Some(last) = events.last_mut() {
                // A complete event around JSON that breaks off, so that the fault is in the JSON and nowhere else.
                let half = last.bytes.slice(..last.bytes.len() / 2);
                last.bytes = [half.as_ref(), b"\n\n"].concat().into();
            }
        }
        Some(BodyFault::Html | BodyFault::Empty | BodyFault::Error200 | BodyFault::EmptyChoices) | None => {}
    }
    events
}

/// A document in one piece, or in as many as its faults and pauses need.
fn parts(body: &Bytes, behaviour: &Behaviour) -> Vec<Event> {
    let counted = matches!(behaviour.reset, Some(Cut::AfterChunks(_)))
        || matches!(behaviour.close, Some(Cut::AfterChunks(_)))
        || matches!(behaviour.stall, Some(Stall::AfterChunks(_)));
    let number = if counted || behaviour.chunk_ms > 0 {
        behaviour.chunks.unwrap_or(PIECES)
    } else {
        1
    };
    let length = if behaviour.split_bytes > 0 {
        behaviour.split_bytes
    } else {
        body.len().div_ceil(number.max(1)).max(1)
    };
    split(body, length).into_iter().map(Event::content).collect()
}

fn split(bytes: &Bytes, length: usize) -> Vec<Bytes> {
    let mut rest = bytes.clone();
    let mut parts = Vec::with_capacity(bytes.len() / length.max(1) + 1);
    while !rest.is_empty() {
        parts.push(rest.split_to(length.clamp(1, rest.len())));
    }
    parts
}

/// Joins what no wait separates, then cuts it every so many bytes (0: not at all).
fn rechunked(tape: Vec<Piece>, length: usize) -> VecDeque<Piece> {
    let mut result = VecDeque::with_capacity(tape.len());
    let mut run = BytesMut::new();
    let flush = |run: &mut BytesMut, result: &mut VecDeque<Piece>| {
        let bytes = run.split().freeze();
        let each = if length == 0 { bytes.len() } else { length };
        result.extend(split(&bytes, each).into_iter().map(Piece::Data));
    };
    for piece in tape {
        match piece {
            Piece::Data(bytes) => run.extend_from_slice(&bytes),
            other @ (Piece::Wait(_) | Piece::Break(_)) => {
                flush(&mut run, &mut result);
                result.push_back(other);
            }
        }
    }
    flush(&mut run, &mut result);
    result
}
