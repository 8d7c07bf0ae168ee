//! Where a call goes by what it is: its length, what it needs, who makes it, where it may go at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where it fails"
)]

use outrigger_mock::Mock;
use outrigger_tests::{Answer, Plane, anthropic_provider, behave, chat, mock, post, provider, provider_with, route_with};
use serde_json::{Value, json};

/// A route `m` with rules and more, indented by two.
fn rules(spec: &str) -> String {
    format!("apiVersion: outrigger.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{ name: m }}\nspec:\n  models: [m]\n{spec}")
}

async fn call(plane: &Plane, body: &Value) -> Answer {
    plane.post("/v1/chat/completions", body).await
}

async fn served(plane: &Plane, body: &Value) -> String {
    let answer = call(plane, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-outrigger-provider").to_owned()
}

fn three(mock: &Mock) -> Vec<String> {
    ["a", "b", "c"].map(|name| provider(mock, name)).into()
}

#[tokio::test]
async fn a_prompt_goes_to_the_tier_of_its_reference_tokens_to_the_token() {
    let mock = mock();
    let tiers = rules(
        "  rules:
    - { name: short, match: { inputTokens: { lessThan: 4096 } }, targets: [{ keyRef: { name: a }, model: x }] }
    - { name: middle, match: { inputTokens: { atLeast: 4096, lessThan: 32768 } }, targets: [{ keyRef: { name: b }, model: x }] }
    - { name: long, match: { inputTokens: { atLeast: 32768 } }, targets: [{ keyRef: { name: c }, model: x }] }
",
    );
    let plane = Plane::start(&[three(&mock), vec![tiers]].concat()).await;
    // A token for four bytes of text, and four for the message.
    for (tokens, provider) in [
        (5, "a"),
        (4_095, "a"),
        (4_096, "b"),
        (4_097, "b"),
        (32_767, "b"),
        (32_768, "c"),
        (32_769, "c"),
    ] {
        let text = "x".repeat((tokens - 4) * 4);
        assert_eq!(served(&plane, &chat("m", &text)).await, provider, "{tokens}");
    }
}

#[tokio::test]
async fn a_rule_asks_what_a_call_needs() {
    let mock = mock();
    let needs = rules(
        "  rules:
    - { name: tools, match: { needs: [tools] }, targets: [{ keyRef: { name: a }, model: x }] }
    - { name: eyes, match: { needs: [vision] }, targets: [{ keyRef: { name: b }, model: x }] }
    - { name: rest, targets: [{ keyRef: { name: c }, model: x }] }
",
    );
    let plane = Plane::start(&[three(&mock), vec![needs]].concat()).await;
    let mut tools = chat("m", "hi");
    tools["tools"] = json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }]);
    let mut image = chat("m", "hi");
    image["messages"][0]["content"] = json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }]);
    assert_eq!(served(&plane, &tools).await, "a");
    assert_eq!(served(&plane, &image).await, "b");
    assert_eq!(served(&plane, &chat("m", "hi")).await, "c");
    tools["tools"] = json!([]);
    assert_eq!(served(&plane, &tools).await, "c");
}

#[tokio::test]
async fn a_rule_asks_who_calls() {
    let mock = mock();
    let accounts = rules(
        "  rules:
    - { name: bots, match: { serviceAccounts: [triage-bot] }, targets: [{ keyRef: { name: a }, model: x }] }
    - { name: rest, targets: [{ keyRef: { name: b }, model: x }] }
",
    );
    let manifests = [three(&mock), vec![accounts]].concat();
    for (account, provider) in [("triage-bot", "a"), ("triage", "b")] {
        let plane = Plane::start_with(&manifests, &["--service-account", account]).await;
        assert_eq!(served(&plane, &chat("m", "hi")).await, provider);
    }
    assert_eq!(served(&Plane::start(&manifests).await, &chat("m", "hi")).await, "b");
}

#[tokio::test]
async fn a_last_resort_answers_when_every_target_is_down() {
    let mock = mock();
    for name in ["a", "b"] {
        behave(&mock, name, json!({ "status": 503 }));
    }
    let spec = "  lastResort: [{ keyRef: { name: c }, model: x }]\n";
    let plane = Plane::start(&[three(&mock), vec![route_with("m", &["a", "b"], spec)]].concat()).await;
    assert_eq!(served(&plane, &chat("m", "hi")).await, "c");
    behave(&mock, "a", json!({}));
    behave(&mock, "b", json!({}));
    for _ in 0..2_000 {
        if served(&plane, &chat("m", "hi")).await != "c" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the targets are well again and are not asked");
}

#[tokio::test]
async fn no_byte_goes_outside_a_routes_residency_whatever_fails() {
    let mock = mock();
    let inside = "  regions: [eu]\n  dataPolicy: { retention: none, training: false }\n";
    let outside = "  regions: [us]\n";
    let spec = "  residency: { regions: [eu], retention: none }\n  lastResort: [{ keyRef: { name: c }, model: x }]\n";
    let manifests = [
        provider_with(&mock, "a", inside),
        provider_with(&mock, "b", outside),
        provider(&mock, "c"),
        route_with("m", &["b", "a"], spec),
    ];
    let plane = Plane::start(&manifests).await;
    assert_eq!(served(&plane, &chat("m", "hi")).await, "a");
    for status in [503, 401] {
        behave(&mock, "a", json!({ "status": status }));
        assert_ne!(call(&plane, &chat("m", "hi")).await.status, 200);
    }
    for name in ["b", "c"] {
        assert!(mock.calls(name).is_empty(), "{name} is outside");
        assert_eq!(mock.connections(name).opened, 0, "{name} is outside");
    }
}

#[tokio::test]
async fn where_a_provider_refuses_the_content_the_route_says_whether_another_is_asked() {
    let mock = mock();
    let refusal = json!({ "code": "content_policy_violation", "type": "invalid_request_error", "message": "no" });
    behave(&mock, "a", json!({ "status": 400, "error": refusal }));
    let plane = Plane::start(&[three(&mock), vec![route_with("m", &["a", "b"], "")]].concat()).await;
    assert_eq!(call(&plane, &chat("m", "hi")).await.status, 400);
    assert!(mock.calls("b").is_empty());
    let next = route_with("m", &["a", "b"], "  attempts: { onContentPolicy: next }\n");
    let plane = Plane::start(&[three(&mock), vec![next]].concat()).await;
    assert_eq!(served(&plane, &chat("m", "hi")).await, "b");
    behave(&mock, "b", json!({ "status": 400, "error": refusal }));
    let answer = call(&plane, &chat("m", "hi")).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (400, Some("content_policy_violation"))
    );
}

#[tokio::test]
async fn a_call_that_no_model_can_take_is_told_so_and_nobody_is_asked() {
    let mock = mock();
    let blind = format!(
        "apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: {{ name: a }}
spec:
  provider: openai
  endpoint: {{ baseURL: \"{}/v1\" }}
  auth: {{ type: None }}
",
        mock.url("a")
    );
    let model = "gpt-audio";
    let route = rules(&format!(
        "  rules: [{{ name: all, targets: [{{ keyRef: {{ name: a }}, model: {model} }}] }}]\n"
    ));
    let plane = Plane::start(&[blind, route]).await;
    let mut image = chat("m", "hi");
    image["messages"][0]["content"] = json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }]);
    let answer = call(&plane, &image).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("a model takes no images"), "{}", answer.text());
    assert!(mock.calls("a").is_empty());
    assert_eq!(call(&plane, &chat("m", "hi")).await.status, 200);
}

/// A provider whose model costs so much a million tokens, in and out.
fn priced(mock: &Mock, name: &str, price: &str) -> String {
    let overrides = format!("{{ model: {name}-model, inputPerMTok: \"{price}\", outputPerMTok: \"{price}\" }}");
    provider_with(mock, name, &format!("  pricing: {{ overrides: [{overrides}] }}\n"))
}

fn balanced(balance: &str) -> String {
    let targets = ["a", "b", "c"].map(|name| format!("{{ keyRef: {{ name: {name} }}, model: {name}-model }}"));
    rules(&format!(
        "  rules: [{{ name: all, balance: {balance}, targets: [{}] }}]\n",
        targets.join(", ")
    ))
}

#[tokio::test]
async fn the_cheapest_is_asked_first_and_the_next_cheapest_when_it_fails() {
    let mock = mock();
    let providers = [priced(&mock, "a", "3"), priced(&mock, "b", "0.5"), priced(&mock, "c", "1")];
    let plane = Plane::start(&[&providers[..], &[balanced("cheapest")]].concat()).await;
    for _ in 0..10 {
        assert_eq!(served(&plane, &chat("m", "hi")).await, "b");
    }
    behave(&mock, "b", json!({ "status": 503 }));
    assert_eq!(served(&plane, &chat("m", "hi")).await, "c");
    assert!(mock.calls("a").is_empty());
}

#[tokio::test]
async fn the_fastest_gets_nearly_all_calls_once_it_is_known() {
    let mock = mock();
    for (name, latency) in [("a", 300), ("b", 1), ("c", 150)] {
        behave(&mock, name, json!({ "latency_ms": latency }));
    }
    let plane = Plane::start(&[three(&mock), vec![balanced("fastest")]].concat()).await;
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..60 {
        *counts.entry(served(&plane, &chat("m", "hi")).await).or_insert(0) += 1;
    }
    // While nothing is known of it, the fastest is drawn as often as the best that is: so some calls go elsewhere by chance, but never half.
    assert!(counts["b"] >= 30, "{counts:?}");
}

#[tokio::test]
async fn a_key_near_its_limit_is_left_to_itself_while_another_has_room() {
    let mock = mock();
    let near = json!({ "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "10m0s" });
    behave(&mock, "a", json!({ "headers": near }));
    let plane = Plane::start(&[three(&mock), vec![balanced("weighted")]].concat()).await;
    while served(&plane, &chat("m", "hi")).await != "a" {}
    for _ in 0..40 {
        assert_ne!(served(&plane, &chat("m", "hi")).await, "a");
    }
}

#[tokio::test]
async fn a_conversation_with_signed_thinking_returns_to_the_provider_that_signed_it() {
    let mock = mock();
    let shared = rules("  rules: [{ name: all, targets: [{ keyRef: { name: a }, model: x }, { keyRef: { name: b }, model: x }] }]\n");
    let plane = Plane::start(&[anthropic_provider(&mock, "a"), anthropic_provider(&mock, "b"), shared]).await;
    let turn = async |messages: Value| {
        let body = json!({
            "model": "m", "max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 1024},
            "system": "Think before you speak.", "messages": messages,
        });
        let mut request = post("/v1/messages", &body);
        request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
        let answer = plane.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-outrigger-provider").to_owned()
    };
    let mut by = [0, 0];
    for n in 0..12 {
        let question = format!("What is the square root of {n}?");
        let first = turn(json!([{"role": "user", "content": question}])).await;
        by[usize::from(first == "b")] += 1;
        // The mark of what is to be cached moves on with the conversation, and turns its text into a list.
        for marked in [
            json!(question),
            json!([{"type": "text", "text": question, "cache_control": {"type": "ephemeral"}}]),
        ] {
            let next = turn(json!([
                {"role": "user", "content": marked},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Roots.", "signature": "c2lnbmVk"},
                    {"type": "text", "text": "It depends."},
                ]},
                {"role": "user", "content": "On what?"},
            ]));
            assert_eq!(next.await, first, "conversation {n}");
        }
    }
    assert!(by.iter().all(|count| *count > 0), "both get conversations: {by:?}");
}
