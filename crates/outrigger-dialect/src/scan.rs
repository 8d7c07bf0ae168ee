//! One pass over the bytes of a request: where the top-level fields stand that routing reads, and a sketch of how large the prompt is.
//! Nothing is parsed into values and nothing is copied but the model's name. It must never read a field differently from the provider
//! that is billed for it: so a field that is read here may stand only once and only in its plain spelling.
//!
//! The body must be UTF-8 and one JSON object, nested no deeper than 128 levels. Strings, brackets and separators are checked on the
//! way; a bad number or a bad escape inside a value that is only skipped passes, and the provider judges it.

use crate::json::{self, Kind, Malformed, Reader, Why, items, members, unescape};
use outrigger_core::Endpoint;
use std::borrow::Cow;
use thiserror::Error;

mod sketch;

pub use sketch::Sketch;

/// A range of bytes of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes of `body` that it names; empty where `body` is not the body that was scanned.
    pub fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }
}

/// A member of the top-level object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its key, without the quotes.
    pub(crate) key: Span,
    /// Its value.
    pub(crate) value: Span,
    /// The value is `null`.
    pub(crate) null: bool,
}

/// What a request says, as far as routing reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Scan {
    /// The model's name as it stands in the body, without the quotes and with its escapes.
    pub model: Span,
    /// The model's name, escapes resolved.
    pub model_name: String,
    /// `"stream": true`.
    pub stream: bool,
    /// The value of `stream_options`, where it is an object.
    pub stream_options: Option<Span>,
    /// `"stream_options": {"include_usage": true}`.
    pub include_usage: bool,
    /// The limit on output tokens: `max_completion_tokens`, else `max_tokens`.
    pub max_tokens: Option<u64>,
    /// How many answers are asked for; absent = 1.
    pub n: Option<u64>,
    /// Tools, or the older functions, are offered.
    pub tools: bool,
    /// An image is among the messages.
    pub vision: bool,
    /// The answer must follow a JSON schema.
    pub json_schema: bool,
    /// The model is asked to think first.
    pub reasoning: bool,
    /// The value of `metadata`, where it is an object.
    pub metadata: Option<Span>,
    /// How large the prompt is.
    pub sketch: Sketch,
    pub(crate) places: Places,
}

/// Places that only a splice needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// Behind the opening brace of the body.
    pub(crate) body: usize,
    pub(crate) stream_options: Option<Member>,
    /// The value of `include_usage`.
    pub(crate) include_usage: Option<Span>,
    /// `stream_options` has no members.
    pub(crate) no_options: bool,
    pub(crate) max_tokens: Option<Member>,
    pub(crate) max_completion_tokens: Option<Member>,
}

impl Places {
    /// Where a member is noted that an edit may rename or take out.
    fn of(&mut self, field: Field) -> Option<&mut Option<Member>> {
        if field == Field::StreamOptions {
            Some(&mut self.stream_options)
        } else if field == Field::MaxTokens {
            Some(&mut self.max_tokens)
        } else {
            (field == Field::MaxCompletionTokens).then_some(&mut self.max_completion_tokens)
        }
    }
}

/// Why a request cannot be routed. `Display` is a sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScanError {
    /// Not UTF-8.
    #[error("the request body is not valid UTF-8: byte {at} cannot stand there")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// Not JSON, as far as it was read.
    #[error("the request body is not valid JSON: {0}")]
    NotJson(String),
    /// JSON, but not an object.
    #[error("the request body must be a JSON object")]
    NotAnObject,
    /// Nested too deep.
    #[error("the request body is nested deeper than {} levels", json::MAX_DEPTH)]
    TooDeep,
    /// A field that is read here stands twice.
    #[error("the field `{0}` stands more than once in the request body; send it once")]
    Duplicate(&'static str),
    /// A field that is read here is spelt with escapes.
    #[error("the name of the field `{0}` is spelt with escape sequences; write it plainly")]
    Escaped(&'static str),
    /// `model` is absent, null or empty.
    #[error("the request names no model: set the field `model`")]
    NoModel,
    /// A value of another type than its field has.
    #[error("the field `{param}` must be {expected}")]
    WrongType {
        /// The field, `a.b` for a member of a member.
        param: &'static str,
        /// What it must be, with an article.
        expected: &'static str,
    },
}

impl ScanError {
    /// The field to blame, for `error.param`.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Duplicate(field) | Self::Escaped(field) => Some(field),
            Self::WrongType { param, .. } => Some(param),
            Self::NoModel => Some("model"),
            Self::NotUtf8 { .. } | Self::NotJson(_) | Self::NotAnObject | Self::TooDeep => None,
        }
    }

    /// For `error.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotUtf8 { .. } | Self::NotJson(_) | Self::NotAnObject | Self::TooDeep => "invalid_json",
            Self::Duplicate(_) => "duplicate_parameter",
            Self::Escaped(_) => "invalid_parameter_name",
            Self::NoModel => "missing_required_parameter",
            Self::WrongType { .. } => "invalid_type",
        }
    }
}

impl From<Why> for ScanError {
    fn from(why: Why) -> Self {
        match why {
            Why::TooDeep => Self::TooDeep,
            Why::End => Self::NotJson("it ends too early".to_owned()),
            Why::Unexpected(at) => Self::NotJson(format!("unexpected character at byte {at}")),
        }
    }
}

/// What stops a scan: the reader knows why, or the scan does.
enum Stop {
    Malformed,
    Refused(ScanError),
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Refused(error)
    }
}

macro_rules! fields {
    ($($field:ident $name:literal,)*) => {
        /// A top-level field that is read here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Field { $($field,)* }

        impl Field {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$field,)*];

            fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }

            fn named(name: &[u8]) -> Option<Self> {
                $(if name == $name.as_bytes() { return Some(Self::$field); })*
                None
            }
        }
    };
}

fields! {
    Model "model",
    Messages "messages",
    Stream "stream",
    StreamOptions "stream_options",
    MaxTokens "max_tokens",
    MaxCompletionTokens "max_completion_tokens",
    N "n",
    Tools "tools",
    Functions "functions",
    ResponseFormat "response_format",
    OutputConfig "output_config",
    Metadata "metadata",
    System "system",
    Input "input",
    ReasoningEffort "reasoning_effort",
    Thinking "thinking",
}

impl Field {
    /// Whether the endpoint's requests have this field.
    fn belongs_to(self, endpoint: Endpoint) -> bool {
        match self {
            Self::Model | Self::Metadata => true,
            Self::Input => endpoint == Endpoint::Embeddings,
            Self::Messages | Self::Stream | Self::MaxTokens | Self::Tools => endpoint != Endpoint::Embeddings,
            Self::StreamOptions | Self::MaxCompletionTokens | Self::N | Self::Functions | Self::ResponseFormat | Self::ReasoningEffort => {
                endpoint == Endpoint::Chat
            }
            Self::OutputConfig | Self::System | Self::Thinking => endpoint == Endpoint::Messages,
        }
    }
}

/// Reads the body of a request to `endpoint`.
///
/// # Errors
/// Every [`ScanError`] is the caller's mistake: a 400 in its dialect.
pub fn scan(body: &[u8], endpoint: Endpoint) -> Result<Scan, ScanError> {
    simdutf8::compat::from_utf8(body).map_err(|error| ScanError::NotUtf8 { at: error.valid_up_to() })?;
    let mut scan = Scan::default();
    let mut reader = Reader::new(body);
    match scan.body(&mut reader, endpoint) {
        Ok(()) if scan.model_name.is_empty() => Err(ScanError::NoModel),
        Ok(()) => Ok(scan),
        Err(Stop::Malformed) => Err(reader.why().into()),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// The field that a key means, if it is one that is read here. A key with escapes that means one is refused.
fn interpreted(name: &[u8], endpoint: Endpoint) -> Result<Option<Field>, ScanError> {
    let known = |name: &[u8]| Field::named(name).filter(|field| field.belongs_to(endpoint));
    if !name.contains(&b'\\') {
        return Ok(known(name));
    }
    let Some(plain) = unescape(name) else {
        return Err(ScanError::NotJson("a key has a bad escape sequence".to_owned()));
    };
    known(plain.as_bytes()).map_or(Ok(None), |field| Err(ScanError::Escaped(field.name())))
}

impl Scan {
    fn body(&mut self, reader: &mut Reader<'_>, endpoint: Endpoint) -> Result<(), Stop> {
        if reader.kind()? != Kind::Object {
            return Err(ScanError::NotAnObject.into());
        }
        reader.enter()?;
        self.places.body = reader.at();
        let (mut first, mut seen) = (true, 0_u32);
        while let Some(name) = reader.key(&mut first)? {
            let Some(field) = interpreted(name, endpoint)? else {
                reader.pass()?;
                continue;
            };
            let bit = 1 << field as u32;
            if seen & bit != 0 {
                return Err(ScanError::Duplicate(field.name()).into());
            }
            seen |= bit;
            let start = reader.string_at();
            let key = Span {
                start,
                end: start + name.len(),
            };
            self.read(field, reader, key)?;
        }
        reader.end()?;
        Ok(())
    }

    /// Reads the value of `field`.
    fn read(&mut self, field: Field, reader: &mut Reader<'_>, key: Span) -> Result<(), Stop> {
        let kind = reader.kind()?;
        let start = reader.at();
        let null = kind == Kind::Scalar && reader.clone().scalar() == b"null";
        let wrong = |expected| ScanError::WrongType {
            param: field.name(),
            expected,
        };
        if null {
            reader.scalar();
        } else {
            match field {
                Field::Model if kind == Kind::String => self.model(reader)?,
                Field::Model => return Err(wrong("a string").into()),
                Field::Stream => self.stream = boolean(reader).ok_or_else(|| wrong("a boolean"))?,
                Field::MaxTokens => self.max_tokens = self.max_tokens.or(Some(whole(reader).ok_or_else(|| wrong(WHOLE))?)),
                Field::MaxCompletionTokens => self.max_tokens = Some(whole(reader).ok_or_else(|| wrong(WHOLE))?),
                Field::N => self.n = Some(whole(reader).ok_or_else(|| wrong(WHOLE))?),
                Field::StreamOptions if kind == Kind::Object => self.options(reader)?,
                Field::ResponseFormat if kind == Kind::Object => self.format(reader)?,
                Field::OutputConfig if kind == Kind::Object => members(reader, |reader, key| match key {
                    b"format" => self.format(reader),
                    _ => reader.pass(),
                })?,
                Field::Metadata if kind == Kind::Object => {
                    let value = reader.skip()?;
                    self.metadata = Some(Span {
                        start: value.start,
                        end: value.end,
                    });
                }
                Field::StreamOptions | Field::ResponseFormat | Field::OutputConfig | Field::Metadata => {
                    return Err(wrong("an object").into());
                }
                Field::Messages if kind == Kind::Array => items(reader, |reader| self.message(reader))?,
                Field::Tools | Field::Functions if kind == Kind::Array => self.tools(reader)?,
                Field::Messages | Field::Tools | Field::Functions => return Err(wrong("an array").into()),
                Field::System | Field::Input if !matches!(kind, Kind::String | Kind::Array) => {
                    return Err(wrong("a string or an array").into());
                }
                Field::ReasoningEffort => self.reasoning = reader.string_or_skip()?.is_some_and(|effort| effort != b"none"),
                Field::Thinking if kind == Kind::Object => self.thinking(reader)?,
                Field::Thinking => return Err(wrong("an object").into()),
                Field::System => self.vision |= self.sketch.content(reader)?,
                Field::Input => self.sketch.input(reader)?,
            }
        }
        let value = Span { start, end: reader.at() };
        if let Some(place) = self.places.of(field) {
            *place = Some(Member { key, value, null });
        }
        Ok(())
    }

    fn model(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        let raw = reader.string()?;
        let start = reader.string_at();
        let name = unescape(raw).ok_or(ScanError::WrongType {
            param: "model",
            expected: "a string without bad escape sequences or control characters",
        })?;
        self.model = Span {
            start,
            end: start + raw.len(),
        };
        self.model_name = name.into_owned();
        Ok(())
    }

    fn options(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        const PARAM: &str = "stream_options.include_usage";
        let start = reader.at();
        reader.enter()?;
        let mut first = true;
        self.places.no_options = true;
        while let Some(key) = reader.key(&mut first)? {
            self.places.no_options = false;
            let escaped = key.contains(&b'\\');
            if unescape(key).as_deref() != Some("include_usage") {
                reader.pass()?;
                continue;
            }
            if escaped {
                return Err(ScanError::Escaped(PARAM).into());
            }
            if self.places.include_usage.is_some() {
                return Err(ScanError::Duplicate(PARAM).into());
            }
            reader.kind()?;
            let start = reader.at();
            self.include_usage = match reader.clone().scalar() {
                b"null" => {
                    reader.scalar();
                    false
                }
                _ => boolean(reader).ok_or(ScanError::WrongType {
                    param: PARAM,
                    expected: "a boolean",
                })?,
            };
            self.places.include_usage = Some(Span { start, end: reader.at() });
        }
        self.stream_options = Some(Span { start, end: reader.at() });
        Ok(())
    }

    /// `{"type": "json_schema", "json_schema" or "schema": …}`
    fn format(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        members(reader, |reader, key| {
            match key {
                b"type" => self.json_schema = reader.string_or_skip()? == Some(b"json_schema"),
                b"json_schema" | b"schema" => self.sketch.tools_bytes += reader.skip()?.len() as u64,
                _ => reader.pass()?,
            }
            Ok(())
        })
    }

    /// `{"type": "enabled", …}`; only `disabled` asks for none.
    fn thinking(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        members(reader, |reader, key| {
            match key {
                b"type" => self.reasoning = reader.string_or_skip()?.is_some_and(|kind| kind != b"disabled"),
                _ => reader.pass()?,
            }
            Ok(())
        })
    }

    fn tools(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let start = reader.at();
        let mut count = 0_u32;
        items(reader, |reader| {
            count += 1;
            reader.pass()
        })?;
        if count > 0 {
            self.tools = true;
            self.sketch.tool_count = self.sketch.tool_count.saturating_add(count);
            self.sketch.tools_bytes += (reader.at() - start) as u64;
        }
        Ok(())
    }

    fn message(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        self.vision |= self.sketch.message(reader)?;
        Ok(())
    }

    /// The members of `metadata` whose values are strings, in the body's order. `body` is the one that was scanned.
    pub fn metadata<'a>(&self, body: &'a [u8]) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let mut pairs = Vec::new();
        let Some(span) = self.metadata else { return pairs };
        // The scan has been over these bytes: they are an object.
        let _ = members(&mut Reader::new(span.of(body)), |reader, key| {
            if let (Some(value), Some(key)) = (reader.string_or_skip()?.and_then(unescape), unescape(key)) {
                pairs.push((key, value));
            }
            Ok(())
        });
        pairs
    }
}

const WHOLE: &str = "a whole number, zero or more";

fn boolean(reader: &mut Reader<'_>) -> Option<bool> {
    match reader.scalar() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn whole(reader: &mut Reader<'_>) -> Option<u64> {
    let digits = reader.scalar();
    // What parses here but is no JSON number ("007", "+7") would be read otherwise elsewhere.
    let plain = digits == b"0" || digits.first().is_some_and(|byte| matches!(byte, b'1'..=b'9'));
    core::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests;
