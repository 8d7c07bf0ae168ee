//! Reads a stream of chat completion chunks. Fragments of parallel tool calls may interleave, and providers differ in what they repeat:
//! a call is known by its index, and by its id where indexes repeat. It must never hand over a fragment twice.

use super::{
    response::stop,
    types::{Choice, Completion, Said, ToolCall},
};
use crate::ir::{Delta, Event, Head, mark_unsigned};
use serde_json::Value;
use std::collections::BTreeMap;

/// Answers and tool calls beyond these are not followed.
const MAX_ANSWERS: usize = 128;
const MAX_CALLS: usize = 512;

/// The state of one stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    started: bool,
    model: String,
    answers: BTreeMap<usize, Progress>,
    done: bool,
}

#[derive(Debug, Default)]
struct Progress {
    next_block: usize,
    speaking: Option<Speech>,
    calls: Vec<Call>,
    /// The call that the last fragment belonged to.
    current: Option<usize>,
    finished: bool,
}

/// A text that may go on.
#[derive(Debug)]
struct Speech {
    block: usize,
    head: Head,
    /// It is thinking that the model wants back.
    echo: bool,
}

#[derive(Debug)]
struct Call {
    index: Option<usize>,
    id: Option<String>,
    /// Its block, once its name is known.
    block: Option<usize>,
    /// What came before the name.
    early: String,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            started: false,
            model: String::new(),
            answers: BTreeMap::new(),
            done: false,
        }
    }

    pub(crate) fn read(&mut self, data: &[u8], events: &mut Vec<Event>) {
        if data.trim_ascii() == b"[DONE]" {
            self.end(events);
            return;
        }
        // What is no JSON object is no chunk either.
        let Ok(mut chunk) = serde_json::from_slice::<Completion>(data) else {
            return;
        };
        if !chunk.choices.is_empty() {
            self.start(&mut chunk, events);
        }
        for choice in chunk.choices {
            self.choice(choice, events);
        }
    }

    /// Complete without `[DONE]`: at least one answer has its finish reason, and none goes without.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>) {
        if !self.answers.is_empty() && self.answers.values().all(|progress| progress.finished) {
            self.end(events);
        }
    }

    fn start(&mut self, chunk: &mut Completion, events: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            self.model = chunk.model.clone().unwrap_or_default();
            let told = |word: Option<String>| word.filter(|word| !word.is_empty());
            events.push(Event::Start {
                id: told(chunk.id.take()),
                model: told(chunk.model.take()),
                created: chunk.created,
            });
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) {
        if core::mem::replace(&mut self.done, true) {
            return;
        }
        for (answer, progress) in &mut self.answers {
            progress.hush(*answer, &self.model, events);
            progress.end(*answer, None, None, events);
        }
        events.push(Event::Done);
    }

    fn choice(&mut self, mut choice: Choice, events: &mut Vec<Event>) {
        let answer = choice.index;
        if !self.answers.contains_key(&answer) && self.answers.len() >= MAX_ANSWERS {
            return;
        }
        let progress = self.answers.entry(answer).or_default();
        if progress.finished {
            return;
        }
        for said in choice.delta.said() {
            progress.speak(answer, said, &self.model, events);
        }
        for call in choice.delta.tool_calls {
            progress.hush(answer, &self.model, events);
            progress.call(answer, call, events);
        }
        events.extend(
            choice
                .logprobs
                .filter(|value| !value.is_null())
                .map(|value| Event::Logprobs { answer, value }),
        );
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            progress.hush(answer, &self.model, events);
            progress.end(answer, Some(&reason), choice.stop_reason, events);
        }
    }
}

impl Progress {
    fn open(&mut self, answer: usize, head: Head, events: &mut Vec<Event>) -> usize {
        let block = self.next_block;
        self.next_block += 1;
        events.push(Event::Open { answer, block, head });
        block
    }

    fn hush(&mut self, answer: usize, model: &str, events: &mut Vec<Event>) {
        let Some(Speech { block, head, echo }) = self.speaking.take() else {
            return;
        };
        if head == Head::Thinking {
            let delta = Delta::Signature(mark_unsigned(if echo { model } else { "" }));
            events.push(Event::Delta { answer, block, delta });
        }
        events.push(Event::Close { answer, block });
    }

    fn speak(&mut self, answer: usize, said: Said, model: &str, events: &mut Vec<Event>) {
        let (head, text, echo) = match said {
            Said::Thinking { text, echo } => (Head::Thinking, text, echo),
            Said::Text(text) => (Head::Text, text, false),
            Said::Refusal(text) => (Head::Refusal, text, false),
        };
        let block = match &self.speaking {
            Some(speech) if speech.head == head => speech.block,
            _ => {
                self.hush(answer, model, events);
                let block = self.open(answer, head.clone(), events);
                self.speaking = Some(Speech { block, head, echo });
                block
            }
        };
        events.push(Event::Delta {
            answer,
            block,
            delta: Delta::Text(text),
        });
    }

    fn call(&mut self, answer: usize, fragment: ToolCall, events: &mut Vec<Event>) {
        let known = self.find(&fragment);
        if known.is_none() && self.calls.len() >= MAX_CALLS {
            return;
        }
        let position = known.unwrap_or_else(|| {
            self.calls.push(Call {
                index: fragment.index,
                id: None,
                block: None,
                early: String::new(),
            });
            self.calls.len() - 1
        });
        self.current = Some(position);
        let id = fragment.id().map(str::to_owned);
        let arguments = match fragment.function.arguments {
            Some(Value::String(text)) => text,
            Some(object @ Value::Object(_)) => object.to_string(),
            _ => String::new(),
        };
        let Some(call) = self.calls.get_mut(position) else { return };
        if call.id.is_none() {
            call.id.clone_from(&id);
        }
        let name = fragment.function.name.filter(|name| !name.is_empty());
        let (block, arguments) = match (call.block, name) {
            (Some(block), _) => (block, arguments),
            (None, None) => return call.early.push_str(&arguments),
            (None, Some(name)) => {
                let head = Head::ToolCall {
                    id: call.id.clone().unwrap_or_default(),
                    name,
                };
                let arguments = core::mem::take(&mut call.early) + &arguments;
                let block = self.open(answer, head, events);
                if let Some(call) = self.calls.get_mut(position) {
                    call.block = Some(block);
                }
                (block, arguments)
            }
        };
        if !arguments.is_empty() {
            events.push(Event::Delta {
                answer,
                block,
                delta: Delta::Arguments(arguments),
            });
        }
    }

    /// Which call the fragment belongs to; `None` = a new one.
    fn find(&self, fragment: &ToolCall) -> Option<usize> {
        let other_id = |call: &Call| match (&call.id, fragment.id()) {
            (Some(known), Some(told)) => known != told,
            _ => false,
        };
        match (fragment.index, fragment.id()) {
            (Some(index), _) => {
                // With a repeated index another id is another call; the newest goes on.
                self.calls
                    .iter()
                    .rposition(|call| call.index == Some(index))
                    .filter(|at| !self.calls.get(*at).is_some_and(other_id))
            }
            (None, Some(id)) => self.calls.iter().position(|call| call.id.as_deref() == Some(id)),
            // Without either, a name begins a call, and anything else goes on with the last.
            (None, None) => self
                .current
                .filter(|_| fragment.function.name.as_deref().unwrap_or_default().is_empty()),
        }
    }

    fn end(&mut self, answer: usize, reason: Option<&str>, stop_string: Option<String>, events: &mut Vec<Event>) {
        if core::mem::replace(&mut self.finished, true) {
            return;
        }
        let calls: Vec<usize> = self.calls.iter().filter_map(|call| call.block).collect();
        events.extend(calls.iter().map(|block| Event::Close { answer, block: *block }));
        events.push(Event::Finish {
            answer,
            stop: stop(reason, stop_string, !calls.is_empty()),
        });
    }
}
