//! Healthy answers in both dialects.

use serde_json::{Value, json};

use super::client::{Answer, chat, get, message, mock, once, post, post_with, request, scripted};

const CHAT: &str = "/p/v1/chat/completions";
const MESSAGES: &str = "/p/v1/messages";

/// What an OpenAI client accumulates of choice 0: text, tool arguments by index, finish reason.
fn accumulated(answer: &Answer) -> (String, Vec<String>, String) {
    let (mut text, mut tools, mut finish) = (String::new(), Vec::<String>::new(), String::new());
    for choice in answer
        .events()
        .iter()
        .flat_map(|event| event["choices"].as_array().unwrap().clone())
        .filter(|choice| choice["index"] == 0)
    {
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if call.get("id").is_some() {
                assert_eq!(index, tools.len(), "indexes count up without a gap");
                tools.push(String::new());
            }
            tools[index].push_str(call["function"]["arguments"].as_str().unwrap());
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            reason.clone_into(&mut finish);
        }
    }
    (text, tools, finish)
}

#[tokio::test]
async fn an_unknown_name_is_a_healthy_provider() {
    let mock = mock();
    for path in [
        "/anything/v1/chat/completions",
        "/anything/chat/completions",
        "/v1/chat/completions",
        "/chat/completions",
    ] {
        let answer = once(&mock, post(path, &chat(json!({})))).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        let body = answer.json();
        assert_eq!(
            (body["object"].as_str(), body["model"].as_str()),
            (Some("chat.completion"), Some("m"))
        );
        assert_eq!(body["choices"][0]["finish_reason"], "stop");
        assert!(body["choices"][0]["message"]["content"].as_str().unwrap().contains("Hello"));
        assert!(!answer.header("x-request-id").is_empty());
    }
    assert_eq!((mock.calls("anything").len(), mock.calls("default").len()), (2, 2));
}

#[tokio::test]
async fn a_chat_stream_accumulates_to_the_unary_answer() {
    let script = json!({"text": "one two ünïcode three", "tool_calls": [{"name": "f", "arguments": {"city": "Bern"}}, {"name": "g"}]});
    let mock = scripted(script);
    let unary = once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().json();
    let stream = once(&mock, post(CHAT, &chat(json!({"stream": true})))).await.unwrap();
    assert!(stream.header("content-type").starts_with("text/event-stream"));
    let (text, tools, finish) = accumulated(&stream);
    let message = &unary["choices"][0]["message"];
    assert_eq!(text, message["content"]);
    assert_eq!(finish, "tool_calls");
    let expected: Vec<&str> = message["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["function"]["arguments"].as_str().unwrap())
        .collect();
    assert_eq!(tools, expected);
    assert_eq!(tools, [r#"{"city":"Bern"}"#, "{}"]);
    assert!(stream.text().ends_with("data: [DONE]\n\n"));
    assert!(stream.events().iter().all(|event| event.get("usage").is_none()));
}

#[tokio::test]
async fn usage_comes_last_if_asked_for_and_is_null_before() {
    let mock = scripted(json!({"usage": {"input": 5, "cached_read": 3, "cache_write": 2, "output": 7, "reasoning": 4}}));
    let body = chat(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let events = once(&mock, post(CHAT, &body)).await.unwrap().events();
    let (last, others) = events.split_last().unwrap();
    assert!(others.iter().all(|event| event.get("usage") == Some(&Value::Null)));
    assert_eq!(last["choices"], json!([]));
    assert_eq!(
        (
            &last["usage"]["prompt_tokens"],
            &last["usage"]["completion_tokens"],
            &last["usage"]["total_tokens"]
        ),
        (&json!(10), &json!(7), &json!(17))
    );
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
    assert_eq!(last["usage"]["completion_tokens_details"]["reasoning_tokens"], 4);
}

#[tokio::test]
async fn several_choices_and_token_probabilities_come_when_asked_for() {
    let mock = scripted(json!({"text": "a b"}));
    let body = json!({"n": 2, "logprobs": true, "top_logprobs": 2});
    let unary = once(&mock, post(CHAT, &chat(body.clone()))).await.unwrap().json();
    assert_eq!(unary["choices"].as_array().unwrap().len(), 2);
    let content = &unary["choices"][1]["logprobs"]["content"];
    assert_eq!(
        (content[0]["token"].as_str(), content[0]["top_logprobs"].as_array().unwrap().len()),
        (Some("a "), 2)
    );
    let mut streamed = chat(body);
    streamed["stream"] = true.into();
    let events = once(&mock, post(CHAT, &streamed)).await.unwrap().events();
    for index in 0..2 {
        let own = events.iter().filter(|event| event["choices"][0]["index"] == index);
        assert_eq!(
            own.clone().filter(|event| event["choices"][0]["finish_reason"] == "stop").count(),
            1
        );
        assert_eq!(own.filter(|event| event["choices"][0]["logprobs"]["content"].is_array()).count(), 2);
    }
}

#[tokio::test]
async fn a_message_stream_has_the_events_of_its_dialect_in_order() {
    let script = json!({"text": "one two", "thinking": "well", "tool_calls": [{"name": "f", "arguments": {"a": 1}}], "usage": {"input": 4, "output": 6}});
    let mock = scripted(script);
    let unary = once(&mock, post(MESSAGES, &message(json!({})))).await.unwrap().json();
    let kinds: Vec<&str> = unary["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    assert_eq!(
        (&unary["stop_reason"], &unary["content"][2]["input"]),
        (&json!("tool_use"), &json!({"a": 1}))
    );

    let stream = once(&mock, post(MESSAGES, &message(json!({"stream": true})))).await.unwrap();
    let text = stream.text();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let events = stream.events();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names, types, "each event is named after its type");
    assert_eq!((names.first(), names.last()), (Some(&"message_start"), Some(&"message_stop")));
    assert_eq!(events[0]["message"]["stop_reason"], Value::Null);
    let deltas = |kind: &str, field: &str| -> String {
        events
            .iter()
            .filter(|event| event["delta"]["type"] == kind)
            .map(|event| event["delta"][field].as_str().unwrap())
            .collect()
    };
    assert_eq!(
        (deltas("text_delta", "text").as_str(), deltas("thinking_delta", "thinking").as_str()),
        ("one two", "well")
    );
    assert_eq!(deltas("input_json_delta", "partial_json"), r#"{"a":1}"#);
    let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(
        (&delta["delta"]["stop_reason"], &delta["usage"]["output_tokens"]),
        (&json!("tool_use"), &json!(6))
    );
}

#[tokio::test]
async fn a_json_schema_is_answered_with_a_value_that_fits() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "big": {"type": "boolean"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let mock = mock();
    let answer = once(&mock, post(CHAT, &chat(json!({"response_format": format}))))
        .await
        .unwrap()
        .json();
    let value: Value = serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(value, json!({"city": "example", "big": true}));
    let format = json!({"format": {"type": "json_schema", "schema": schema}});
    let answer = once(&mock, post(MESSAGES, &message(json!({"output_config": format}))))
        .await
        .unwrap()
        .json();
    assert_eq!(answer["content"][0]["text"].as_str().unwrap(), value.to_string());
}

#[tokio::test]
async fn thinking_finish_model_and_echo_follow_the_script() {
    let mock = scripted(json!({"thinking": "well", "finish": "length", "model": "other", "echo": true}));
    let openai = once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().json();
    assert_eq!(openai["model"], "other");
    assert_eq!(openai["choices"][0]["message"]["reasoning_content"], "well");
    assert_eq!(
        (&openai["choices"][0]["finish_reason"], &openai["choices"][0]["message"]["content"]),
        (&json!("length"), &json!("hello there"))
    );
    let anthropic = once(&mock, post(MESSAGES, &message(json!({})))).await.unwrap().json();
    assert_eq!(anthropic["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn models_are_listed_and_found_in_both_shapes() {
    let mock = scripted(json!({"models": ["a", "org/b"]}));
    let list = once(&mock, get("/p/v1/models")).await.unwrap().json();
    assert_eq!((&list["object"], &list["data"][1]["id"]), (&json!("list"), &json!("org/b")));
    assert_eq!(once(&mock, get("/p/models/org/b")).await.unwrap().json()["object"], "model");
    let anthropic = |path: &str| request(http::Method::GET, path, &[("anthropic-version", "2023-06-01")], "");
    let list = once(&mock, anthropic("/p/v1/models")).await.unwrap().json();
    assert_eq!(
        (&list["has_more"], &list["last_id"], &list["data"][0]["type"]),
        (&json!(false), &json!("org/b"), &json!("model"))
    );
    let missing = once(&mock, get("/p/v1/models/c")).await.unwrap();
    assert_eq!(
        (missing.status.as_u16(), &missing.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
    let missing = once(&mock, post(CHAT, &chat(json!({})))).await.unwrap();
    assert_eq!(missing.status, 404, "the model `m` is not among them");
}

#[tokio::test]
async fn tokens_are_counted_and_texts_embedded() {
    let mock = mock();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "eight by"}]});
    let counted = once(&mock, post("/p/v1/messages/count_tokens", &body)).await.unwrap().json();
    assert_eq!(counted, json!({"input_tokens": 3}), "`user` and eight bytes of text");
    let embedded = once(&mock, post("/p/v1/embeddings", &json!({"model": "e", "input": ["a", "b"]})))
        .await
        .unwrap()
        .json();
    assert_eq!(
        (embedded["data"].as_array().unwrap().len(), &embedded["data"][1]["index"]),
        (2, &json!(1))
    );
}

#[tokio::test]
async fn the_same_script_gives_the_same_bytes() {
    let of = async || {
        let mock = scripted(json!({"text": "a b c", "tool_calls": [{"name": "f"}]}));
        let chat = once(&mock, post(CHAT, &chat(json!({"stream": true})))).await.unwrap().body;
        (
            chat,
            once(&mock, post(MESSAGES, &message(json!({"stream": true})))).await.unwrap().body,
        )
    };
    assert_eq!(of().await, of().await);
}

#[tokio::test]
async fn a_call_meets_the_script_of_the_key_that_it_brings() {
    let mock = scripted(json!({"latency_ms": 1, "by_key": {"spent": {"status": 429, "fail_every": 2}, "gone": {"keys": []}}}));
    for (number, (key, status)) in [
        ("spent", 200),
        ("spent", 429),
        ("good", 200),
        ("gone", 401),
        ("spent", 200),
        ("spent", 429),
    ]
    .into_iter()
    .enumerate()
    {
        let headers = [("authorization", format!("Bearer {key}"))];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = once(&mock, post_with(CHAT, &headers, &chat(json!({})))).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "call {number} with {key}");
    }
    assert!(
        crate::Behaviour::parse(r#"{"by_key": {"a": {"status": 1}}}"#)
            .unwrap_err()
            .contains("by_key `a`")
    );
}

#[tokio::test]
async fn keys_are_checked_in_either_header() {
    let mock = scripted(json!({"keys": ["k1", "k2"]}));
    for (header, value, path, status) in [
        ("authorization", "Bearer k1", CHAT, 200),
        ("authorization", "Bearer k3", CHAT, 401),
        ("x-api-key", "k2", MESSAGES, 200),
        ("authorization", "Bearer k2", MESSAGES, 200),
        ("x-api-key", "nope", MESSAGES, 401),
        ("accept", "*/*", CHAT, 401),
    ] {
        let body = if path == CHAT { chat(json!({})) } else { message(json!({})) };
        let answer = once(&mock, post_with(path, &[(header, value)], &body)).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{header}: {value} at {path}");
        if status == 401 {
            let error = answer.json()["error"].clone();
            let expected = if path == CHAT {
                ("code", "invalid_api_key")
            } else {
                ("type", "authentication_error")
            };
            assert_eq!(error[expected.0], expected.1);
        }
    }
}
