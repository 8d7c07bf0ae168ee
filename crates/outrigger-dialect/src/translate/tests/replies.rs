//! Whole answers.

use super::*;

#[test]
fn answers_in_every_client_dialect() {
    for provider in DIALECTS {
        for name in names("provider", provider, ".jsonc") {
            let body = fixture("provider", provider, &format!("{name}.jsonc"));
            for client in DIALECTS {
                let (answer, report) = unary(provider, client, body.as_bytes(), &asked()).unwrap();
                assert!(report.usage.is_some());
                golden(
                    format!("answer_{}_{name}_to_{}", word(provider), word(client)),
                    &serde_json::to_string_pretty(&parse(&answer)).unwrap(),
                );
            }
        }
    }
}

#[test]
fn what_is_no_answer_is_no_success() {
    for (provider, body) in [
        (
            Dialect::OpenAi,
            r#"{"error":{"message":"x","type":"server_error","param":null,"code":null}}"#,
        ),
        (Dialect::OpenAi, r#"{"id":"x","choices":[]}"#),
        (Dialect::OpenAi, "<html></html>"),
        (Dialect::OpenAi, ""),
        (
            Dialect::Anthropic,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
        ),
        (Dialect::Anthropic, r#"{"input_tokens":3}"#),
        (Dialect::Anthropic, "[]"),
    ] {
        for client in DIALECTS {
            assert!(unary(provider, client, body.as_bytes(), &asked()).is_err(), "{body}");
        }
    }
}

#[test]
fn arguments_that_are_no_object_are_kept_and_come_back_as_they_were() {
    let body = r#"{"choices":[{"index":0,"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]},"finish_reason":"length"}]}"#;
    let (answer, _) = unary(Dialect::OpenAi, Dialect::Anthropic, body.as_bytes(), &asked()).unwrap();
    let answer = parse(&answer);
    assert_eq!(answer["stop_reason"], "max_tokens");
    let call = serde_json::json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": "?"},
    ]});
    let (facts, quirks) = (ModelFacts::default(), Quirks::default());
    let target = TargetTraits {
        model: "m",
        facts: &facts,
        quirks: &quirks,
        stream: false,
    };
    let back = request(
        Dialect::Anthropic,
        Dialect::OpenAi,
        Endpoint::Messages,
        call.to_string().as_bytes(),
        &target,
    )
    .unwrap();
    assert_eq!(parse(&back)["messages"][0]["tool_calls"][0]["function"]["arguments"], "{\"x\":");
}
