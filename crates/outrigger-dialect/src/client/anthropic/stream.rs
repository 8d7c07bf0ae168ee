//! Writes the events of a streamed message. Blocks of this dialect never interleave: the first open one is passed on as it comes, what
//! belongs to later ones waits until it is complete. What waits is capped. The end of the message waits for the end of the stream, because
//! other dialects tell the usage after the reason to stop.

use super::response::{call_id, id, stop_reason, stop_sequence, usage};
use crate::{
    client::Overflow,
    ir::{Delta, Event, Head, Stop},
    sse::write_event,
    translate::Asked,
};
use outrigger_core::Usage;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Most bytes that wait for an earlier block.
const MAX_WAITING: usize = 1 << 20;

/// The state of one stream.
#[derive(Debug)]
pub(crate) struct Encoder {
    asked: Asked,
    started: bool,
    /// Number of the next block on the wire.
    next_index: usize,
    calls: usize,
    /// Blocks that are not complete on the wire; the first is open there.
    blocks: VecDeque<Waiting>,
    waiting: usize,
    stop: Option<Stop>,
    refuses: bool,
    usage: Option<Usage>,
}

#[derive(Debug)]
struct Waiting {
    block: usize,
    head: Head,
    deltas: Vec<Delta>,
    closed: bool,
    arguments: Nesting,
}

/// Follows a JSON text far enough to know when its outermost value is complete.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
    complete: bool,
}

impl Encoder {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            started: false,
            next_index: 0,
            calls: 0,
            blocks: VecDeque::new(),
            waiting: 0,
            stop: None,
            refuses: false,
            usage: None,
        }
    }

    /// Appends what `event` means. Of several answers only the first has a place in this dialect.
    pub(crate) fn write(&mut self, event: Event, out: &mut Vec<u8>) -> Result<(), Overflow> {
        match event {
            Event::Start { id, model, created: _ } => self.start(id, model, out),
            Event::Open { answer: 0, block, head } => self.open(block, head, out),
            Event::Delta { answer: 0, block, delta } => return self.delta(block, delta, out),
            Event::Close { answer: 0, block } => self.close(block, out),
            Event::Finish { answer: 0, stop } => self.stop = Some(stop),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Done => self.end(out),
            Event::Open { .. } | Event::Delta { .. } | Event::Close { .. } | Event::Finish { .. } | Event::Logprobs { .. } => {}
        }
        Ok(())
    }

    fn start(&mut self, told: Option<String>, model: Option<String>, out: &mut Vec<u8>) {
        self.started = true;
        let message = json!({
            "id": id(told, &self.asked),
            "type": "message",
            "role": "assistant",
            "model": model.unwrap_or_else(|| self.asked.model.clone()),
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage(&self.usage.unwrap_or_default()),
        });
        event(out, "message_start", &json!({"type": "message_start", "message": message}));
    }

    fn open(&mut self, block: usize, head: Head, out: &mut Vec<u8>) {
        self.refuses |= head == Head::Refusal;
        self.blocks.push_back(Waiting {
            block,
            head,
            deltas: Vec::new(),
            closed: false,
            arguments: Nesting::default(),
        });
        if self.blocks.len() == 1 {
            self.show(out);
        } else {
            self.advance(out);
        }
    }

    fn delta(&mut self, block: usize, delta: Delta, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if self.blocks.front().is_some_and(|first| first.block != block) {
            self.advance(out);
        }
        // A block that is not there any more was complete: nothing but white space can come for it.
        let Some(position) = self.blocks.iter().position(|waiting| waiting.block == block) else {
            return Ok(());
        };
        let index = self.next_index;
        let Some(waiting) = self.blocks.get_mut(position) else {
            return Ok(());
        };
        if let Delta::Arguments(piece) = &delta {
            waiting.arguments.follow(piece);
        }
        if position == 0 {
            piece(out, index, &waiting.head, &delta);
            return Ok(());
        }
        let (Delta::Text(text) | Delta::Signature(text) | Delta::Arguments(text)) = &delta;
        self.waiting += text.len();
        match (waiting.deltas.last_mut(), &delta) {
            (Some(Delta::Arguments(last)), Delta::Arguments(more)) | (Some(Delta::Text(last)), Delta::Text(more)) => last.push_str(more),
            _ => waiting.deltas.push(delta),
        }
        if self.waiting > MAX_WAITING { Err(Overflow) } else { Ok(()) }
    }

    fn close(&mut self, block: usize, out: &mut Vec<u8>) {
        if let Some(waiting) = self.blocks.iter_mut().find(|waiting| waiting.block == block) {
            waiting.closed = true;
        }
        self.advance(out);
    }

    /// Ends the open block on the wire where it is complete and brings on the ones behind it, until one is not complete.
    fn advance(&mut self, out: &mut Vec<u8>) {
        loop {
            let followed = self.blocks.len() > 1;
            let Some(first) = self.blocks.front() else { return };
            // A call whose arguments are complete needs no end to be over, once something else comes.
            if !(first.closed || followed && first.arguments.complete) {
                return;
            }
            event(
                out,
                "content_block_stop",
                &json!({"type": "content_block_stop", "index": self.next_index}),
            );
            self.next_index += 1;
            self.blocks.pop_front();
            self.show(out);
        }
    }

    /// Begins the first block on the wire, with all of it that has waited.
    fn show(&mut self, out: &mut Vec<u8>) {
        let index = self.next_index;
        let Some(first) = self.blocks.front_mut() else { return };
        let block = match &first.head {
            Head::Text | Head::Refusal => json!({"type": "text", "text": ""}),
            Head::Thinking => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Head::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
            Head::ToolCall { id, name } => {
                let id = call_id(id.clone(), self.calls, &self.asked.id);
                self.calls += 1;
                json!({"type": "tool_use", "id": id, "name": name, "input": {}})
            }
        };
        event(
            out,
            "content_block_start",
            &json!({"type": "content_block_start", "index": index, "content_block": block}),
        );
        for delta in core::mem::take(&mut first.deltas) {
            let (Delta::Text(text) | Delta::Signature(text) | Delta::Arguments(text)) = &delta;
            self.waiting = self.waiting.saturating_sub(text.len());
            piece(out, index, &first.head, &delta);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            return;
        }
        for waiting in &mut self.blocks {
            waiting.closed = true;
        }
        self.advance(out);
        let told = self.stop.take().unwrap_or(Stop::End);
        let stop = if self.refuses && told == Stop::End { Stop::Refusal } else { told };
        event(
            out,
            "message_delta",
            &json!({
                "type": "message_delta",
                "delta": {"stop_reason": stop_reason(&stop), "stop_sequence": stop_sequence(&stop)},
                "usage": usage(&self.usage.unwrap_or_default()),
            }),
        );
        event(out, "message_stop", &json!({"type": "message_stop"}));
    }
}

impl Nesting {
    fn follow(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    self.complete |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

fn piece(out: &mut Vec<u8>, index: usize, head: &Head, delta: &Delta) {
    let delta = match (head, delta) {
        (Head::Text | Head::Refusal, Delta::Text(text)) => json!({"type": "text_delta", "text": text}),
        (Head::Thinking, Delta::Text(text)) => json!({"type": "thinking_delta", "thinking": text}),
        (Head::Thinking, Delta::Signature(signature)) => json!({"type": "signature_delta", "signature": signature}),
        (Head::ToolCall { .. }, Delta::Arguments(json)) => json!({"type": "input_json_delta", "partial_json": json}),
        (Head::Text | Head::Refusal | Head::Thinking | Head::Redacted(_) | Head::ToolCall { .. }, _) => return,
    };
    event(
        out,
        "content_block_delta",
        &json!({"type": "content_block_delta", "index": index, "delta": delta}),
    );
}

fn event(out: &mut Vec<u8>, name: &str, data: &Value) {
    write_event(out, Some(name), data.to_string().as_bytes());
}
