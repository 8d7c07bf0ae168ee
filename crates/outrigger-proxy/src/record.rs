//! The account of one request: who served it, at what cost, after which attempts. Kept in a ring for the admin port, written to the
//! log at debug, and sent last in a chat stream. It never holds a byte of a prompt, an answer or a key.

use crate::text;
use bytes::Bytes;
use http::HeaderValue;
use outrigger_core::{Class, PicoUsd, Usage};
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// How many records the ring holds.
const RING: usize = 1_000;

/// An id: shown as `req_` and 24 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(u64, u32);

impl RequestId {
    /// A new one.
    pub(crate) fn mint() -> Self {
        Self(fastrand::u64(..), fastrand::u32(..))
    }

    /// As a header's value.
    pub(crate) fn header(self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut shown = *b"req_000000000000000000000000";
        let bytes = self.0.to_be_bytes().into_iter().chain(self.1.to_be_bytes());
        let nibbles = bytes.flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, nibble) in shown.iter_mut().skip(4).zip(nibbles) {
            *place = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        }
        header_value(Bytes::copy_from_slice(&shown))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{:016x}{:08x}", self.0, self.1)
    }
}

/// The value of a header of ours; one that no header can hold becomes empty.
pub(crate) fn header_value(text: impl Into<Bytes>) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.into()).unwrap_or(HeaderValue::from_static(""))
}

/// One attempt of a record.
#[derive(Clone, Debug)]
pub(crate) struct AttemptRecord {
    pub(crate) target: Arc<str>,
    /// The model that was asked for, where the target takes any.
    pub(crate) model: Option<Arc<str>>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) class: Class,
    pub(crate) ms: u64,
}

/// A request's account. Absent = not known, which is never zero.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: RequestId,
    pub(crate) outcome: Class,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) endpoint: &'static str,
    pub(crate) stream: bool,
    pub(crate) attempts: Vec<AttemptRecord>,
    pub(crate) provider: Option<Arc<str>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Option<PicoUsd>,
    pub(crate) baseline: Option<PicoUsd>,
    pub(crate) wasted: Option<PicoUsd>,
    pub(crate) estimated: bool,
    pub(crate) finish: Option<String>,
    pub(crate) total_us: u64,
    pub(crate) first_content_us: Option<u64>,
    pub(crate) gateway_us: u64,
}

impl Record {
    /// The record as people and programs read it; unknown fields are absent.
    pub(crate) fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        let shown = |value: &Option<Arc<str>>| value.as_deref().map(Value::from);
        put("id", Some(Value::from(self.id.to_string())));
        put("outcome", Some(Value::from(self.outcome.as_str())));
        put("route", shown(&self.route));
        put("rule", shown(&self.rule));
        put("endpoint", Some(Value::from(self.endpoint)));
        put("stream", Some(Value::from(self.stream)));
        put("attempts", Some(self.attempts.iter().map(AttemptRecord::to_json).collect()));
        put("provider", shown(&self.provider));
        put("model", shown(&self.model));
        put("usage", self.usage.and_then(|usage| serde_json::to_value(usage).ok()));
        put("cost_usd", self.cost.map(number));
        put("baseline_usd", self.baseline.map(number));
        put("wasted_usd", self.wasted.map(number));
        put("estimated", Some(Value::from(self.estimated)));
        put("finish", self.finish.as_deref().map(Value::from));
        let mut ms = Map::new();
        ms.insert("total".into(), millis(self.total_us));
        if let Some(first) = self.first_content_us {
            ms.insert("first_content".into(), millis(first));
        }
        ms.insert("gateway".into(), millis(self.gateway_us));
        put("ms", Some(Value::Object(ms)));
        Value::Object(out)
    }
}

impl AttemptRecord {
    fn to_json(&self) -> Value {
        let mut value = json!({ "target": &*self.target, "outcome": self.class.as_str(), "ms": self.ms });
        if let (Some(model), Some(out)) = (&self.model, value.as_object_mut()) {
            out.insert("model".into(), Value::from(&**model));
        }
        if let (Some(key), Some(out)) = (&self.key, value.as_object_mut()) {
            out.insert("key".into(), Value::from(&**key));
        }
        value
    }
}

/// Milliseconds with three decimals.
fn millis(us: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let ms = us as f64 / 1_000.0;
    Value::from(ms)
}

/// Dollars as a JSON number.
fn number(amount: PicoUsd) -> Value {
    usd(amount).parse::<f64>().map_or(Value::Null, Value::from)
}

/// Dollars in decimals, exact: `0.000123`.
pub(crate) fn usd(amount: PicoUsd) -> String {
    const PICO: u64 = 1_000_000_000_000;
    let (whole, fraction) = (amount.0 / PICO, amount.0 % PICO);
    let mut out = String::with_capacity(24);
    text::push(&mut out, whole);
    out.push('.');
    text::push_padded(&mut out, fraction, 12);
    let kept = out.trim_end_matches('0').len();
    out.truncate(kept);
    if out.ends_with('.') {
        out.push('0');
    }
    out
}

/// `x-outrigger-attempts`: an RFC 9651 list, oldest first. A member that is no token is a quoted string.
pub(crate) fn attempts_header(attempts: &[AttemptRecord]) -> String {
    let mut out = String::with_capacity(attempts.len() * 48);
    for attempt in attempts {
        if !out.is_empty() {
            out.push_str(", ");
        }
        match &attempt.model {
            Some(model) => member(&mut out, &format!("{}/{model}", attempt.target.trim_end_matches("/*"))),
            None => member(&mut out, &attempt.target),
        }
        out.push_str(";outcome=");
        out.push_str(attempt.class.as_str());
        out.push_str(";ms=");
        text::push(&mut out, attempt.ms);
    }
    out
}

fn member(out: &mut String, name: &str) {
    let token = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*') && name.bytes().all(of_token);
    if token {
        out.push_str(name);
        return;
    }
    out.push('"');
    for c in name.chars().filter(|c| (' '..='~').contains(c)) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Whether a byte may stand in a token of RFC 9651.
fn of_token(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'/' | b':' | b'_' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~')
}

/// The last records, newest last.
#[derive(Debug, Default)]
pub(crate) struct Ring(Mutex<VecDeque<Record>>);

impl Ring {
    pub(crate) fn push(&self, record: Record) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= RING {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// All of them, newest first.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .rev()
            .cloned()
            .collect()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Record> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(|record| record.id.to_string() == id)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact_decimals() {
        for (pico, text) in [
            (0, "0.0"),
            (1, "0.000000000001"),
            (123_000_000, "0.000123"),
            (2_500_000_000_000, "2.5"),
        ] {
            assert_eq!(usd(PicoUsd(pico)), text);
        }
    }

    #[test]
    fn an_id_is_the_same_text_in_a_header_and_in_a_record() {
        for id in [RequestId(0, 0), RequestId(0x0123_4567_89ab_cdef, 0xfedc_ba98), RequestId::mint()] {
            assert_eq!(id.header().to_str().unwrap(), id.to_string());
        }
    }

    #[test]
    fn a_token_has_the_characters_of_the_standard() {
        for byte in 0..=u8::MAX {
            let of_standard = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
            assert_eq!(of_token(byte), of_standard, "{byte}");
        }
    }

    #[test]
    fn a_member_that_is_no_token_is_quoted() {
        let attempt = |target: &str, model: Option<&str>| AttemptRecord {
            target: target.into(),
            model: model.map(Into::into),
            key: None,
            class: Class::Timeout,
            ms: 12,
        };
        let header = attempts_header(&[
            attempt("openai-main/gpt-4o", None),
            attempt("1st/m", None),
            attempt("pass/*", Some("a \"b\"\\é")),
        ]);
        assert_eq!(
            header,
            r#"openai-main/gpt-4o;outcome=timeout;ms=12, "1st/m";outcome=timeout;ms=12, "pass/a \"b\"\\";outcome=timeout;ms=12"#
        );
    }
}
