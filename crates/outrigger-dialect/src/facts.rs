//! What an answer says, read from its JSON: the same for an event of a stream and for a whole answer. Reads, and never changes a byte.

use crate::{
    json::{Kind, Malformed, Reader, items, last_member, members, unescape},
    report::Report,
    usage::Tally,
};
use core::ops::Range;
use memchr::memmem::Finder;
use outrigger_core::{Dialect, Endpoint};
use std::sync::LazyLock;

/// Finish reasons with which providers say that they broke.
const FAILED: [&[u8]; 3] = [b"error", b"insufficient_system_resource", b"network_error"];

/// Searches for keys, made once. Inside a string the quotes of a key would be escaped, so a hit is a key.
struct Keys {
    error: Finder<'static>,
    finish_reason: Finder<'static>,
    model: Finder<'static>,
    stop_reason: Finder<'static>,
    usage: Finder<'static>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    error: Finder::new("\"error\""),
    finish_reason: Finder::new("\"finish_reason\""),
    model: Finder::new("\"model\""),
    stop_reason: Finder::new("\"stop_reason\""),
    usage: Finder::new("\"usage\""),
});

/// Whether a member `error` may stand anywhere in the text.
pub(crate) fn may_have_error(body: &[u8]) -> bool {
    KEYS.error.find(body).is_some()
}

/// Facts of one answer, event by event or at once.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    dialect: Dialect,
    tally: Tally,
    pub(crate) report: Report,
    /// Something has come that a caller would miss.
    pub(crate) content: bool,
}

/// What carries the content of an OpenAI answer. Some providers repeat the whole message beside every delta.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Delta,
    Message,
    Embedding,
}

/// What one event, or a whole answer, turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub(crate) struct Found {
    /// It tells of an error.
    pub(crate) error: bool,
    /// It ends the stream.
    pub(crate) done: bool,
    /// It has choices, content blocks, or whatever makes an answer.
    pub(crate) answer: bool,
    /// It carries a usage object.
    pub(crate) usage: bool,
    /// Its list of choices is there and empty.
    pub(crate) no_choices: bool,
    /// From the key's quote to the end of the value of `"usage":null`.
    pub(crate) null_usage: Option<Range<usize>>,
    /// It carries content.
    pub(crate) content: bool,
    /// Where its generated text stands, of several the last.
    text: Range<usize>,
    /// How many non-empty texts it has.
    texts: u32,
    /// Where its random padding stands.
    pub(crate) padding: Option<Range<usize>>,
    /// It says something beside its text.
    says_more: bool,
    flat: Flat,
}

/// Members that together mean an error where no answer is beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flat {
    code: bool,
    message: bool,
}

impl Found {
    /// Where the one text of this event stands, if it has nothing else to say.
    pub(crate) fn only_text(&self) -> Option<Range<usize>> {
        let only = self.texts == 1 && !(self.error || self.done || self.usage || self.says_more);
        only.then(|| self.text.clone())
    }
}

impl Facts {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            tally: Tally::new(dialect),
            report: Report::default(),
            content: false,
        }
    }

    /// Takes in the data of one event. `cut`: this is its beginning only.
    pub(crate) fn event(&mut self, name: Option<&[u8]>, data: &[u8], cut: bool) -> Found {
        let mut found = Found {
            error: name == Some(b"error"),
            ..Found::default()
        };
        if self.dialect == Dialect::OpenAi && data.trim_ascii() == b"[DONE]" {
            found.done = true;
            return found;
        }
        let mut reader = if cut { Reader::of_cut(data) } else { Reader::new(data) };
        // Where it is malformed, or cut off, what was read before still holds.
        let _ = self.read(&mut reader, Part::Delta, &mut found);
        if found.content {
            self.content = true;
            self.report.content_events += 1;
        }
        found
    }

    /// Takes in an event that differs in nothing but its text from one before that had only text to tell.
    pub(crate) fn more_text(&mut self, length: usize) {
        self.report.content_events += 1;
        self.report.content_bytes += length as u64;
    }

    /// Takes in a whole answer.
    pub(crate) fn whole(&mut self, endpoint: Endpoint, body: &[u8]) -> Result<Found, Malformed> {
        let part = if endpoint == Endpoint::Embeddings {
            Part::Embedding
        } else {
            Part::Message
        };
        let mut found = Found::default();
        let mut reader = Reader::new(body);
        self.read(&mut reader, part, &mut found)?;
        reader.end()?;
        Ok(found)
    }

    /// Takes in the last bytes of an event that was too long to be read whole.
    pub(crate) fn tail(&mut self, tail: &[u8]) {
        if let Some(tally) = last_usage(&self.tally, tail) {
            self.tally = tally;
            self.told_usage();
        }
        let reason = match self.dialect {
            Dialect::OpenAi => last_finish_reason(tail),
            Dialect::Anthropic => last_string(tail, &KEYS.stop_reason),
        };
        if let Some(reason) = reason {
            self.finish(reason, &mut Found::default());
        }
    }

    /// The facts of a whole answer from its last bytes, where its head has been judged by other means. `None` = they do not tell all.
    pub(crate) fn of_tail(dialect: Dialect, endpoint: Endpoint, tail: &[u8]) -> Option<Report> {
        let mut facts = Self::new(dialect);
        facts.tally = last_usage(&facts.tally, tail)?;
        facts.told_usage();
        let reason = match (endpoint, dialect) {
            (Endpoint::Embeddings, _) => {
                facts.report.model = last_string(tail, &KEYS.model).and_then(owned);
                return Some(facts.report);
            }
            (_, Dialect::OpenAi) => last_finish_reason(tail)?,
            (_, Dialect::Anthropic) => last_string(tail, &KEYS.stop_reason)?,
        };
        let mut found = Found::default();
        facts.finish(reason, &mut found);
        (!found.error).then_some(facts.report)
    }

    fn read(&mut self, reader: &mut Reader<'_>, part: Part, found: &mut Found) -> Result<(), Malformed> {
        match self.dialect {
            Dialect::OpenAi => members(reader, |reader, key| self.openai(reader, key, part, found))?,
            Dialect::Anthropic => members(reader, |reader, key| self.anthropic(reader, key, found))?,
        }
        found.error |= found.flat.code && found.flat.message && !found.answer;
        Ok(())
    }

    fn openai(&mut self, reader: &mut Reader<'_>, key: &[u8], part: Part, found: &mut Found) -> Result<(), Malformed> {
        match key {
            b"choices" if reader.kind()? == Kind::Array => {
                found.no_choices = true;
                items(reader, |reader| {
                    found.answer = true;
                    found.no_choices = false;
                    members(reader, |reader, key| match key {
                        b"finish_reason" => self.finish_reason(reader, found),
                        b"delta" if part == Part::Delta => self.message(reader, found),
                        b"message" if part == Part::Message => self.message(reader, found),
                        _ => reader.pass(),
                    })
                })
            }
            b"usage" => {
                let start = reader.string_at().saturating_sub(1);
                if reader.kind()? == Kind::Object {
                    return self.usage(reader, found);
                }
                let null = reader.skip()?;
                found.null_usage = (reader.slice(null.clone()) == b"null").then_some(start..null.end);
                Ok(())
            }
            b"data" if part == Part::Embedding && reader.kind()? == Kind::Array => items(reader, |reader| {
                found.answer = true;
                reader.pass()
            }),
            b"model" => self.model(reader),
            b"error" => error(reader, found),
            b"x_groq" => members(reader, |reader, key| match key {
                b"usage" if reader.kind()? == Kind::Object => {
                    found.says_more = true;
                    self.usage(reader, &mut Found::default())
                }
                b"error" => error(reader, found),
                _ => reader.pass(),
            }),
            b"object" => {
                found.error |= reader.string_or_skip()? == Some(b"error");
                Ok(())
            }
            b"obfuscation" => {
                if let Some(padding) = reader.string_or_skip()? {
                    found.padding = Some(reader.string_at()..reader.string_at() + padding.len());
                }
                Ok(())
            }
            b"base_resp" => members(reader, |reader, key| {
                if key == b"status_code" {
                    found.error |= reader.count_or_skip()?.is_some_and(|code| code != 0);
                    return Ok(());
                }
                reader.pass()
            }),
            b"code" => {
                found.flat.code = true;
                reader.pass()
            }
            b"message" => {
                found.flat.message = true;
                reader.pass()
            }
            _ => reader.pass(),
        }
    }

    /// A choice's message, or what a chunk adds to it.
    fn message(&mut self, reader: &mut Reader<'_>, found: &mut Found) -> Result<(), Malformed> {
        members(reader, |reader, key| match key {
            b"content" | b"refusal" | b"reasoning_content" | b"reasoning" => self.text(reader, found),
            b"tool_calls" => items(reader, |reader| {
                found.content = true;
                members(reader, |reader, key| match key {
                    b"function" | b"custom" => self.call(reader, found),
                    _ => reader.pass(),
                })
            }),
            b"function_call" if reader.kind()? == Kind::Object => {
                found.content = true;
                self.call(reader, found)
            }
            b"audio" => members(reader, |reader, key| match key {
                b"data" | b"transcript" => self.text(reader, found),
                _ => reader.pass(),
            }),
            _ => reader.pass(),
        })
    }

    /// Name and arguments of a call.
    fn call(&mut self, reader: &mut Reader<'_>, found: &mut Found) -> Result<(), Malformed> {
        members(reader, |reader, key| match key {
            b"name" | b"arguments" | b"input" => self.text(reader, found),
            _ => reader.pass(),
        })
    }

    fn anthropic(&mut self, reader: &mut Reader<'_>, key: &[u8], found: &mut Found) -> Result<(), Malformed> {
        match key {
            b"type" => {
                let kind = reader.string_or_skip()?;
                found.done |= kind == Some(b"message_stop");
                found.error |= kind == Some(b"error");
                Ok(())
            }
            b"delta" => members(reader, |reader, key| match key {
                b"text" | b"partial_json" | b"thinking" => self.text(reader, found),
                b"stop_reason" => self.finish_reason(reader, found),
                _ => reader.pass(),
            }),
            b"content_block" => self.block(reader, found),
            b"content" if reader.kind()? == Kind::Array => {
                found.answer = true;
                items(reader, |reader| self.block(reader, found))
            }
            b"message" => members(reader, |reader, key| match key {
                b"model" => self.model(reader),
                b"usage" => self.usage(reader, found),
                _ => reader.pass(),
            }),
            b"model" => self.model(reader),
            b"usage" => self.usage(reader, found),
            b"stop_reason" => self.finish_reason(reader, found),
            // The whole of a count of tokens.
            b"input_tokens" => {
                found.answer = true;
                reader.pass()
            }
            b"error" => error(reader, found),
            _ => reader.pass(),
        }
    }

    /// A content block: whole, or as a stream starts it.
    fn block(&mut self, reader: &mut Reader<'_>, found: &mut Found) -> Result<(), Malformed> {
        members(reader, |reader, key| match key {
            b"type" => {
                let kind = reader.string_or_skip()?.unwrap_or_default();
                found.content |= kind.ends_with(b"tool_use") || kind == b"redacted_thinking";
                Ok(())
            }
            b"text" | b"thinking" => self.text(reader, found),
            b"input" => {
                let input = reader.skip()?.len();
                found.says_more = true;
                if input > 2 {
                    self.report.content_bytes += input as u64;
                }
                Ok(())
            }
            _ => reader.pass(),
        })
    }

    /// Generated text: a string, or as some providers have it a list of parts.
    fn text(&mut self, reader: &mut Reader<'_>, found: &mut Found) -> Result<(), Malformed> {
        let length = match reader.kind()? {
            Kind::String => {
                let length = reader.string()?.len();
                if length > 0 {
                    found.texts += 1;
                    found.text = reader.string_at()..reader.string_at() + length;
                }
                length
            }
            Kind::Array => {
                found.says_more = true;
                reader.skip()?.len().saturating_sub(2)
            }
            Kind::Object | Kind::Scalar => return reader.pass(),
        };
        found.content |= length > 0;
        self.report.content_bytes += length as u64;
        Ok(())
    }

    fn finish_reason(&mut self, reader: &mut Reader<'_>, found: &mut Found) -> Result<(), Malformed> {
        if let Some(reason) = reader.string_or_skip()? {
            self.finish(reason, found);
        }
        Ok(())
    }

    fn finish(&mut self, reason: &[u8], found: &mut Found) {
        found.says_more = true;
        if FAILED.contains(&reason) {
            found.error = true;
        } else if !reason.is_empty() {
            found.content = true;
            self.report.finish = owned(reason);
        }
    }

    fn model(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        match reader.string_or_skip()? {
            Some(name) if self.report.model.is_none() && !name.is_empty() => {
                self.report.model = owned(name);
            }
            _ => {}
        }
        Ok(())
    }

    fn usage(&mut self, reader: &mut Reader<'_>, found: &mut Found) -> Result<(), Malformed> {
        found.usage = true;
        self.tally.read(reader)?;
        self.told_usage();
        Ok(())
    }

    fn told_usage(&mut self) {
        self.report.usage = self.tally.usage();
        self.report.cost = self.tally.cost();
    }
}

/// The tally with the usage object of the outermost object.
fn last_usage(before: &Tally, tail: &[u8]) -> Option<Tally> {
    last_member(tail, &KEYS.usage, |reader| {
        let mut tally = before.clone();
        if reader.kind()? != Kind::Object {
            return Err(Malformed);
        }
        tally.read(reader)?;
        Ok(tally)
    })
}

/// The value of a member of the outermost object that is a string.
fn last_string<'a>(tail: &'a [u8], quoted: &Finder<'_>) -> Option<&'a [u8]> {
    last_member(tail, quoted, Reader::string_or_skip)?
}

/// The finish reason of the last choice. It stands inside the choice, so only that its key is a key is certain: within a string its
/// quotes would be escaped.
fn last_finish_reason(tail: &[u8]) -> Option<&[u8]> {
    let key = &KEYS.finish_reason;
    let at = key.find_iter(tail).last()?;
    let value = tail.get(at + key.needle().len()..)?.trim_ascii_start();
    Reader::new(value.strip_prefix(b":")?).string_or_skip().ok()?
}

fn owned(raw: &[u8]) -> Option<String> {
    unescape(raw).map(std::borrow::Cow::into_owned)
}

/// An `error` member tells of one unless it is null, false or an empty string.
fn error(reader: &mut Reader<'_>, found: &mut Found) -> Result<(), Malformed> {
    found.error |= match reader.kind()? {
        Kind::Object | Kind::Array => true,
        Kind::String => !reader.clone().string()?.is_empty(),
        Kind::Scalar => !matches!(reader.clone().scalar(), b"null" | b"false"),
    };
    reader.pass()
}
