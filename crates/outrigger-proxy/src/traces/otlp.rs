//! OTLP in protobuf, as far as spans need it: ten messages of a frozen format, written. It takes less than the libraries for it take to
//! build, and a test holds it to what they write. It must never be read from but for the one number that a collector answers with.

use super::spans::{Kind, Span, Value};

/// The media type of what [`export`] writes.
pub(super) const MEDIA_TYPE: &str = "application/x-protobuf";

const STATUS_ERROR: u64 = 2;
/// That it is known whether the parent is another process's, and that it is.
const KNOWS_REMOTE: u32 = 1 << 8;
const REMOTE: u32 = 1 << 9;
const SAMPLED: u32 = 1;

/// An `ExportTraceServiceRequest` with all `spans` of one resource.
pub(super) fn export<'a>(resource: &[(String, String)], spans: impl Iterator<Item = &'a Span>) -> Vec<u8> {
    let mut out = Message::default();
    out.message(1, |of_resource| {
        of_resource.message(1, |out| {
            for (name, value) in resource {
                out.message(1, |out| {
                    out.text(1, name);
                    out.message(2, |out| out.bytes(1, value.as_bytes()));
                });
            }
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |out| {
                out.text(1, "outrigger");
                out.text(2, env!("CARGO_PKG_VERSION"));
            });
            for span in spans {
                of_scope.message(2, |out| write(out, span));
            }
        });
    });
    out.0
}

fn write(out: &mut Message, span: &Span) {
    out.bytes(1, &span.trace.0.to_be_bytes());
    out.bytes(2, &span.id.0.to_be_bytes());
    out.text(3, span.state.as_deref().unwrap_or_default());
    if let Some(parent) = span.parent {
        out.bytes(4, &parent.0.to_be_bytes());
    }
    out.text(5, &span.name);
    out.number(
        6,
        match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
    );
    out.fixed64(7, span.start_ns);
    out.fixed64(8, span.end_ns);
    for (name, value) in &span.attributes {
        out.message(9, |out| {
            out.text(1, name);
            out.message(2, |out| any(out, value));
        });
    }
    if span.failed {
        out.message(15, |out| out.number(3, STATUS_ERROR));
    }
    let remote = if span.remote && span.parent.is_some() { REMOTE } else { 0 };
    out.fixed32(16, SAMPLED | KNOWS_REMOTE | remote);
}

/// An `AnyValue`: which member is there says what it is, so that it is written even where it is the member's zero.
fn any(out: &mut Message, value: &Value) {
    match value {
        Value::Text(text) => out.bytes(1, text.as_bytes()),
        Value::Bool(yes) => out.varint_at(2, u64::from(*yes)),
        Value::Int(number) => out.varint_at(3, (*number).min(i64::MAX.unsigned_abs())),
        Value::Double(number) => {
            out.key(4, 1);
            out.0.extend(number.to_le_bytes());
        }
        Value::Texts(texts) => out.message(5, |out| {
            for text in texts {
                out.message(1, |out| out.bytes(1, text.as_bytes()));
            }
        }),
    }
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while let (low, true) = ((number & 0x7f) as u8, number > 0x7f) {
            self.0.push(low | 0x80);
            number >>= 7;
        }
        self.0.push((number & 0x7f) as u8);
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn varint_at(&mut self, field: u32, number: u64) {
        self.key(field, 0);
        self.varint(number);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// Zero, as everywhere outside of a oneof, is not written.
    fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.varint_at(field, number);
        }
    }

    fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn fixed64(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.key(field, 1);
            self.0.extend(number.to_le_bytes());
        }
    }

    fn fixed32(&mut self, field: u32, number: u32) {
        if number != 0 {
            self.key(field, 5);
            self.0.extend(number.to_le_bytes());
        }
    }
}

/// How many spans an `ExportTraceServiceResponse` says that the collector did not take; an answer that is none says nothing.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let Some(Field::Bytes(partial)) = field(answer, 1) else { return 0 };
    match field(partial, 1) {
        // A negative count is nonsense.
        Some(Field::Number(count)) => i64::try_from(count).map_or(0, i64::unsigned_abs),
        _ => 0,
    }
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The last of the fields numbered `wanted`, if everything up to the end can be read.
fn field(mut rest: &[u8], wanted: u64) -> Option<Field<'_>> {
    let mut found = None;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Some(Field::Number(varint(&mut rest)?)),
            1 => take(&mut rest, 8).map(|_| None)?,
            2 => {
                let length = varint(&mut rest)?;
                Some(Field::Bytes(take(&mut rest, usize::try_from(length).ok()?)?))
            }
            5 => take(&mut rest, 4).map(|_| None)?,
            _ => return None,
        };
        if key >> 3 == wanted {
            found = value;
        }
    }
    found
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests;
