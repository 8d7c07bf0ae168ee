//! A stream between a client and a provider of the same dialect: the bytes pass, and what they say is read on the way. It must never
//! change a byte that it was not told to, hold back what a client could use, or buffer more than 64 KiB.
//!
//! Bytes leave with the push that brought them, but for two kinds. With `strip_usage` the beginning of an event stays until its end has
//! come, as the event may have to go. And the few bytes that may become `data: [DONE]` stay, so that the caller can still put an event of
//! its own before that one. An event over 64 KiB passes as it comes, and unchanged: its beginning and its last 16 KiB are read.

use crate::{
    facts::{Facts, Found},
    json::{comma_before, comma_behind},
    report::{End, Report, Seen, StreamError},
    sse::field,
};
use bytes::{Buf, Bytes};
use core::ops::Range;
use memchr::memchr2;
use outrigger_core::Dialect;
use std::borrow::Cow;

mod mould;

use mould::Mould;

/// The most that is ever buffered, and the longest event that is read whole.
pub const MAX_HELD: usize = 64 * 1024;

/// How much of the end of a longer event is read.
const TAIL: usize = 16 * 1024;

/// Reads a stream as it passes.
#[derive(Clone, Debug)]
pub struct Tap {
    facts: Facts,
    strip_usage: bool,
    mould: Mould,
    lines: Lines,
    /// What has come of the event whose end has not; of a long event, its last bytes.
    partial: Vec<u8>,
    size: Size,
    /// `partial` has not been put out.
    held: bool,
    done: bool,
}

/// Of the event in `partial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// `partial` is all that has come of it.
    Fits,
    /// Over [`MAX_HELD`]; its beginning has been read.
    Long { content: bool },
}

/// What becomes of an event.
enum Fate {
    Keep,
    Drop,
    /// Goes on without this range of it.
    Cut(Range<usize>),
    /// Is the stream's last.
    Done,
}

impl Tap {
    /// A tap on a stream of `dialect`. `strip_usage`: the client did not ask for the usage that the provider was asked for; the chunk
    /// that carries it goes, and so does `"usage":null` in the others. (Only OpenAI's dialect has to be asked.)
    pub fn new(dialect: Dialect, strip_usage: bool) -> Self {
        Self {
            facts: Facts::new(dialect),
            mould: Mould::default(),
            strip_usage: strip_usage && dialect == Dialect::OpenAi,
            lines: Lines::default(),
            partial: Vec::new(),
            size: Size::Fits,
            held: false,
            done: false,
        }
    }

    /// Takes in a chunk and appends to `out` what leaves: slices of the chunk, uncut where nothing has to be.
    pub fn push(&mut self, mut chunk: Bytes, out: &mut Vec<Bytes>) -> Seen {
        let mut seen = Seen::default();
        let mut pass = Pass { from: &chunk, put: 0, out };
        let mut start = 0;
        while !self.done {
            let Some(end) = self.lines.end_of_event(&chunk, start) else {
                self.keep_rest(start, &mut pass, &mut seen);
                break;
            };
            self.end_event(start..end, &mut pass, &mut seen);
            start = end;
        }
        let put = pass.put;
        chunk.advance(put);
        if !chunk.is_empty() {
            out.push(chunk);
        }
        seen.content = self.facts.content;
        seen.done = self.done;
        seen
    }

    /// The provider's stream is over; appends to `out` what was still held: at most one event, which may be the `[DONE]` that lacks its
    /// blank line. Something to be put before that goes before what is appended here.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> End {
        let nothing = Bytes::new();
        let mut pass = Pass {
            from: &nothing,
            put: 0,
            out,
        };
        if !self.partial.is_empty() {
            self.end_event(0..0, &mut pass, &mut Seen::default());
        }
        // Some providers close after the finish reason, without an end event.
        if self.done || self.facts.report.finish.is_some() {
            End::Complete
        } else {
            End::Truncated
        }
    }

    /// Whether what was put out ends inside an event: then an empty line must come before an event of the caller's own.
    pub fn inside_event(&self) -> bool {
        !self.partial.is_empty() && !self.held
    }

    /// What the stream has said so far.
    pub fn report(&self) -> &Report {
        &self.facts.report
    }

    /// The current event ends with this range of the chunk.
    fn end_event(&mut self, last: Range<usize>, pass: &mut Pass<'_>, seen: &mut Seen) {
        let bytes = pass.bytes(last.clone());
        if self.partial.is_empty() && bytes.len() <= MAX_HELD {
            let fate = self.inspect(bytes, seen);
            self.apply(fate, last, pass, seen);
            return;
        }
        self.extend(bytes, pass, seen);
        let event = core::mem::take(&mut self.partial);
        if let Size::Long { .. } = core::mem::replace(&mut self.size, Size::Fits) {
            self.facts.tail(event.get(event.len().saturating_sub(TAIL)..).unwrap_or_default());
            return;
        }
        let fate = self.inspect(&event, seen);
        if core::mem::take(&mut self.held) {
            pass.put = last.end;
            let event = Bytes::from(event);
            let mut pass = Pass {
                from: &event,
                put: 0,
                out: &mut *pass.out,
            };
            self.apply(fate, 0..event.len(), &mut pass, seen);
            pass.keep_to(event.len());
        } else {
            self.done |= matches!(fate, Fate::Done);
        }
    }

    /// The chunk's bytes from `start` on begin or continue an event that does not end in it.
    fn keep_rest(&mut self, start: usize, pass: &mut Pass<'_>, seen: &mut Seen) {
        let bytes = pass.bytes(start..pass.from.len());
        if bytes.is_empty() {
            return;
        }
        let unsent = self.held || self.partial.is_empty();
        self.extend(bytes, pass, seen);
        if unsent && self.size == Size::Fits && (self.strip_usage || may_become_done(&self.partial)) {
            pass.keep_to(start);
            pass.put = pass.from.len();
            self.held = true;
        } else if core::mem::take(&mut self.held) {
            let before = self.partial.len().saturating_sub(bytes.len());
            pass.out
                .push(Bytes::copy_from_slice(self.partial.get(..before).unwrap_or_default()));
        }
    }

    /// Adds to `partial`, or to what is known of a long event.
    fn extend(&mut self, bytes: &[u8], pass: &mut Pass<'_>, seen: &mut Seen) {
        let room = MAX_HELD.saturating_sub(self.partial.len());
        match self.size {
            Size::Fits if bytes.len() <= room => {
                // Doubling could reserve more than will ever be used.
                let wanted = self.partial.len() + bytes.len();
                if wanted > self.partial.capacity() {
                    self.partial.reserve_exact((wanted * 2).min(MAX_HELD) - self.partial.len());
                }
                self.partial.extend_from_slice(bytes);
            }
            Size::Fits => {
                if core::mem::take(&mut self.held) {
                    pass.out.push(Bytes::copy_from_slice(&self.partial));
                }
                let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
                self.partial.extend_from_slice(head);
                let head = core::mem::take(&mut self.partial);
                let content = self.read(&head, true, seen).0.content;
                self.partial = head;
                self.size = Size::Long { content };
                self.extend(rest, pass, seen);
            }
            Size::Long { content } => {
                if content {
                    self.facts.report.content_bytes += bytes.len() as u64;
                }
                let bytes = bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default();
                if bytes.len() > room {
                    self.partial.drain(..self.partial.len().saturating_sub(TAIL));
                }
                self.partial.extend_from_slice(bytes);
            }
        }
    }

    fn inspect(&mut self, event: &[u8], seen: &mut Seen) -> Fate {
        if let Some(fit) = self.mould.fit(event) {
            self.facts.more_text(fit.text);
            return fit.cut.map_or(Fate::Keep, Fate::Cut);
        }
        let (found, data) = self.read(event, false, seen);
        if found.done {
            return Fate::Done;
        }
        if self.strip_usage && found.usage && found.no_choices {
            return Fate::Drop;
        }
        let Data::At(at) = data else { return Fate::Keep };
        let place = |range: Range<usize>| at + range.start..at + range.end;
        let null_usage = found.null_usage.clone().filter(|_| self.strip_usage);
        let cut = null_usage.map(|member| with_comma(event, place(member)));
        if let Some(text) = found.only_text() {
            self.mould.set(event, place(text), found.padding.map(place), cut.clone());
        }
        cut.map_or(Fate::Keep, Fate::Cut)
    }

    fn read(&mut self, event: &[u8], cut: bool, seen: &mut Seen) -> (Found, Data) {
        let fields = Fields::of(event);
        let Some((data, place)) = fields.data else {
            return (Found::default(), Data::Joined);
        };
        let found = self.facts.event(fields.name, &data, cut);
        if found.error && seen.error.is_none() {
            seen.error = Some(StreamError { data: data.into_owned() });
        }
        (found, place)
    }

    fn apply(&mut self, fate: Fate, event: Range<usize>, pass: &mut Pass<'_>, seen: &mut Seen) {
        match fate {
            Fate::Keep => {}
            Fate::Drop => pass.leave_out(event),
            Fate::Cut(range) => pass.leave_out(event.start + range.start..event.start + range.end),
            Fate::Done => {
                pass.keep_to(event.start);
                seen.done_at = Some(pass.out.len());
                self.done = true;
            }
        }
    }
}

/// Puts out what is kept of a chunk, in as few slices as possible.
struct Pass<'a> {
    from: &'a Bytes,
    /// The bytes before this are in `out`, or left out.
    put: usize,
    out: &'a mut Vec<Bytes>,
}

impl<'a> Pass<'a> {
    fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        self.from.get(range).unwrap_or_default()
    }

    fn keep_to(&mut self, end: usize) {
        if self.put < end {
            self.out.push(self.from.slice(self.put..end));
            self.put = end;
        }
    }

    fn leave_out(&mut self, range: Range<usize>) {
        self.keep_to(range.start);
        self.put = range.end;
    }
}

/// Finds where events end. A line ends with LF, CR LF or CR, an event with an empty line. A CR that is the last byte so far decides
/// nothing: what follows may be its LF.
#[derive(Clone, Debug)]
struct Lines {
    /// The current line has no bytes yet.
    blank: bool,
    after_cr: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            blank: true,
            after_cr: false,
        }
    }
}

impl Lines {
    /// Where the event that goes on at `from` ends: behind its empty line. `None` = not in these bytes. Call with the last answer as
    /// `from`, and with 0 for the next bytes.
    fn end_of_event(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let next = *rest.first()?;
            let was_blank = core::mem::replace(&mut self.blank, true);
            if core::mem::take(&mut self.after_cr) {
                at += usize::from(next == b'\n');
                if was_blank {
                    return Some(at);
                }
                continue;
            }
            // An empty line ends where it is looked for first.
            let ends = matches!(next, b'\n' | b'\r').then_some(0);
            let Some(length) = ends.or_else(|| memchr2(b'\n', b'\r', rest)) else {
                self.blank = false;
                return None;
            };
            self.blank = was_blank && length == 0;
            at += length + 1;
            if rest.get(length) == Some(&b'\r') {
                self.after_cr = true;
            } else if core::mem::replace(&mut self.blank, true) {
                return Some(at);
            }
        }
    }
}

/// The fields of an event that matter.
#[derive(Default)]
struct Fields<'a> {
    name: Option<&'a [u8]>,
    data: Option<(Cow<'a, [u8]>, Data)>,
}

/// Where an event's data stands.
#[derive(Clone, Copy)]
enum Data {
    /// In one piece, this far into the event.
    At(usize),
    /// In several lines.
    Joined,
}

impl<'a> Fields<'a> {
    fn of(event: &'a [u8]) -> Self {
        let mut fields = Self::default();
        let mut at = if event.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        while let Some(rest) = event.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (name, value) = field(rest.get(..end).unwrap_or_default());
            match name {
                b"data" => {
                    fields.data = Some(match fields.data {
                        None => (Cow::Borrowed(value), Data::At(at + end - value.len())),
                        Some((before, _)) => (Cow::Owned([&before, &b"\n"[..], value].concat()), Data::Joined),
                    });
                }
                b"event" => fields.name = Some(value),
                _ => {}
            }
            at += end + 1;
        }
        fields
    }
}

/// Whether these first bytes of an event may be those of `data: [DONE]` and its line ends.
fn may_become_done(bytes: &[u8]) -> bool {
    [&b"data: [DONE]"[..], b"data:[DONE]"]
        .iter()
        .any(|done| match bytes.strip_prefix(*done) {
            Some(rest) => rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')),
            None => done.starts_with(bytes),
        })
}

/// The range of a member and of the comma that goes with it.
fn with_comma(bytes: &[u8], member: Range<usize>) -> Range<usize> {
    match comma_behind(bytes, member.end) {
        Some(comma) => member.start..comma + 1,
        None => comma_before(bytes, member.start).unwrap_or(member.start)..member.end,
    }
}

#[cfg(test)]
mod tests;
