//! Calls.

use super::*;
use serde_json::json;

struct Case {
    name: &'static str,
    dialect: Dialect,
    model: &'static str,
    facts: ModelFacts,
    quirks: Quirks,
    stream: bool,
}

impl Case {
    fn target(&self) -> TargetTraits<'_> {
        TargetTraits {
            model: self.model,
            facts: &self.facts,
            quirks: &self.quirks,
            stream: self.stream,
        }
    }
}

fn targets() -> Vec<Case> {
    let facts = |max_output, reasoning| ModelFacts {
        max_output: Some(max_output),
        reasoning,
        ..ModelFacts::default()
    };
    let case = |name, dialect, model, facts| Case {
        name,
        dialect,
        model,
        facts,
        quirks: Quirks::default(),
        stream: false,
    };
    let mistral = Quirks {
        stream_options: false,
        max_completion_tokens: false,
        usage_unasked: true,
        drops: vec!["user".to_owned(), "reasoning_content".to_owned()],
    };
    vec![
        case("plain_openai", Dialect::OpenAi, "gpt-4o", facts(16_384, false)),
        Case {
            stream: true,
            ..case("reasoning_openai", Dialect::OpenAi, "gpt-5.1", facts(128_000, true))
        },
        Case {
            quirks: mistral,
            stream: true,
            ..case("mistral", Dialect::OpenAi, "mistral-small", facts(8_192, false))
        },
        case("budget_anthropic", Dialect::Anthropic, "claude-sonnet-4-5", facts(64_000, true)),
        Case {
            stream: true,
            ..case("adaptive_anthropic", Dialect::Anthropic, "claude-opus-4-8", facts(128_000, true))
        },
        case("newest_anthropic", Dialect::Anthropic, "claude-opus-5-5", facts(128_000, true)),
        case("imitation", Dialect::Anthropic, "kimi-k2", ModelFacts::default()),
    ]
}

fn translated(from: Dialect, body: &str, case: &Case) -> Value {
    match request(from, case.dialect, Endpoint::Chat, body.as_bytes(), &case.target()) {
        Ok(body) => parse(&body),
        Err(refused) => {
            assert!(refused.elsewhere, "a fixture is well-formed: {refused}");
            json!({"untranslatable": refused.message, "param": refused.param})
        }
    }
}

#[test]
fn calls_for_every_kind_of_target() {
    for client in DIALECTS {
        for name in names("client", client, ".jsonc") {
            let body = fixture("client", client, &format!("{name}.jsonc"));
            let made = targets().into_iter().filter(|case| case.dialect != client);
            let made: Value = made.map(|case| (case.name.to_owned(), translated(client, &body, &case))).collect();
            golden(
                format!("call_{}_{name}", word(client)),
                &serde_json::to_string_pretty(&made).unwrap(),
            );
        }
    }
}

#[test]
fn what_no_hint_can_replace_is_refused_with_a_sentence_that_names_the_field() {
    let refused = |client, name: &str, target: &str| {
        let body = fixture("client", client, &format!("{name}.jsonc"));
        let case = targets().into_iter().find(|case| case.name == target).unwrap();
        translated(client, &body, &case)["param"].as_str().map(str::to_owned)
    };
    for (name, param) in [
        ("two_answers", "n"),
        ("logprobs", "logprobs"),
        ("audio", "messages[1]"),
        ("json_object", "response_format"),
        ("hosted_tool", "tools[0].type"),
    ] {
        assert_eq!(refused(Dialect::OpenAi, name, "budget_anthropic").as_deref(), Some(param), "{name}");
    }
    assert_eq!(
        refused(Dialect::OpenAi, "tools", "newest_anthropic").as_deref(),
        Some("tool_choice")
    );
    for (name, param) in [
        ("hosted_tool", "tools[0]"),
        ("search_result", "messages[2]"),
        ("citations", "messages[0].content[0].citations"),
        ("residency", "inference_geo"),
        ("prewarm", "max_tokens"),
    ] {
        assert_eq!(refused(Dialect::Anthropic, name, "plain_openai").as_deref(), Some(param), "{name}");
    }
}

#[test]
fn embeddings_have_no_counterpart() {
    let case = &targets()[3];
    let refused = request(Dialect::OpenAi, case.dialect, Endpoint::Embeddings, b"{}", &case.target()).unwrap_err();
    assert!(refused.elsewhere);
}

#[test]
fn a_callers_mistake_is_named_by_its_path() {
    let user = json!({"role": "user", "content": "x"});
    let openai = |body: Value| (Dialect::OpenAi, body);
    let anthropic = |body: Value| (Dialect::Anthropic, body);
    for ((client, body), param) in [
        (openai(json!({})), "messages"),
        (openai(json!({"messages": {}})), "messages"),
        (openai(json!({"messages": [{"content": "x"}]})), "messages[0].role"),
        (openai(json!({"messages": [user, {"role": "robot"}]})), "messages[1].role"),
        (
            openai(json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]})),
            "messages[0].content[0].text",
        ),
        (
            openai(json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 1}}]}]})),
            "messages[0].content[0].image_url.url",
        ),
        (
            openai(json!({"messages": [{"role": "tool", "content": "x"}]})),
            "messages[0].tool_call_id",
        ),
        (openai(json!({"messages": [user], "max_tokens": "9"})), "max_tokens"),
        (
            openai(json!({"messages": [user], "tools": [{"type": "function", "function": {}}]})),
            "tools[0].function.name",
        ),
        (openai(json!({"messages": [user], "stop": [1]})), "stop"),
        (openai(json!({"messages": []})), "messages"),
        (anthropic(json!({"messages": [user]})), "max_tokens"),
        (
            anthropic(json!({"max_tokens": 1, "messages": [{"role": "user"}]})),
            "messages[0].content",
        ),
        (
            anthropic(json!({"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "tool_use", "id": "x"}]}]})),
            "messages[0].content[0].name",
        ),
        (
            anthropic(json!({"max_tokens": 1, "messages": [user], "tools": [{"name": "x"}]})),
            "tools[0].input_schema",
        ),
        (
            anthropic(json!({"max_tokens": 1, "messages": [user], "thinking": {"type": "enabled"}})),
            "thinking.budget_tokens",
        ),
    ] {
        let case = targets().into_iter().find(|case| case.dialect != client).unwrap();
        let refused = request(client, case.dialect, Endpoint::Chat, body.to_string().as_bytes(), &case.target()).unwrap_err();
        assert_eq!(
            (refused.param.as_deref(), refused.elsewhere),
            (Some(param), false),
            "{body}: {refused}"
        );
        assert!(refused.message.contains(param), "{refused}");
    }
    for body in ["", "[1]", "{\"a\":", "null"] {
        let case = &targets()[0];
        let refused = request(Dialect::OpenAi, case.dialect, Endpoint::Chat, body.as_bytes(), &case.target()).unwrap_err();
        assert_eq!((refused.param, refused.elsewhere), (None, false));
    }
}

#[test]
fn a_call_for_a_model_without_a_known_limit_gets_the_least_common_one() {
    let body = json!({"messages": [{"role": "user", "content": "x"}]}).to_string();
    let limit = |max_output, asked: Option<u64>| {
        let facts = ModelFacts {
            max_output,
            ..ModelFacts::default()
        };
        let target = TargetTraits {
            model: "claude-sonnet-4-5",
            facts: &facts,
            quirks: &Quirks::default(),
            stream: false,
        };
        let mut body: Value = serde_json::from_str(&body).unwrap();
        if let Some(asked) = asked {
            body["max_tokens"] = asked.into();
        }
        parse(
            &request(
                Dialect::OpenAi,
                Dialect::Anthropic,
                Endpoint::Chat,
                body.to_string().as_bytes(),
                &target,
            )
            .unwrap(),
        )["max_tokens"]
            .as_u64()
    };
    assert_eq!(limit(None, None), Some(4096));
    assert_eq!(limit(Some(64_000), None), Some(64_000));
    assert_eq!(limit(Some(64_000), Some(10)), Some(10));
    assert_eq!(limit(Some(64_000), Some(100_000)), Some(64_000));
}
