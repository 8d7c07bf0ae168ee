//! Thinking, over several turns and providers.

use super::{accumulate::accumulate, *};
use serde_json::json;

/// The assistant's message as a client would give it back, from a whole answer or a stream.
fn message(provider: Dialect, client: Dialect, fixture_name: &str, stream: bool) -> Value {
    let answer = if stream {
        let stream = fixture("provider", provider, &format!("{fixture_name}.sse"));
        accumulate(client, &run(provider, client, &[stream.as_bytes()], &asked()).bytes)
    } else {
        let body = fixture("provider", provider, &format!("{fixture_name}.jsonc"));
        parse(&unary(provider, client, body.as_bytes(), &asked()).unwrap().0)
    };
    match client {
        Dialect::OpenAi => answer["choices"][0]["message"].clone(),
        Dialect::Anthropic => json!({"role": "assistant", "content": answer["content"]}),
    }
}

fn call(message: &Value) -> Vec<u8> {
    let user = json!({"role": "user", "content": "?"});
    json!({"model": "x", "max_tokens": 9000, "messages": [user, message, user]})
        .to_string()
        .into_bytes()
}

fn sent(from: Dialect, to: Dialect, model: &str, body: &[u8]) -> Value {
    let (facts, quirks) = (ModelFacts::default(), Quirks::default());
    let target = TargetTraits {
        model,
        facts: &facts,
        quirks: &quirks,
        stream: false,
    };
    parse(&request(from, to, Endpoint::Chat, body, &target).unwrap())["messages"][1].clone()
}

#[test]
fn signed_thinking_survives_a_turn_through_the_other_dialect() {
    let original = parse(fixture("provider", Dialect::Anthropic, "thinking.jsonc").as_bytes());
    for stream in [false, true] {
        let message = message(Dialect::Anthropic, Dialect::OpenAi, "thinking", stream);
        let back = sent(Dialect::OpenAi, Dialect::Anthropic, "claude-opus-5-5", &call(&message));
        assert_eq!(back["content"], original["content"], "streamed: {stream}");
    }
}

#[test]
fn reasoning_goes_back_to_the_model_that_thought_it_and_to_no_other() {
    for stream in [false, true] {
        let message = message(Dialect::OpenAi, Dialect::Anthropic, "reasoning", stream);
        let reasoning = |model| sent(Dialect::Anthropic, Dialect::OpenAi, model, &call(&message))["reasoning_content"].clone();
        assert_eq!(reasoning("deepseek-reasoner"), "Six times seven.");
        assert_eq!(reasoning("gpt-4o"), Value::Null);
        let claude = sent(Dialect::Anthropic, Dialect::Anthropic, "claude-opus-5-5", &call(&message));
        assert_eq!(claude["content"], json!([{"type": "text", "text": "42"}]));
    }
}

#[test]
fn reasoning_that_nobody_wants_back_stays_away() {
    let message = message(Dialect::OpenAi, Dialect::Anthropic, "list_content", false);
    assert_eq!(message["content"][0]["thinking"], "Ask the tool.");
    let back = sent(Dialect::Anthropic, Dialect::OpenAi, "magistral-medium-2509", &call(&message));
    assert_eq!(back.get("reasoning_content"), None);
}

#[test]
fn foreign_thinking_leaves_a_call_that_stays_in_its_dialect() {
    for (provider, client, name) in [
        (Dialect::OpenAi, Dialect::Anthropic, "reasoning"),
        (Dialect::Anthropic, Dialect::OpenAi, "thinking"),
    ] {
        for stream in [false, true] {
            let with = message(provider, client, name, stream);
            let mut without = with.clone();
            if client == Dialect::OpenAi {
                let fields = without.as_object_mut().unwrap();
                assert!(fields.shift_remove("reasoning_details").is_some() && fields.shift_remove("reasoning_content").is_some());
            } else {
                without["content"].as_array_mut().unwrap().remove(0);
            }
            assert_eq!(without_foreign_thinking(client, &call(&with)).unwrap(), call(&without));
            assert_eq!(without_foreign_thinking(client, &call(&without)), None);
        }
    }
    let own = json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "outrigger/thinking/", "signature": "EqQB"}]});
    assert_eq!(
        without_foreign_thinking(Dialect::Anthropic, &call(&own)),
        None,
        "the words alone are no mark"
    );
}
