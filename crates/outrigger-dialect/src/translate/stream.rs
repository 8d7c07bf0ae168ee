//! A stream in one dialect, out in another. What is learnt of it on the way is learnt exactly as from a stream that passes untouched.
//! Errors of the provider are reported and never written: the client's error event is the caller's.

use super::Asked;
use crate::{
    client::{Encoder, Overflow},
    facts::Facts,
    ir::Event,
    provider::Decoder,
    report::{End, Report, Seen, StreamError},
    sse::{self, Splitter},
};
use bytes::Bytes;
use outrigger_core::{Dialect, Usage};

/// Longest event of a provider's stream that is translated.
const MAX_EVENT: usize = 2 << 20;
/// The most of an error event that is kept.
const MAX_ERROR: usize = 64 * 1024;

/// Translates a stream: the provider's bytes in, split anywhere, the client's bytes out.
#[derive(Debug)]
pub struct Translator {
    splitter: Splitter,
    state: State,
}

#[derive(Debug)]
struct State {
    facts: Facts,
    decoder: Decoder,
    encoder: Encoder,
    usage: Option<Usage>,
    /// Written and not handed out.
    written: Vec<u8>,
    /// The answer is complete; all of it is written.
    done: bool,
    /// The event behind everything is handed out.
    ended: bool,
    /// Nothing more can be read.
    broken: bool,
}

impl Translator {
    /// Translates from a provider's dialect into a client's.
    pub fn new(provider: Dialect, client: Dialect, asked: &Asked) -> Self {
        Self {
            splitter: Splitter::new(MAX_EVENT),
            state: State {
                facts: Facts::new(provider),
                decoder: Decoder::new(provider),
                encoder: Encoder::new(client, asked),
                usage: None,
                written: Vec::new(),
                done: false,
                ended: false,
                broken: false,
            },
        }
    }

    /// Takes in a chunk and appends to `out` what it means to the client. `Seen` is as of [`Tap`](crate::tap::Tap), but the bytes of a
    /// provider's error are not in `out`, and nothing follows them.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Seen {
        let mut seen = Seen::default();
        let state = &mut self.state;
        if !(state.done || state.broken) {
            let split = self.splitter.push(&chunk, &mut |event| state.event(&event, &mut seen));
            if let Err(too_long) = split {
                state.fail(too_long.to_string().as_bytes(), &mut seen);
            }
        }
        drop(chunk);
        self.state.hand_out(out, &mut seen);
        seen
    }

    /// The provider's stream is over; appends to `out` the end of the client's, where the answer was complete. `[DONE]`, if it comes only
    /// here, is the last of `out`.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> End {
        let mut seen = Seen::default();
        let state = &mut self.state;
        if !(state.done || state.broken) {
            let splitter = core::mem::replace(&mut self.splitter, Splitter::new(0));
            splitter.finish(&mut |event| state.event(&event, &mut seen));
        }
        if !(state.done || state.broken) {
            let mut events = Vec::new();
            state.decoder.finish(&mut events);
            state.write(events, &mut seen);
        }
        let complete = state.done;
        state.hand_out(out, &mut seen);
        if complete { End::Complete } else { End::Truncated }
    }

    /// What the stream has said so far.
    pub fn report(&self) -> &Report {
        &self.state.facts.report
    }
}

impl State {
    fn event(&mut self, event: &sse::Event<'_>, seen: &mut Seen) {
        if event.comment || self.done || self.broken {
            return;
        }
        if self.facts.event(event.name, event.data, false).error {
            self.fail(event.data, seen);
            return;
        }
        let mut events = Vec::new();
        // First, because a message may begin with what its prompt cost.
        if self.usage != self.facts.report.usage {
            self.usage = self.facts.report.usage;
            events.extend(self.usage.map(Event::Usage));
        }
        self.decoder.read(event.data, &mut events);
        self.write(events, seen);
    }

    fn write(&mut self, events: Vec<Event>, seen: &mut Seen) {
        for event in events {
            let last = event == Event::Done;
            if let Err(Overflow) = self.encoder.write(event, &mut self.written) {
                self.fail(b"too much of the answer came out of order", seen);
                return;
            }
            self.done |= last;
        }
    }

    fn fail(&mut self, data: &[u8], seen: &mut Seen) {
        self.broken = true;
        seen.error = Some(StreamError {
            data: data.get(..MAX_ERROR).unwrap_or(data).to_vec(),
        });
    }

    fn hand_out(&mut self, out: &mut Vec<Bytes>, seen: &mut Seen) {
        if !self.written.is_empty() {
            out.push(Bytes::from(core::mem::take(&mut self.written)));
        }
        seen.content = self.facts.content;
        seen.done = self.done;
        if self.done && !core::mem::replace(&mut self.ended, true) && !self.encoder.end().is_empty() {
            seen.done_at = Some(out.len());
            out.push(Bytes::from_static(self.encoder.end()));
        }
    }
}
