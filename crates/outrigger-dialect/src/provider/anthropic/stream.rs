//! Reads the events of a streamed message.

use super::{
    response::stop,
    types::{self, Block, Message},
};
use crate::ir::{Delta, Event, Head};

/// The state of one stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    next_block: usize,
    /// Blocks never interleave here: at most one is open.
    open: Option<Open>,
    stopped: bool,
    done: bool,
}

#[derive(Debug)]
struct Open {
    /// The provider's number.
    index: usize,
    /// Ours, which has no gaps; none for a block that is not carried over.
    block: Option<usize>,
    /// Arguments that came whole with the beginning: they count only where no piece follows.
    input: Option<String>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            next_block: 0,
            open: None,
            stopped: false,
            done: false,
        }
    }

    pub(crate) fn read(&mut self, data: &[u8], events: &mut Vec<Event>) {
        // What is no JSON object is no event of this protocol either.
        let Ok(event) = serde_json::from_slice::<types::Event>(data) else {
            return;
        };
        match event.kind.as_str() {
            "message_start" => start(event.message, events),
            "content_block_start" => self.begin(event.index, event.content_block, events),
            "content_block_delta" => self.more(event.index, event.delta, events),
            "content_block_stop" => self.close(events),
            "message_delta" => self.message(event.delta, events),
            "message_stop" => self.end(events),
            // `ping`, and what is yet to be invented.
            _ => {}
        }
    }

    /// Complete without `message_stop`: the stop reason has come.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>) {
        if self.stopped {
            self.end(events);
        }
    }

    fn begin(&mut self, index: usize, wire: Block, events: &mut Vec<Event>) {
        self.close(events);
        let mut first = Vec::new();
        let mut input = None;
        let head = match wire.kind.as_str() {
            "text" => {
                first.push(Delta::Text(wire.text));
                Some(Head::Text)
            }
            "thinking" => {
                first.extend([Delta::Text(wire.thinking), Delta::Signature(wire.signature)]);
                Some(Head::Thinking)
            }
            "redacted_thinking" => Some(Head::Redacted(wire.data)),
            "tool_use" => {
                input = wire
                    .input
                    .as_object()
                    .filter(|input| !input.is_empty())
                    .map(|_| wire.input.to_string());
                Some(Head::ToolCall {
                    id: wire.id,
                    name: wire.name,
                })
            }
            _ => None,
        };
        let block = head.map(|head| {
            let block = self.next_block;
            self.next_block += 1;
            events.push(Event::Open { answer: 0, block, head });
            block
        });
        self.open = Some(Open { index, block, input });
        for delta in first {
            self.push(index, delta, events);
        }
    }

    fn more(&mut self, index: usize, delta: types::Delta, events: &mut Vec<Event>) {
        let delta = match delta.kind.as_str() {
            "text_delta" => Delta::Text(delta.text),
            "thinking_delta" => Delta::Text(delta.thinking),
            "signature_delta" => Delta::Signature(delta.signature),
            "input_json_delta" => Delta::Arguments(delta.partial_json),
            _ => return,
        };
        self.push(index, delta, events);
    }

    fn push(&mut self, index: usize, delta: Delta, events: &mut Vec<Event>) {
        let (Delta::Text(text) | Delta::Signature(text) | Delta::Arguments(text)) = &delta;
        let Some(open) = self.open.as_mut().filter(|open| open.index == index && !text.is_empty()) else {
            return;
        };
        if matches!(delta, Delta::Arguments(_)) {
            open.input = None;
        }
        events.extend(open.block.map(|block| Event::Delta { answer: 0, block, delta }));
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        let Some(Open {
            block: Some(block), input, ..
        }) = self.open.take()
        else {
            return;
        };
        events.extend(input.map(|input| Event::Delta {
            answer: 0,
            block,
            delta: Delta::Arguments(input),
        }));
        events.push(Event::Close { answer: 0, block });
    }

    fn message(&mut self, delta: types::Delta, events: &mut Vec<Event>) {
        if let (false, Some(reason)) = (self.stopped, delta.stop_reason) {
            self.close(events);
            events.push(Event::Finish {
                answer: 0,
                stop: stop(Some(&reason), delta.stop_sequence),
            });
            self.stopped = true;
        }
    }

    fn end(&mut self, events: &mut Vec<Event>) {
        if !core::mem::replace(&mut self.done, true) {
            events.push(Event::Done);
        }
    }
}

fn start(message: Message, events: &mut Vec<Event>) {
    events.push(Event::Start {
        id: message.id,
        model: message.model,
        created: None,
    });
}
