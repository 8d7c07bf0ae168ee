//! Server-sent events: bytes to events and back. Splits on bytes, so a character cut by a read is whole again in its event; it must never
//! hold more than one event.

use memchr::{memchr, memchr2};
use thiserror::Error;

/// One event, or one comment line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field.
    pub name: Option<&'a [u8]>,
    /// The `data:` lines joined by line feeds; of a comment, the text behind the colon.
    pub data: &'a [u8],
    /// A comment line (a keep-alive), handed over at once and without a name.
    pub comment: bool,
}

/// An event outgrew the splitter's limit. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an event of the stream is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit that was set.
    pub limit: usize,
}

/// Cuts a byte stream into events. Line ends may be LF, CR or CRLF and may be split anywhere.
#[derive(Clone, Debug)]
pub struct Splitter {
    max_event: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    name: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
    after_cr: bool,
    first_line: bool,
}

impl Splitter {
    /// A splitter that holds at most `max_event` bytes of one event.
    pub fn new(max_event: usize) -> Self {
        Self {
            max_event,
            line: Vec::new(),
            name: None,
            data: None,
            after_cr: false,
            first_line: true,
        }
    }

    /// Hands every event that `chunk` completes to `on_event`, in order.
    ///
    /// # Errors
    /// [`TooLong`] where one event has more bytes than allowed; push nothing more then.
    pub fn push(&mut self, chunk: &[u8], on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TooLong> {
        let mut rest = chunk;
        if let (true, Some((b'\n', behind))) = (self.after_cr, rest.split_first()) {
            rest = behind;
        }
        self.after_cr &= chunk.is_empty();
        while let Some(end) = memchr2(b'\n', b'\r', rest) {
            let (line, behind) = rest.split_at(end);
            rest = match behind {
                [b'\r', b'\n', more @ ..] | [_, more @ ..] => more,
                [] => behind,
            };
            self.after_cr = rest.is_empty() && behind == b"\r";
            if self.line.is_empty() {
                self.take_line(line, on_event)?;
            } else {
                let mut whole = core::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, on_event)?;
                whole.clear();
                self.line = whole;
            }
        }
        self.line.extend_from_slice(rest);
        self.within_limit(self.line.len())
    }

    /// The stream is over. A last event without its blank line is handed over too: many providers forget it. It may be half an event, so
    /// the receiver judges what its data says.
    pub fn finish(mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        let line = core::mem::take(&mut self.line);
        let whole = line.is_empty() || self.take_line(&line, on_event).is_ok();
        if whole {
            self.dispatch(on_event);
        }
    }

    fn take_line(&mut self, line: &[u8], on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TooLong> {
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(line) if self.first_line => line,
            _ => line,
        };
        self.first_line = false;
        if line.is_empty() {
            self.dispatch(on_event);
            return Ok(());
        }
        let (field, value) = field(line);
        match field {
            b"" => on_event(Event {
                name: None,
                data: value,
                comment: true,
            }),
            b"data" => {
                self.within_limit(value.len())?;
                match &mut self.data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    none => *none = Some(value.to_vec()),
                }
            }
            b"event" => self.name = Some(value.to_vec()),
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        let name = self.name.take();
        if let Some(data) = self.data.take() {
            on_event(Event {
                name: name.as_deref(),
                data: &data,
                comment: false,
            });
        }
    }

    fn within_limit(&self, more: usize) -> Result<(), TooLong> {
        let held = self.data.as_ref().map_or(0, Vec::len) + self.name.as_ref().map_or(0, Vec::len);
        if held + more > self.max_event {
            return Err(TooLong { limit: self.max_event });
        }
        Ok(())
    }
}

/// A line's field name and value: `data: x` is (`data`, `x`), `: x` is the comment (``, `x`), `data` alone is (`data`, ``).
pub(crate) fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = match memchr(b':', line) {
        Some(colon) => (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default()),
        None => (line, &[][..]),
    };
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

/// Appends one event; line feeds in `data` become several `data:` lines.
pub fn write_event(out: &mut Vec<u8>, name: Option<&str>, data: &[u8]) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
