//! The account of one request: who served it, at what cost, after which attempts. Kept in a ring for the admin port, written to the
//! log at debug, and sent last in a chat stream. It never holds a byte of a prompt, an answer or a key.

use outrigger_core::{Class, PicoUsd, Usage};
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

/// How many records the ring holds.
const RING: usize = 1_000;

/// An id: `req_` and 24 hexadecimal digits.
pub(crate) type RequestId = Arc<str>;

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
    pub(crate) finish: Option<Arc<str>>,
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
        let text = |value: &Option<Arc<str>>| value.as_deref().map(Value::from);
        put("id", Some(Value::from(&*self.id)));
        put("outcome", Some(Value::from(self.outcome.as_str())));
        put("route", text(&self.route));
        put("rule", text(&self.rule));
        put("endpoint", Some(Value::from(self.endpoint)));
        put("stream", Some(Value::from(self.stream)));
        put("attempts", Some(self.attempts.iter().map(AttemptRecord::to_json).collect()));
        put("provider", text(&self.provider));
        put("model", text(&self.model));
        put("usage", self.usage.and_then(|usage| serde_json::to_value(usage).ok()));
        put("cost_usd", self.cost.map(number));
        put("baseline_usd", self.baseline.map(number));
        put("wasted_usd", self.wasted.map(number));
        put("estimated", Some(Value::from(self.estimated)));
        put("finish", text(&self.finish));
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
    let mut out = format!("{whole}.{fraction:012}");
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
        let _ = write!(out, ";outcome={};ms={}", attempt.class.as_str(), attempt.ms);
    }
    out
}

fn member(out: &mut String, name: &str) {
    let token = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b));
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
            .find(|record| &*record.id == id)
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
