//! An answer as a tape of bytes, waits and breaks, and the body that plays it.
//!
//! Decides when each byte leaves: every piece is a write of its own unless the script says otherwise. It must never let two pieces
//! coalesce, nor play on after a break.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::behaviour::{Behaviour, BodyFault, Cut, Stall};
use crate::registry::Turn;
use crate::wire::{Break, Connection};

/// How long a stall lasts: longer than anybody waits.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
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
        Self { bytes, part: Part::Content }
    }

    pub(crate) fn opening_bytes(bytes: Bytes) -> Self {
        Self { bytes, part: Part::Opening }
    }

    pub(crate) fn closing_bytes(bytes: Bytes) -> Self {
        Self { bytes, part: Part::Closing }
    }

    /// The same event, counted as one that precedes content.
    pub(crate) fn opening(self) -> Self {
        Self { part: Part::Opening, ..self }
    }

    /// The same event, counted as one that follows content.
    pub(crate) fn closing(self) -> Self {
        Self { part: Part::Closing, ..self }
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
enum Piece {
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

/// Lays an answer out on the tape.
fn lay(content: Content, behaviour: &Behaviour) -> Vec<Piece> {
    let (events, error) = match content {
        Content::Whole(body) => (pieces(&body, behaviour), Bytes::new()),
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
fn pieces(body: &Bytes, behaviour: &Behaviour) -> Vec<Event> {
    let counted = matches!(behaviour.reset, Some(Cut::AfterChunks(_)))
        || matches!(behaviour.close, Some(Cut::AfterChunks(_)))
        || matches!(behaviour.stall, Some(Stall::AfterChunks(_)));
    let parts = if counted || behaviour.chunk_ms > 0 { behaviour.chunks.unwrap_or(PIECES) } else { 1 };
    let length = if behaviour.split_bytes > 0 { behaviour.split_bytes } else { body.len().div_ceil(parts.max(1)).max(1) };
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

/// The call that a tape answers: what is told of its end, and to whom.
pub(crate) struct Audience {
    pub(crate) turn: Turn,
    pub(crate) connection: Arc<Connection>,
    pub(crate) idle_close: Option<Duration>,
}

/// A response body that plays an answer.
pub(crate) struct Tape {
    pieces: VecDeque<Piece>,
    /// Length of a whole document; streams have none.
    length: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
    ping: Option<(Duration, Bytes)>,
    /// Return once without data, so that hyper sends what it has before it takes more.
    flushing: bool,
    /// Send everything at once instead.
    solid: bool,
    encoder: Option<GzEncoder<Vec<u8>>>,
    audience: Option<Audience>,
}

impl Tape {
    /// The answer as scripted. `gzip`: compress it.
    pub(crate) fn new(content: Content, behaviour: &Behaviour, gzip: bool, audience: Audience) -> Self {
        let (content, encoder, ping) = match content {
            Content::Whole(body) if gzip => (Content::Whole(compressed(&body)), None, None),
            Content::Whole(body) => (Content::Whole(body), None, None),
            Content::Stream { events, ping, error } => {
                let every = (behaviour.ping_ms > 0).then(|| (Duration::from_millis(behaviour.ping_ms), ping.clone()));
                let encoder = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
                (Content::Stream { events, ping, error }, encoder, every)
            }
        };
        let length = match &content {
            Content::Whole(body) => Some(u64::try_from(body.len()).unwrap_or(u64::MAX)),
            Content::Stream { .. } => None,
        };
        let tape = lay(content, behaviour);
        let solid = behaviour.one_write;
        let pieces = if solid || behaviour.split_bytes > 0 { rechunked(tape, behaviour.split_bytes) } else { tape.into() };
        // A stream's head goes out by itself, as with a provider that thinks before it speaks.
        let flushing = length.is_none() && !solid;
        Self { pieces, length, sleep: None, ping, flushing, solid, encoder, audience: Some(audience) }
    }

    /// Bytes that belong to no call: the control API's answers.
    pub(crate) fn plain(body: Bytes) -> Self {
        let length = Some(u64::try_from(body.len()).unwrap_or(u64::MAX));
        let pieces = if body.is_empty() { VecDeque::new() } else { VecDeque::from([Piece::Data(body)]) };
        Self { pieces, length, sleep: None, ping: None, flushing: false, solid: true, encoder: None, audience: None }
    }

    fn complete(&mut self) {
        if let Some(mut audience) = self.audience.take() {
            audience.turn.end();
            audience.connection.rest(audience.idle_close);
        }
    }

    fn cut(&mut self, how: Break) {
        if let Some(mut audience) = self.audience.take() {
            audience.turn.end();
            audience.connection.cut(how);
        }
    }

    fn frame(&mut self, bytes: Bytes) -> Frame<Bytes> {
        self.flushing = !self.solid;
        let Some(encoder) = &mut self.encoder else { return Frame::data(bytes) };
        // Writing to memory does not fail. The flush makes each piece readable by itself.
        let _ = encoder.write_all(&bytes).and_then(|()| encoder.flush());
        Frame::data(std::mem::take(encoder.get_mut()).into())
    }
}

fn compressed(body: &Bytes) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default().into()
}

impl http_body::Body for Tape {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let tape = &mut *self;
        if std::mem::take(&mut tape.flushing) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match tape.pieces.front_mut() {
                Some(Piece::Data(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    tape.pieces.pop_front();
                    if tape.pieces.is_empty() && tape.encoder.is_none() {
                        tape.complete();
                    }
                    return Poll::Ready(Some(Ok(tape.frame(bytes))));
                }
                Some(Piece::Wait(left)) => {
                    let slice = tape.ping.as_ref().map_or(*left, |(every, _)| *left.min(&mut every.clone()));
                    let sleep = tape.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(slice)));
                    ready!(sleep.as_mut().poll(cx));
                    tape.sleep = None;
                    *left = left.saturating_sub(slice);
                    if left.is_zero() {
                        tape.pieces.pop_front();
                    } else if let Some((_, ping)) = &tape.ping {
                        let ping = ping.clone();
                        return Poll::Ready(Some(Ok(tape.frame(ping))));
                    }
                }
                Some(Piece::Break(how)) => {
                    let how = *how;
                    tape.cut(how);
                    // hyper flushes when a body has nothing to give: there the socket sees the cut.
                    return Poll::Pending;
                }
                None => {
                    tape.complete();
                    let tail = tape.encoder.take().and_then(|encoder| encoder.finish().ok());
                    return Poll::Ready(tail.filter(|tail| !tail.is_empty()).map(|tail| Ok(Frame::data(tail.into()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.encoder.is_none() && self.audience.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
