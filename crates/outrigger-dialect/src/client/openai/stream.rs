//! Writes a stream of chat completion chunks, so that helpers which concatenate every string they get come out right: a tool call's id and
//! name are sent once, its index counts tool calls and nothing else, and there is no usage that was not asked for.

use super::{
    DETAILS_FORMAT, redacted_detail,
    response::{call_id, finish_reason, id, usage},
};
use crate::{
    ir::{Delta, Event, Head},
    sse::write_event,
    translate::Asked,
};
use outrigger_core::Usage;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The state of one stream.
#[derive(Debug)]
pub(crate) struct Encoder {
    asked: Asked,
    id: String,
    model: String,
    created: u64,
    answers: BTreeMap<usize, Progress>,
    usage: Option<Usage>,
    started: bool,
}

#[derive(Debug, Default)]
struct Progress {
    calls: usize,
    details: usize,
    open: BTreeMap<usize, Kind>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Refusal,
    Redacted,
    Thinking { detail: usize },
    Call { index: usize, argued: bool },
}

impl Encoder {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            id: id(None, asked),
            model: asked.model.clone(),
            created: asked.created,
            answers: BTreeMap::new(),
            usage: None,
            started: false,
        }
    }

    /// Appends what `event` means; `[DONE]` is the caller's to write.
    pub(crate) fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: told, model, created } => {
                self.id = id(told, &self.asked);
                self.model = model.unwrap_or_else(|| self.asked.model.clone());
                self.created = created.unwrap_or(self.asked.created);
                self.started = true;
                self.answer(0, out);
            }
            Event::Open { answer, block, head } => self.open(answer, block, head, out),
            Event::Delta { answer, block, delta } => self.delta(answer, block, &delta, out),
            Event::Close { answer, block } => self.close(answer, block, out),
            Event::Logprobs { answer, value } => {
                self.choice(
                    &json!({"index": answer, "delta": {}, "logprobs": value, "finish_reason": null}),
                    out,
                );
            }
            Event::Finish { answer, stop } => {
                self.answer(answer, out);
                let reason = finish_reason(&stop);
                self.choice(
                    &json!({"index": answer, "delta": {}, "logprobs": null, "finish_reason": reason}),
                    out,
                );
            }
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Done => self.last(out),
        }
    }

    /// The state of an answer, behind its first chunk.
    fn answer(&mut self, answer: usize, out: &mut Vec<u8>) -> &mut Progress {
        if !self.answers.contains_key(&answer) {
            self.say(answer, &json!({"role": "assistant", "content": ""}), out);
        }
        self.answers.entry(answer).or_default()
    }

    fn open(&mut self, answer: usize, block: usize, head: Head, out: &mut Vec<u8>) {
        let progress = self.answer(answer, out);
        let mut first = None;
        let kind = match head {
            Head::Text => Kind::Text,
            Head::Refusal => Kind::Refusal,
            Head::Redacted(data) => {
                first = Some(json!({"reasoning_details": [redacted_detail(progress.details, &data)]}));
                progress.details += 1;
                Kind::Redacted
            }
            Head::Thinking => {
                let detail = progress.details;
                progress.details += 1;
                first = Some(json!({"reasoning_details": [
                    {"type": "reasoning.text", "index": detail, "format": DETAILS_FORMAT, "text": ""}
                ]}));
                Kind::Thinking { detail }
            }
            Head::ToolCall { id, name } => {
                let index = progress.calls;
                progress.calls += 1;
                let id = call_id(id, index, &self.asked.id);
                first = Some(json!({"tool_calls": [
                    {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
                ]}));
                Kind::Call { index, argued: false }
            }
        };
        self.answers.entry(answer).or_default().open.insert(block, kind);
        if let Some(first) = first {
            self.say(answer, &first, out);
        }
    }

    fn delta(&mut self, answer: usize, block: usize, delta: &Delta, out: &mut Vec<u8>) {
        let Some(kind) = self.answers.get_mut(&answer).and_then(|progress| progress.open.get_mut(&block)) else {
            return;
        };
        let said = match (kind, delta) {
            (Kind::Text, Delta::Text(text)) => json!({"content": text}),
            (Kind::Refusal, Delta::Text(text)) => json!({"refusal": text}),
            (Kind::Thinking { detail }, Delta::Text(text)) => json!({
                "reasoning_content": text,
                "reasoning_details": [{"type": "reasoning.text", "index": detail, "text": text}],
            }),
            (Kind::Thinking { detail }, Delta::Signature(signature)) => {
                json!({"reasoning_details": [{"type": "reasoning.text", "index": detail, "signature": signature}]})
            }
            (Kind::Call { index, argued }, Delta::Arguments(arguments)) => {
                *argued = true;
                arguments_of(*index, arguments)
            }
            (Kind::Text | Kind::Refusal | Kind::Redacted | Kind::Thinking { .. } | Kind::Call { .. }, _) => return,
        };
        self.say(answer, &said, out);
    }

    fn close(&mut self, answer: usize, block: usize, out: &mut Vec<u8>) {
        let closed = self.answers.get_mut(&answer).and_then(|progress| progress.open.remove(&block));
        // A call without arguments has an empty object of them, not an empty string.
        if let Some(Kind::Call { index, argued: false }) = closed {
            self.say(answer, &arguments_of(index, "{}"), out);
        }
    }

    fn last(&mut self, out: &mut Vec<u8>) {
        if let (true, true, Some(used)) = (self.started, self.asked.include_usage, self.usage) {
            let mut chunk = self.chunk(&json!([]));
            if let Some(members) = chunk.as_object_mut() {
                members.insert("usage".to_owned(), usage(&used));
            }
            write_event(out, None, chunk.to_string().as_bytes());
        }
    }

    fn say(&self, answer: usize, delta: &Value, out: &mut Vec<u8>) {
        self.choice(
            &json!({"index": answer, "delta": delta, "logprobs": null, "finish_reason": null}),
            out,
        );
    }

    fn choice(&self, choice: &Value, out: &mut Vec<u8>) {
        write_event(out, None, self.chunk(&json!([choice])).to_string().as_bytes());
    }

    fn chunk(&self, choices: &Value) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        // Whoever asks for usage gets the field on every chunk.
        if let (true, Some(members)) = (self.asked.include_usage, chunk.as_object_mut()) {
            members.insert("usage".to_owned(), Value::Null);
        }
        chunk
    }
}

fn arguments_of(index: usize, piece: &str) -> Value {
    json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
}
