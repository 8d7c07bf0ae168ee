//! OpenAI's spelling of an answer: chat completions, their chunks, embeddings.
//!
//! Decides field names and the order of events, as the official SDKs expect them. It must never decide what is said.

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::ask::Ask;
use crate::behaviour::Tokens;
use crate::json::put;
use crate::reply::{Reply, ToolUse, even};
use crate::score::Event;

/// Length of an embedding when the request names none.
const DIMENSIONS: u64 = 8;
/// Longest embedding that is computed.
const MOST_DIMENSIONS: u64 = 8192;
/// Most inputs of one request for embeddings, as with the original.
const MOST_INPUTS: usize = 2048;

/// A whole chat completion.
pub(crate) fn completion(reply: &Reply, ask: &Ask) -> Value {
    let choices: Vec<Value> = (0..reply.choices).map(|index| choice(reply, ask, index)).collect();
    json!({
        "id": format!("chatcmpl-{}", reply.tag), "object": "chat.completion", "created": reply.created, "model": reply.model,
        "choices": choices, "usage": usage(&reply.tokens), "service_tier": "default", "system_fingerprint": "fp_mock",
    })
}

fn choice(reply: &Reply, ask: &Ask, index: usize) -> Value {
    let text = reply.text.concat();
    let content = if text.is_empty() && !reply.tools.is_empty() {
        Value::Null
    } else {
        Value::String(text)
    };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null, "annotations": []});
    if !reply.thinking.is_empty() {
        put(&mut message, "reasoning_content", reply.thinking.concat());
    }
    if !reply.tools.is_empty() {
        let calls = reply.tools.iter().enumerate().map(|(position, tool)| {
            json!({"id": call_id(reply, tool, index, position), "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}})
        });
        put(&mut message, "tool_calls", calls.collect::<Value>());
    }
    let logprobs = ask.logprobs.map_or(Value::Null, |alternatives| logprobs(&reply.text, alternatives));
    json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reply.finish})
}

fn call_id(reply: &Reply, tool: &ToolUse, choice: usize, position: usize) -> String {
    tool.id.clone().unwrap_or_else(|| format!("call_{}-{choice}-{position}", reply.tag))
}

fn logprobs(tokens: &[String], alternatives: usize) -> Value {
    let one = |token: &String| json!({"token": token, "logprob": -0.25, "bytes": token.as_bytes()});
    let content = tokens.iter().map(|token| {
        let mut entry = one(token);
        put(&mut entry, "top_logprobs", (0..alternatives).map(|_| one(token)).collect::<Value>());
        entry
    });
    json!({"content": content.collect::<Value>(), "refusal": null})
}

fn usage(tokens: &Tokens) -> Value {
    let prompt = tokens.input + tokens.cached_read + tokens.cache_write;
    json!({
        "prompt_tokens": prompt, "completion_tokens": tokens.output, "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached_read, "cache_write_tokens": tokens.cache_write, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// The same completion as a stream: roles, content of all choices in turn, reasons for ending, usage if asked for, `[DONE]`.
pub(crate) fn stream(reply: &Reply, ask: &Ask) -> Vec<Event> {
    let chunks = Chunks { reply, ask };
    let mut events = Vec::new();
    let all = 0..reply.choices;
    for index in all.clone() {
        let content = if reply.tools.is_empty() { json!("") } else { Value::Null };
        events.push(
            chunks
                .delta(index, &json!({"role": "assistant", "content": content, "refusal": null}), None)
                .opening(),
        );
    }
    for part in &reply.thinking {
        events.extend(
            all.clone()
                .map(|index| chunks.delta(index, &json!({"reasoning_content": part}), None)),
        );
    }
    for part in &reply.text {
        events.extend(all.clone().map(|index| chunks.delta(index, &json!({"content": part}), Some(part))));
    }
    for (position, tool) in reply.tools.iter().enumerate() {
        for index in all.clone() {
            chunks.tool(index, position, tool, &mut events);
        }
    }
    for index in all {
        events.push(chunks.finish(index));
    }
    if ask.include_usage {
        let mut last = chunks.envelope(&[]);
        put(&mut last, "usage", usage(&reply.tokens));
        events.push(data(&last).closing());
    }
    events.push(Event::closing_bytes(Bytes::from_static(b"data: [DONE]\n\n")));
    events
}

/// The keep-alive of this dialect: a comment.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(b": keep-alive\n\n")
}

struct Chunks<'a> {
    reply: &'a Reply,
    ask: &'a Ask,
}

impl Chunks<'_> {
    fn envelope(&self, choices: &[Value]) -> Value {
        let reply = self.reply;
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", reply.tag), "object": "chat.completion.chunk", "created": reply.created, "model": reply.model,
            "service_tier": "default", "system_fingerprint": "fp_mock", "choices": choices,
        });
        if self.ask.include_usage {
            put(&mut chunk, "usage", Value::Null);
        }
        chunk
    }

    fn delta(&self, index: usize, delta: &Value, token: Option<&String>) -> Event {
        let logprobs = match (self.ask.logprobs, token) {
            (Some(alternatives), Some(token)) => logprobs(std::slice::from_ref(token), alternatives),
            _ => Value::Null,
        };
        data(&self.envelope(&[json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": null})]))
    }

    fn tool(&self, index: usize, position: usize, tool: &ToolUse, events: &mut Vec<Event>) {
        let id = call_id(self.reply, tool, index, position);
        let first = json!({"index": position, "id": id, "type": "function", "function": {"name": tool.name, "arguments": ""}});
        events.push(self.delta(index, &json!({"tool_calls": [first]}), None));
        for part in even(&tool.arguments, 3) {
            let more = json!({"index": position, "function": {"arguments": part}});
            events.push(self.delta(index, &json!({"tool_calls": [more]}), None));
        }
    }

    fn finish(&self, index: usize) -> Event {
        let choice = json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": self.reply.finish});
        data(&self.envelope(&[choice])).closing()
    }
}

fn data(value: &Value) -> Event {
    Event::content(Bytes::from(format!("data: {value}\n\n")))
}

/// Embeddings: unit-free vectors that depend on the input alone.
pub(crate) fn embeddings(body: &Map<String, Value>, ask: &Ask, model: &str) -> Value {
    let dimensions = body
        .get("dimensions")
        .and_then(Value::as_u64)
        .unwrap_or(DIMENSIONS)
        .clamp(1, MOST_DIMENSIONS);
    let base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let input = body.get("input").cloned().unwrap_or(Value::Null);
    let inputs = match input {
        // An array of numbers is one input, already split into tokens.
        Value::Array(items) if !items.first().is_some_and(Value::is_number) => items,
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => vec![one],
    };
    let data = inputs.iter().take(MOST_INPUTS).enumerate().map(|(index, input)| {
        let vector = vector(&input.to_string(), dimensions);
        let embedding = if base64 { encoded(&vector) } else { json!(vector) };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let tokens = ask.prompt_tokens.max(1);
    json!({"object": "list", "data": data.collect::<Value>(), "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

/// Little-endian 32-bit floats in base64: what the official SDKs ask for by default.
fn encoded(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

/// Multiples of 1/128 in −1..1, which every float format holds exactly.
fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let number = |position: u64| {
        let mixed = (seed ^ position.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0x94d0_49bb_1331_11eb)
            .to_be_bytes();
        (f32::from(mixed.first().copied().unwrap_or(0)) - 128.0) / 128.0
    };
    (0..dimensions).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedding_is_the_same_in_both_encodings() {
        let of = |format: &str| {
            let body = json!({"input": ["a", "b"], "dimensions": 3, "encoding_format": format});
            embeddings(body.as_object().unwrap(), &Ask::default(), "m")
        };
        let (floats, text) = (of("float"), of("base64"));
        for item in 0..2 {
            let expected: Vec<f32> = serde_json::from_value(floats["data"][item]["embedding"].clone()).unwrap();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text["data"][item]["embedding"].as_str().unwrap())
                .unwrap();
            let decoded: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
            assert_eq!((decoded.len(), &decoded), (3, &expected));
        }
        assert_ne!(floats["data"][0]["embedding"], floats["data"][1]["embedding"]);
    }

    #[test]
    fn token_ids_are_one_input_and_lists_of_them_are_several() {
        let count = |input: Value| {
            embeddings(json!({"input": input}).as_object().unwrap(), &Ask::default(), "m")["data"]
                .as_array()
                .unwrap()
                .len()
        };
        assert_eq!(count(json!("text")), 1);
        assert_eq!(count(json!(["a", "b"])), 2);
        assert_eq!(count(json!([1, 2, 3])), 1);
        assert_eq!(count(json!([[1], [2, 3]])), 2);
    }
}
