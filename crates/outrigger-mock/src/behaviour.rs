//! What a scripted provider does: the vocabulary of the control API, the start file and the tests.
//!
//! Decides only what can be said, and what is said when nothing is. It must never know how a fault reaches the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Pieces of one answer at most.
const MOST_CHUNKS: usize = 1_000_000;

/// The script of one provider. Every field is optional; the default is a healthy, strict provider that answers at once.
///
/// Times are milliseconds and counts of zero mean "not used", unless a field says otherwise. [`REFERENCE`](crate::REFERENCE) lists the
/// same fields for people at a terminal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Wait before the head of the answer.
    pub latency_ms: u64,
    /// Wait after the head and before the first content.
    pub first_token_ms: u64,
    /// Wait between two pieces of content.
    pub chunk_ms: u64,
    /// While a stream waits or stalls, a keep-alive of its dialect leaves this often.
    pub ping_ms: u64,
    /// Close the connection, without notice, once it was idle for so long after an answer; 0 closes at once.
    pub idle_close_ms: Option<u64>,

    /// What the model says; default: a greeting, or an example of the JSON schema asked for.
    pub text: Option<String>,
    /// Say the client's last text (after `text`, where both are given).
    pub echo: bool,
    /// Pieces that the content is sent in; default: one for each word of a stream.
    pub chunks: Option<usize>,
    /// Tools that the model calls, in parallel, unless the last message brings tool results.
    pub tool_calls: Vec<ToolCall>,
    /// Reasoning that precedes the answer.
    pub thinking: Option<String>,
    /// Why the answer ends, in OpenAI's words (translated for Anthropic) or any other word (as it is).
    pub finish: Option<String>,
    /// Tokens reported; default: counted from the bytes, four to a token.
    pub usage: Option<Tokens>,
    /// Model named in the answer; default: the one asked for.
    pub model: Option<String>,
    /// Models that exist here: all others are a 404. Default: any model exists, and two are listed.
    pub models: Option<Vec<String>>,

    /// HTTP status; from 400 on the body is an error of the dialect.
    pub status: Option<u16>,
    /// What the error says; the default follows from the status.
    pub error: Option<ErrorScript>,
    /// Value of `retry-after`: seconds or a date.
    #[serde(deserialize_with = "number_or_text")]
    pub retry_after: Option<String>,
    /// Further headers of every answer; they replace those of the same name.
    pub headers: BTreeMap<String, String>,
    /// The whole body, byte for byte, of every answer.
    pub raw: Option<String>,
    /// A body that is no answer.
    pub body: Option<BodyFault>,
    /// An error inside a stream that began well.
    pub error_in_stream: Option<StreamError>,
    /// Break the connection with a reset (RST).
    pub reset: Option<Cut>,
    /// Break the connection with an orderly close (FIN).
    pub close: Option<Cut>,
    /// Fall silent and stay connected.
    pub stall: Option<Stall>,
    /// Compress answers.
    pub gzip: Gzip,

    /// Send the whole answer in one write, head included.
    pub one_write: bool,
    /// Send the answer in pieces of this many bytes, wherever they fall.
    pub split_bytes: usize,

    /// Keys accepted; any other is a 401. Default: every key.
    pub keys: Option<Vec<String>>,
    /// Scripts of single keys: a call that brings one of them meets its script instead of this one. Schedules count all calls of the provider.
    pub by_key: BTreeMap<String, Behaviour>,
    /// Refuse, with a 400 that says why, what a gateway must not send; default: true.
    pub strict: Option<bool>,
    /// Further top-level fields that a strict provider takes.
    pub accept_fields: Vec<String>,
    /// Calls answered at a time; the others get `overload_status`.
    pub max_concurrency: Option<usize>,
    /// Status of calls over `max_concurrency`; default: 429.
    pub overload_status: Option<u16>,

    /// Faults strike the first calls only.
    pub fail_first: u64,
    /// Faults strike each so-manieth call only.
    pub fail_every: u64,
    /// Faults strike this share of the calls only, 0 to 1, drawn from `seed`.
    pub fail_rate: f64,
    /// Seed of `fail_rate`.
    pub seed: u64,
}

/// A tool that the scripted model calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Name of the tool.
    pub name: String,
    /// Arguments: a JSON value, or a text that is sent as it is and need not be JSON.
    #[serde(default)]
    pub arguments: Value,
    /// Id of the call; default: minted from the number of the answer.
    #[serde(default)]
    pub id: Option<String>,
}

/// Tokens of one answer in disjoint classes; `reasoning` is a part of `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Prompt tokens that touched no cache.
    pub input: u64,
    /// Generated tokens, reasoning included.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cached_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
}

/// An error body. What is left out follows from the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorScript {
    /// The dialect's `type`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The dialect's `code`: a text with most providers, a number with some.
    pub code: Option<Value>,
    /// The field complained about.
    pub param: Option<String>,
    /// The sentence.
    pub message: Option<String>,
}

/// An error event after some content. (Not flattened: unknown fields shall be refused here too.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamError {
    /// Pieces of content before it; 0: after the opening events and before any content.
    pub after_chunks: usize,
    /// The dialect's `type`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The dialect's `code`.
    pub code: Option<Value>,
    /// The field complained about.
    pub param: Option<String>,
    /// The sentence.
    pub message: Option<String>,
}

impl StreamError {
    pub(crate) fn script(&self) -> ErrorScript {
        ErrorScript {
            kind: self.kind.clone(),
            code: self.code.clone(),
            param: self.param.clone(),
            message: self.message.clone(),
        }
    }
}

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Once the request was read, before any byte of an answer.
    BeforeHead,
    /// As `before_head`, but only on a connection that carried a call before: what a pooled connection looks like that died unnoticed.
    Reused,
    /// Once the head has left.
    AfterHead,
    /// Once so many pieces of content have left.
    AfterChunks(usize),
}

/// Where an answer falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stall {
    /// The request is read and never answered.
    Accept,
    /// Once the head has left.
    AfterHead,
    /// Once so many pieces of content have left.
    AfterChunks(usize),
}

/// A body that is no answer. The status stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyFault {
    /// JSON that breaks off; in a stream, inside its first content event.
    Malformed,
    /// A page for people.
    Html,
    /// No byte.
    Empty,
    /// An error object under status 200; in a stream, as its first event.
    #[serde(rename = "error_200")]
    Error200,
    /// A well-formed answer without a choice or a content block.
    EmptyChoices,
    /// A stream that ends in good order, but before its finish and closing events.
    Truncated,
}

/// When answers are compressed. JSON: `false`, `true` (when the request offers it) or `"always"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gzip {
    /// Never.
    #[default]
    Never,
    /// When `accept-encoding` names gzip.
    WhenOffered,
    /// Unasked.
    Always,
}

impl Serialize for Gzip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_bool(false),
            Self::WhenOffered => serializer.serialize_bool(true),
            Self::Always => serializer.serialize_str("always"),
        }
    }
}

impl<'de> Deserialize<'de> for Gzip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(false) => Ok(Self::Never),
            Value::Bool(true) => Ok(Self::WhenOffered),
            Value::String(word) if word == "always" => Ok(Self::Always),
            other @ (Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(serde::de::Error::custom(format!("gzip is true, false or \"always\", not {other}")))
            }
        }
    }
}

impl Behaviour {
    /// Reads a script and checks it.
    ///
    /// # Errors
    /// What is wrong with it, with line and column where that is known.
    pub fn parse(json: &str) -> Result<Self, String> {
        // The derived reader would take a list for the fields in order.
        if !json.trim_start().starts_with('{') {
            return Err("a behaviour is a JSON object".to_owned());
        }
        let behaviour: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        behaviour.check()?;
        Ok(behaviour)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first field that cannot be meant, and why.
    pub fn check(&self) -> Result<(), String> {
        for (name, status) in [("status", self.status), ("overload_status", self.overload_status)] {
            if status.is_some_and(|status| !(200..=599).contains(&status)) {
                return Err(format!("{name} must be between 200 and 599"));
            }
        }
        for (key, script) in &self.by_key {
            script.check().map_err(|why| format!("by_key `{key}`: {why}"))?;
        }
        if !(0.0..=1.0).contains(&self.fail_rate) {
            return Err("fail_rate must be between 0 and 1".to_owned());
        }
        if self.chunks.is_some_and(|chunks| chunks > MOST_CHUNKS) {
            return Err(format!("chunks must be at most {MOST_CHUNKS}"));
        }
        let scripted = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let retry_after = self.retry_after.as_deref().map(|value| ("retry-after", value));
        for (name, value) in scripted.chain(retry_after) {
            if name.parse::<http::HeaderName>().is_err() || http::HeaderValue::from_str(value).is_err() {
                return Err(format!("`{name}: {value}` is not a header"));
            }
        }
        Ok(())
    }

    /// The script that a call with this key meets.
    pub(crate) fn of_key(&self, key: Option<&str>) -> &Self {
        key.and_then(|key| self.by_key.get(key)).unwrap_or(self)
    }

    /// Whether faults strike the call with this number (from 1, counted since the behaviour was set).
    pub(crate) fn strikes(&self, call: u64) -> bool {
        let scheduled = self.fail_first > 0 || self.fail_every > 0 || self.fail_rate > 0.0;
        !scheduled
            || call <= self.fail_first
            || (self.fail_every > 0 && call.is_multiple_of(self.fail_every))
            || draw(self.seed, call) < self.fail_rate
    }

    /// The same provider with its faults gone.
    pub(crate) fn healthy(&self) -> Self {
        Self {
            status: None,
            error: None,
            retry_after: None,
            raw: None,
            body: None,
            error_in_stream: None,
            reset: None,
            close: None,
            stall: None,
            ..self.clone()
        }
    }

    /// A schedule of failures that names no fault means a plain server error.
    pub(crate) fn struck(&self) -> Self {
        let scheduled = self.fail_first > 0 || self.fail_every > 0 || self.fail_rate > 0.0;
        let nothing = *self == self.healthy();
        Self {
            status: if scheduled && nothing { Some(500) } else { self.status },
            ..self.clone()
        }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict.unwrap_or(true)
    }
}

/// A number in 0..1 that depends on its arguments alone (SplitMix64), so that a run can be repeated call by call.
fn draw(seed: u64, call: u64) -> f64 {
    let mut z = seed.wrapping_add(call.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other @ (Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(serde::de::Error::custom(format!(
            "retry_after is a number of seconds or a text, not {other}"
        ))),
    }
}

#[cfg(test)]
mod tests;
