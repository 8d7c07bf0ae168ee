//! Stream: holds a stream's head until its first content, and then passes each chunk on before it takes the next. The body that the
//! client reads owns the ledger: its end, or its being dropped, closes the account.

use super::{
    Exchange,
    attempt::{Answer, Failed},
    decode::Call,
    request::{Reading, asked},
    unary::not_an_answer,
};
use crate::{body::Broken, fault::Fault, ledger::Ledger, snapshot::TargetHandle, source::Source, surface::Api};
use bytes::Bytes;
use http::{HeaderMap, header};
use outrigger_core::{Class, Dialect, Tick};
use outrigger_dialect::{End, Relay, Translator, classify, tap::Tap, unary};
use std::{
    collections::VecDeque,
    task::{Context, Poll},
    time::Duration,
};

/// Most bytes that are held before the first content: heads and pings, never an answer.
const HELD: usize = 1 << 20;

/// Reads a stream up to its first content.
pub(super) async fn open(
    exchange: &Exchange,
    call: &Call,
    target: &TargetHandle,
    reading: Reading,
    headers: &HeaderMap,
    mut source: Source,
) -> Result<Answer, Failed> {
    if !is_event_stream(headers) {
        return Err(not_a_stream(exchange, call, target, source).await);
    }
    let provider = &target.provider;
    let mut relay = if reading.translated {
        let asked = asked(exchange, call);
        Relay::Translated(Box::new(Translator::new(provider.dialect, call.api.dialect(), &asked)))
    } else {
        Relay::Same(Tap::new(provider.dialect, reading.strip_usage))
    };
    let mut out = Vec::new();
    loop {
        let Some(chunk) = source.next().await else {
            return Err(Failed::of(Class::BadResponse));
        };
        let before = out.len();
        let seen = relay.push(chunk.map_err(|_| Failed::of(Class::Reset))?, &mut out);
        join(&mut out, before);
        if let Some(error) = seen.error {
            let said = classify::classify_stream_error(&provider.name, provider.dialect, &error.data);
            return Err(Failed::classified(200, said, exchange.app.now()));
        }
        if seen.content {
            return Ok(Answer::Stream {
                held: out.into(),
                relay: Box::new(relay),
                source,
            });
        }
        if seen.done || out.iter().map(Bytes::len).sum::<usize>() > HELD {
            return Err(Failed::of(Class::BadResponse));
        }
    }
}

/// Makes one piece of those from `first` on, which came of one chunk and leave together: each piece is a write's own little frame, and a frame
/// costs more than the copy.
fn join(out: &mut Vec<Bytes>, first: usize) {
    if let Some(pieces @ [_, _, ..]) = out.get(first..) {
        let whole = pieces.concat();
        out.truncate(first);
        out.push(whole.into());
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    value
        .split(';')
        .next()
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// A 200 that is no stream: an error object, a page of a proxy in between, or a provider that ignored `stream`.
async fn not_a_stream(exchange: &Exchange, call: &Call, target: &TargetHandle, mut source: Source) -> Failed {
    let mut prefix = Vec::new();
    while let (true, Some(Ok(chunk))) = (prefix.len() < HELD, source.next().await) {
        prefix.extend_from_slice(&chunk);
    }
    match unary::inspect(target.provider.dialect, call.api.endpoint(), &prefix) {
        Ok(_) => Failed::of(Class::BadResponse),
        Err(bad) => not_an_answer(exchange, target, bad, &prefix),
    }
}

/// The rest of a committed answer.
pub(crate) struct ReplyStream {
    exchange: Exchange,
    ledger: Option<Ledger>,
    dialect: Dialect,
    queue: VecDeque<Bytes>,
    /// Absent for an oversized unary answer, which nobody reads on its way.
    relay: Option<Box<Relay>>,
    source: Option<Source>,
    between: Duration,
    /// Absent where it is not waited for: then the clock is read only once it is.
    quiet_until: Option<Tick>,
    deadline: Tick,
    done: bool,
    out: Vec<Bytes>,
}

impl ReplyStream {
    /// The body of an answer that was committed at the first of `times`, and whose longest silence is the second.
    pub(super) fn new(exchange: Exchange, ledger: Ledger, times: (Tick, Duration), deadline: Tick, source: Source) -> Self {
        let (at, between) = times;
        Self {
            quiet_until: Some(at.after(between)),
            dialect: exchange.dialect,
            exchange,
            ledger: Some(ledger),
            queue: VecDeque::new(),
            relay: None,
            source: Some(source),
            between,
            deadline,
            done: false,
            out: Vec::new(),
        }
    }

    /// A stream of events, of which `held` has come.
    pub(super) fn relayed(mut self, held: VecDeque<Bytes>, relay: Box<Relay>) -> Self {
        self.queue = held;
        self.relay = Some(relay);
        self
    }

    /// A unary answer too large to be held.
    pub(super) fn raw(mut self, held: VecDeque<Bytes>) -> Self {
        self.queue = held;
        self
    }

    /// The next piece for the client.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            if let Some(piece) = self.queue.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(source) = &mut self.source else { return Poll::Ready(None) };
            match source.poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.take(chunk),
                Poll::Ready(Some(Err(_))) if !self.done => {
                    if let Err(broken) = self.break_off(Class::Reset) {
                        return Poll::Ready(Some(Err(broken)));
                    }
                }
                Poll::Ready(_) => {
                    if let Err(broken) = self.end() {
                        return Poll::Ready(Some(Err(broken)));
                    }
                }
                Poll::Pending => {
                    let app = &self.exchange.app;
                    let quiet_until = *self.quiet_until.get_or_insert_with(|| app.now().after(self.between));
                    if self.exchange.timer.poll_at(cx, quiet_until.min(self.deadline)).is_pending() {
                        return Poll::Pending;
                    }
                    if let Err(broken) = self.break_off(Class::Timeout) {
                        return Poll::Ready(Some(Err(broken)));
                    }
                }
            }
        }
    }

    /// A chunk came: it goes on at once, whatever it is.
    fn take(&mut self, chunk: Bytes) {
        self.quiet_until = None;
        let Some(relay) = &mut self.relay else {
            self.queue.push_back(chunk);
            return;
        };
        let seen = relay.push(chunk, &mut self.out);
        if let Some(at) = seen.done_at {
            self.sign(at);
        }
        self.pass_on();
        self.done |= seen.done;
        if let Some(error) = seen.error {
            let target = self
                .ledger
                .as_ref()
                .and_then(|ledger| ledger.served.as_ref())
                .map(|served| &served.target.provider);
            let class = target.map_or(Class::ServerError, |provider| {
                classify::classify_stream_error(&provider.name, provider.dialect, &error.data).class
            });
            // Untouched bytes brought the event along; a translation leaves it to us.
            if self.relay.as_deref().is_some_and(|relay| matches!(relay, Relay::Translated(_))) {
                self.queue.push_back(Fault::broken(class).event(self.dialect, self.exchange.id));
            }
            self.close(class);
        }
    }

    /// Queues what leaves of one chunk, as the one piece that joining makes of it.
    fn pass_on(&mut self) {
        join(&mut self.out, 0);
        self.queue.extend(self.out.pop());
    }

    /// Puts the account as it stands before the end event of a chat stream, as a comment line: parsers skip it, people and logs do not.
    fn sign(&mut self, at: usize) {
        let (Some(ledger), Some(relay)) = (&mut self.ledger, &self.relay) else {
            return;
        };
        if ledger.api != Api::Chat {
            return;
        }
        ledger.report = relay.report().clone();
        let mut comment = Vec::with_capacity(640);
        comment.extend_from_slice(b": outrigger ");
        let mut comment = ledger.record(Class::Ok, self.exchange.app.now()).write(comment);
        comment.extend_from_slice(b"\n\n");
        self.out.insert(at.min(self.out.len()), comment.into());
    }

    /// The provider's body ended.
    fn end(&mut self) -> Result<(), Broken> {
        let whole = match &mut self.relay {
            Some(relay) => {
                let end = relay.finish(&mut self.out);
                if !self.done && end == End::Complete && !self.out.is_empty() {
                    self.sign(self.out.len() - 1);
                }
                self.pass_on();
                end == End::Complete || self.done
            }
            None => true,
        };
        if !whole {
            return self.break_off(Class::BadResponse);
        }
        self.close(Class::Ok);
        Ok(())
    }

    /// The answer cannot go on: a stream says so in its last event, anything else can only be cut.
    fn break_off(&mut self, class: Class) -> Result<(), Broken> {
        let streams = self.relay.is_some();
        if self.ledger.is_some() && streams {
            self.queue.push_back(Fault::broken(class).event(self.dialect, self.exchange.id));
        }
        self.close(class);
        if streams { Ok(()) } else { Err(Broken) }
    }

    fn close(&mut self, class: Class) {
        self.source = None;
        if let Some(mut ledger) = self.ledger.take() {
            if let Some(relay) = &self.relay {
                ledger.report = relay.report().clone();
            }
            ledger.settle(class);
        }
    }
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        // A stream whose last event has left is complete, even where the client closes before the provider does.
        let class = if self.done && self.queue.is_empty() {
            Class::Ok
        } else {
            Class::Cancelled
        };
        self.close(class);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_chunk_leave_as_one_and_those_of_others_as_they_came() {
        let joined = |pieces: &[&'static str], first: usize| {
            let mut out: Vec<Bytes> = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
            join(&mut out, first);
            out
        };
        assert_eq!(joined(&["a", "b", "c", "d"], 1), ["a", "bcd"]);
        assert_eq!(joined(&["a", "b"], 0), ["ab"]);
        assert_eq!(joined(&["a", "b"], 1), ["a", "b"]);
        assert_eq!(joined(&["a"], 1), ["a"]);
        assert!(joined(&[], 0).is_empty());
    }
}
