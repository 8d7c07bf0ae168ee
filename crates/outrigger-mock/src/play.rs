//! The body that plays an answer.
//!
//! Decides when each byte leaves: every piece is a write of its own. It must never let two pieces coalesce, nor play on after a break.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::behaviour::Behaviour;
use crate::registry::Turn;
use crate::score::{self, Content, Piece};
use crate::wire::{Break, Connection};

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
        let solid = behaviour.one_write;
        let pieces = score::pieces(content, behaviour);
        // A stream's head goes out by itself, as with a provider that thinks before it speaks.
        let flushing = length.is_none() && !solid;
        Self {
            pieces,
            length,
            sleep: None,
            ping,
            flushing,
            solid,
            encoder,
            audience: Some(audience),
        }
    }

    /// Bytes that belong to no call: the control API's answers.
    pub(crate) fn plain(body: Bytes) -> Self {
        let length = Some(u64::try_from(body.len()).unwrap_or(u64::MAX));
        let pieces = if body.is_empty() {
            VecDeque::new()
        } else {
            VecDeque::from([Piece::Data(body)])
        };
        Self {
            pieces,
            length,
            sleep: None,
            ping: None,
            flushing: false,
            solid: true,
            encoder: None,
            audience: None,
        }
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
        let Some(encoder) = &mut self.encoder else {
            return Frame::data(bytes);
        };
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body::Body as _;

    use super::*;
    use crate::registry::{Arrival, Registry};
    use crate::score::Event;
    use crate::tests::client::{behaviour, call};

    fn tape(script: serde_json::Value) -> Tape {
        let turn = Registry::new().provider("p").record(Arrival {
            call: call(),
            described: None,
            bytes: Bytes::new(),
        });
        let audience = Audience {
            turn,
            connection: Arc::new(Connection::new(1)),
            idle_close: None,
        };
        let events = ["a", "b", "c"]
            .map(|text| Event::content(Bytes::from_static(text.as_bytes())))
            .to_vec();
        Tape::new(
            Content::Stream {
                events,
                ping: Bytes::new(),
                error: Bytes::new(),
            },
            &behaviour(script),
            false,
            audience,
        )
    }

    /// What each poll gives: bytes, `-` for a pause, `$` for the end.
    fn polled(mut tape: Tape) -> String {
        let mut seen = String::new();
        loop {
            match Pin::new(&mut tape).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap()),
                Poll::Ready(None) => return seen + "$",
                Poll::Pending if seen.ends_with("--") => return seen,
                Poll::Pending => seen.push('-'),
            }
        }
    }

    #[test]
    fn hyper_can_flush_before_each_piece_and_so_each_is_a_write() {
        assert_eq!(polled(tape(serde_json::json!({}))), "-a-b-c-$");
        assert_eq!(polled(tape(serde_json::json!({"one_write": true}))), "abc$");
        assert_eq!(polled(tape(serde_json::json!({"split_bytes": 2}))), "-ab-c-$");
    }

    #[test]
    fn nothing_follows_a_break() {
        assert_eq!(polled(tape(serde_json::json!({"reset": {"after_chunks": 2}}))), "-a-b--");
        assert_eq!(polled(tape(serde_json::json!({"close": "after_head"}))), "--");
    }
}
