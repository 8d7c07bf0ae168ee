//! The account of one request: who served it, at what cost, after which attempts. Kept in a ring for the admin port, written to the
//! log at debug, and sent last in a chat stream. It never holds a byte of a prompt, an answer or a key.

use crate::{text, traces::TraceId};
use bytes::Bytes;
use http::HeaderValue;
use outrigger_core::{Class, PicoUsd, Usage};
use serde_json::Value;
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// How many records the ring holds.
const RING: usize = 1_000;

/// An id: shown as `req_` and 24 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) u64, pub(crate) u32);

impl RequestId {
    /// A new one.
    pub(crate) fn mint() -> Self {
        Self(fastrand::u64(..), fastrand::u32(..))
    }

    /// What the request's draws come from: whoever knows the id can draw again.
    pub(crate) fn seed(self) -> u64 {
        self.0
    }

    /// As a header's value.
    pub(crate) fn header(self) -> HeaderValue {
        header_value(Bytes::copy_from_slice(&self.text()))
    }

    fn text(self) -> [u8; 28] {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let mut shown = *b"req_000000000000000000000000";
        let bytes = self.0.to_be_bytes().into_iter().chain(self.1.to_be_bytes());
        for ([high, low], byte) in shown.as_chunks_mut().0.iter_mut().skip(2).zip(bytes) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
        shown
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
    /// It was sent to learn whether its target is well again, and was cut short where that took long.
    pub(crate) probe: bool,
    pub(crate) ms: u64,
}

/// A request's account. Absent = not known, which is never zero.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: RequestId,
    /// The trace that the request is part of, where it is traced.
    pub(crate) trace: Option<TraceId>,
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
    /// The record as a JSON object; unknown fields are absent. Written, not built: each stream carries one.
    pub(crate) fn json(&self) -> String {
        String::from_utf8(self.write(Vec::with_capacity(512))).unwrap_or_default()
    }

    /// Appends [`Self::json`].
    pub(crate) fn write(&self, out: Vec<u8>) -> Vec<u8> {
        let mut out = Object::new(out);
        out.text("id", std::str::from_utf8(&self.id.text()).ok());
        if let Some(trace) = self.trace {
            out.raw("trace_id", &format!("\"{trace}\""));
        }
        out.text("outcome", Some(self.outcome.as_str()));
        out.text("route", self.route.as_deref());
        out.text("rule", self.rule.as_deref());
        out.text("endpoint", Some(self.endpoint));
        out.raw("stream", if self.stream { "true" } else { "false" });
        out.key("attempts");
        out.0.push(b'[');
        for (at, attempt) in self.attempts.iter().enumerate() {
            if at > 0 {
                out.0.push(b',');
            }
            out = Object(attempt.json(out.0));
        }
        out.0.push(b']');
        out.text("provider", self.provider.as_deref());
        out.text("model", self.model.as_deref());
        if let Some(usage) = &self.usage {
            out.key("usage");
            let mut inner = Object::new(out.0);
            for (name, count) in crate::metrics::TOKEN_CLASSES.into_iter().zip(crate::metrics::token_counts(usage)) {
                inner.number(name, count);
            }
            out = Object(inner.close());
        }
        for (name, amount) in [
            ("cost_usd", self.cost),
            ("baseline_usd", self.baseline),
            ("wasted_usd", self.wasted),
        ] {
            if let Some(amount) = amount {
                out.key(name);
                push_usd(&mut out.0, amount);
            }
        }
        out.raw("estimated", if self.estimated { "true" } else { "false" });
        out.text("finish", self.finish.as_deref());
        out.key("ms");
        let mut ms = Object::new(out.0);
        ms.ms("total", self.total_us);
        if let Some(first) = self.first_content_us {
            ms.ms("first_content", first);
        }
        ms.ms("gateway", self.gateway_us);
        Object(ms.close()).close()
    }

    /// [`Self::json`], for pages that hold several.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.json()).unwrap_or_default()
    }
}

impl AttemptRecord {
    fn json(&self, out: Vec<u8>) -> Vec<u8> {
        let mut out = Object::new(out);
        out.text("target", Some(&self.target));
        out.text("outcome", Some(self.class.as_str()));
        out.number("ms", self.ms);
        out.text("model", self.model.as_deref());
        out.text("key", self.key.as_deref());
        if self.probe {
            out.raw("probe", "true");
        }
        out.close()
    }
}

/// A JSON object that is being written.
struct Object(Vec<u8>);

impl Object {
    fn new(mut out: Vec<u8>) -> Self {
        out.push(b'{');
        Self(out)
    }

    fn key(&mut self, name: &str) {
        let before: &[u8] = if self.0.ends_with(b"{") { b"\"" } else { b",\"" };
        self.0.extend_from_slice(before);
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn raw(&mut self, name: &str, value: &str) {
        self.key(name);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        text::push(&mut self.0, value);
    }

    /// Microseconds as milliseconds with three decimals.
    fn ms(&mut self, name: &str, micros: u64) {
        self.key(name);
        text::push_ms(&mut self.0, micros);
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.key(name);
        if value.bytes().all(|byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')) {
            self.0.push(b'"');
            self.0.extend_from_slice(value.as_bytes());
            self.0.push(b'"');
        } else {
            self.0.extend_from_slice(Value::from(value).to_string().as_bytes());
        }
    }

    fn close(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// Appends dollars in decimals, exact: `0.000123`.
pub(crate) fn push_usd(out: &mut Vec<u8>, amount: PicoUsd) {
    const PICO: u64 = 1_000_000_000_000;
    text::push(out, amount.0 / PICO);
    out.push(b'.');
    let mut digits = [b'0'; 20];
    text::put(&mut digits, amount.0 % PICO);
    let fraction = text::last(&digits, 12);
    let kept = fraction.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    out.extend(fraction.iter().take(kept));
}

/// Appends `x-outrigger-attempts`: an RFC 9651 list, oldest first. A member that is no token is a quoted string.
pub(crate) fn push_attempts(out: &mut Vec<u8>, attempts: &[AttemptRecord]) {
    for (at, attempt) in attempts.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        match &attempt.model {
            Some(model) => member(out, &format!("{}/{model}", attempt.target.trim_end_matches("/*"))),
            None => member(out, &attempt.target),
        }
        out.extend_from_slice(b";outcome=");
        out.extend_from_slice(attempt.class.as_str().as_bytes());
        out.extend_from_slice(b";ms=");
        text::push(out, attempt.ms);
        if attempt.probe {
            out.extend_from_slice(b";probe");
        }
    }
}

fn member(out: &mut Vec<u8>, name: &str) {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
    if begins && name.bytes().all(of_token) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in name.bytes().filter(|byte| (b' '..=b'~').contains(byte)) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
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
            let mut out = b"7, ".to_vec();
            push_usd(&mut out, PicoUsd(pico));
            assert_eq!(out, format!("7, {text}").as_bytes());
        }
    }

    #[test]
    fn an_id_is_the_same_text_in_a_header_and_in_a_record() {
        for id in [RequestId(0, 0), RequestId(0x0123_4567_89ab_cdef, 0xfedc_ba98), RequestId::mint()] {
            assert_eq!(id.header().to_str().unwrap(), id.to_string());
        }
    }

    #[test]
    fn a_record_is_json_with_what_is_known_and_nothing_else() {
        let known = Record {
            id: RequestId(1, 2),
            trace: Some(TraceId(0xab)),
            outcome: Class::Ok,
            route: Some("ns/r".into()),
            rule: Some("a \"quoted\" \\ rule\n".into()),
            endpoint: "chat",
            stream: true,
            attempts: vec![
                AttemptRecord {
                    target: "a/m".into(),
                    model: None,
                    key: Some("k".into()),
                    class: Class::Timeout,
                    probe: true,
                    ms: 2_001,
                },
                AttemptRecord {
                    target: "b/*".into(),
                    model: Some("möbel".into()),
                    key: None,
                    class: Class::Ok,
                    probe: false,
                    ms: 4,
                },
            ],
            provider: Some("b".into()),
            model: Some("möbel".into()),
            usage: Some(Usage {
                input: 1,
                output: 2,
                cached_read: 3,
                cache_write: 4,
                reasoning: 5,
            }),
            cost: Some(PicoUsd(123_000_000)),
            baseline: Some(PicoUsd(2_500_000_000_000)),
            wasted: None,
            estimated: false,
            finish: Some("stop".into()),
            total_us: 1_234_567,
            first_content_us: Some(7),
            gateway_us: 0,
        };
        assert_eq!(
            serde_json::from_str::<Value>(&known.json()).unwrap(),
            serde_json::json!({
                "id": "req_000000000000000100000002", "trace_id": "000000000000000000000000000000ab", "outcome": "ok", "route": "ns/r", "rule": "a \"quoted\" \\ rule\n",
                "endpoint": "chat",
                "stream": true, "attempts": [{ "target": "a/m", "outcome": "timeout", "ms": 2001, "key": "k", "probe": true },
                    { "target": "b/*", "outcome": "ok", "ms": 4, "model": "möbel" }],
                "provider": "b", "model": "möbel",
                "usage": { "input": 1, "output": 2, "cached_read": 3, "cache_write": 4, "reasoning": 5 },
                "cost_usd": 0.000_123, "baseline_usd": 2.5, "estimated": false, "finish": "stop",
                "ms": { "total": 1234.567, "first_content": 0.007, "gateway": 0.0 },
            })
        );
        let unknown = Record {
            trace: None,
            route: None,
            attempts: Vec::new(),
            usage: None,
            cost: None,
            baseline: None,
            finish: None,
            first_content_us: None,
            ..known
        };
        let value = unknown.value();
        for name in ["trace_id", "route", "usage", "cost_usd", "baseline_usd", "wasted_usd", "finish"] {
            assert!(value.get(name).is_none(), "{name}");
        }
        assert_eq!(value["attempts"], serde_json::json!([]));
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
            probe: target == "pass/*",
            ms: 12,
        };
        let mut header = Vec::new();
        let attempts = [
            attempt("openai-main/gpt-4o", None),
            attempt("1st/m", None),
            attempt("pass/*", Some("a \"b\"\\é")),
        ];
        push_attempts(&mut header, &attempts);
        assert_eq!(
            String::from_utf8(header).unwrap(),
            r#"openai-main/gpt-4o;outcome=timeout;ms=12, "1st/m";outcome=timeout;ms=12, "pass/a \"b\"\\";outcome=timeout;ms=12;probe"#
        );
    }
}
