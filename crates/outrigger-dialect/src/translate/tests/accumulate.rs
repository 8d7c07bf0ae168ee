//! What strict SDK helpers make of a stream. They panic where a sequence is not well-formed.

use crate::sse::Splitter;
use outrigger_core::Dialect;
use serde_json::{Map, Value, json};

/// The answer that a client holds at the end of the stream, as [`comparable`] has it.
pub(super) fn accumulate(dialect: Dialect, stream: &[u8]) -> Value {
    let answer = match dialect {
        Dialect::OpenAi => openai(stream),
        Dialect::Anthropic => anthropic(stream),
    };
    comparable(dialect, answer)
}

fn events(stream: &[u8]) -> Vec<(Option<String>, String)> {
    let mut events = Vec::new();
    let mut splitter = Splitter::new(usize::MAX);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    splitter
        .push(stream, &mut |event| events.push((event.name.map(text), text(event.data))))
        .unwrap();
    splitter.finish(&mut |event| panic!("an event without its end: {}", text(event.data)));
    events
}

/// Concatenates every string but `type`, overwrites `index`, merges lists of objects by `index`: as the official helper does.
fn merge(into: &mut Map<String, Value>, delta: &Map<String, Value>) {
    for (key, new) in delta {
        let old = into.entry(key.clone()).or_insert(Value::Null);
        match (old, new) {
            (_, Value::Null) => {}
            (old @ Value::Null, new) => *old = own(new),
            (old, new) if key == "index" || key == "type" => *old = new.clone(),
            (Value::String(old), Value::String(new)) => old.push_str(new),
            (Value::Object(old), Value::Object(new)) => merge(old, new),
            (Value::Array(old), Value::Array(new)) => merge_lists(old, new),
            (old, new) => panic!("{key}: {old} and {new} do not go together"),
        }
    }
}

/// The first fragment of a list goes through the same merge, so that a gap at its beginning shows.
fn own(new: &Value) -> Value {
    match new {
        Value::Array(items) if items.iter().all(|item| item.get("index").is_some()) => {
            let mut list = Vec::new();
            merge_lists(&mut list, items);
            Value::Array(list)
        }
        other => other.clone(),
    }
}

fn merge_lists(old: &mut Vec<Value>, new: &[Value]) {
    for item in new {
        let Some(index) = item.get("index") else {
            old.push(item.clone());
            continue;
        };
        let index = usize::try_from(index.as_u64().unwrap()).unwrap();
        assert!(index <= old.len(), "index {index} after {} entries", old.len());
        match old.get_mut(index) {
            Some(Value::Object(entry)) => merge(entry, item.as_object().unwrap()),
            _ => old.push(item.clone()),
        }
    }
}

fn openai(stream: &[u8]) -> Value {
    let mut choices: Vec<Value> = Vec::new();
    let (mut top, mut usage, mut done) = (None, Value::Null, false);
    for (name, data) in events(stream) {
        assert!(name.is_none() && !done, "{data}");
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(&data).unwrap();
        let head = json!([chunk["id"], chunk["model"], chunk["created"]]);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(*top.get_or_insert(head.clone()), head, "the same on every chunk");
        assert!(usage.is_null(), "a chunk behind the usage: {data}");
        usage = chunk["usage"].clone();
        let deltas = chunk["choices"].as_array().unwrap();
        assert_eq!(deltas.is_empty(), !usage.is_null(), "only the usage chunk has no choices");
        for choice in deltas {
            let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            let delta = choice["delta"].as_object().unwrap();
            if index >= choices.len() {
                choices.resize(index + 1, json!({"message": {}, "logprobs": null, "finish_reason": null}));
            }
            let state = &mut choices[index];
            assert_eq!(
                state["message"].get("role").is_none(),
                delta.contains_key("role"),
                "the role comes once and first: {data}"
            );
            assert!(state["finish_reason"].is_null(), "more behind the finish reason: {data}");
            state["finish_reason"] = choice["finish_reason"].clone();
            merge(state["message"].as_object_mut().unwrap(), delta);
            let logprobs = Map::from_iter([("logprobs".to_owned(), choice["logprobs"].clone())]);
            merge(state.as_object_mut().unwrap(), &logprobs);
        }
    }
    assert!(done, "no [DONE]");
    let top = top.unwrap();
    json!({"id": top[0], "model": top[1], "created": top[2], "choices": choices, "usage": usage})
}

fn anthropic(stream: &[u8]) -> Value {
    let mut message = Value::Null;
    let mut json_text: Option<String> = None;
    let (mut open, mut next, mut stopped, mut ended) = (None, 0, false, false);
    for (name, data) in events(stream) {
        let event: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(name.as_deref(), event["type"].as_str(), "events without their name are dropped");
        assert!(!ended);
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "message_start" => {
                assert!(message.is_null());
                message = event["message"].clone();
                assert!(message["usage"]["input_tokens"].is_u64() && message["content"] == json!([]));
            }
            "content_block_start" => {
                assert!(open.is_none() && !stopped && index == Some(next), "{data}");
                open = index;
                next += 1;
                json_text = None;
                message["content"].as_array_mut().unwrap().push(event["content_block"].clone());
            }
            "content_block_delta" => {
                assert!(open.is_some() && open == index, "{data}");
                let block = message["content"].as_array_mut().unwrap().last_mut().unwrap();
                let (field, delta) = match event["delta"]["type"].as_str().unwrap() {
                    "text_delta" => ("text", &event["delta"]["text"]),
                    "thinking_delta" => ("thinking", &event["delta"]["thinking"]),
                    "signature_delta" => ("signature", &event["delta"]["signature"]),
                    "input_json_delta" => ("input", &event["delta"]["partial_json"]),
                    other => panic!("{other}"),
                };
                let delta = delta.as_str().unwrap();
                if field == "input" {
                    json_text.get_or_insert_default().push_str(delta);
                } else {
                    let whole = block[field].as_str().unwrap().to_owned() + delta;
                    block[field] = whole.into();
                }
            }
            "content_block_stop" => {
                assert!(open.is_some() && open == index, "{data}");
                open = None;
                if let Some(text) = json_text.take() {
                    message["content"].as_array_mut().unwrap().last_mut().unwrap()["input"] = serde_json::from_str(&text).expect(&text);
                }
            }
            "message_delta" => {
                assert!(open.is_none() && !stopped);
                stopped = true;
                for (key, value) in event["delta"].as_object().unwrap() {
                    message[key] = value.clone();
                }
                for (key, value) in event["usage"].as_object().unwrap() {
                    message["usage"][key] = value.clone();
                }
            }
            "message_stop" => {
                assert!(stopped);
                ended = true;
            }
            other => panic!("{other}"),
        }
    }
    assert!(ended, "no message_stop");
    message
}

/// A whole answer as far as a stream tells it too.
pub(super) fn comparable(dialect: Dialect, mut answer: Value) -> Value {
    if dialect == Dialect::OpenAi {
        for choice in answer["choices"].as_array_mut().unwrap() {
            choice.as_object_mut().unwrap().shift_remove("index");
            let message = choice["message"].as_object_mut().unwrap();
            // A stream begins with an empty text, whatever comes.
            if message["content"].is_null() {
                message["content"] = "".into();
            }
            if message.get("refusal").is_some_and(Value::is_null) {
                message.shift_remove("refusal");
            }
            for list in ["tool_calls", "reasoning_details"] {
                for entry in message.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                    entry.as_object_mut().unwrap().shift_remove("index");
                }
            }
        }
        answer.as_object_mut().unwrap().shift_remove("object");
    }
    answer
}
