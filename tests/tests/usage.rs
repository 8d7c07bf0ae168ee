//! The account is true: what is tapped from a passing answer, and what of it the client sees.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_tests::{Plane, anthropic_provider, behave, chat, messages, mock, post, provider, route};
use serde_json::{Value, json};

const PRICED: &str = "  pricing: { overrides: [{ model: a-model, inputPerMTok: \"2.5\", outputPerMTok: \"10\" }] }";

fn streamed(mut call: Value) -> Value {
    call["stream"] = true.into();
    call
}

async fn newest(plane: &Plane) -> Value {
    plane.admin("/requests").await.json()[0].clone()
}

/// 1,000 prompt tokens of which 400 came from the cache, at one price, 200 generated: 1,000 × 2.5 + 200 × 10 = 4,500 millionths.
fn usage() -> Value {
    json!({ "input": 600, "cached_read": 400, "output": 200, "reasoning": 50 })
}

#[tokio::test]
async fn a_token_is_paid_for_once_whatever_class_it_is_of() {
    let mock = mock();
    behave(&mock, "a", json!({ "usage": usage() }));
    let plane = Plane::start(&[outrigger_tests::provider_with(&mock, "a", PRICED), route("m", &["a"])]).await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.header("x-outrigger-cost-usd"), "0.0045", "{}", answer.text());
    for call in [chat("m", "hi"), streamed(chat("m", "hi"))] {
        plane.post("/v1/chat/completions", &call).await;
        let record = newest(&plane).await;
        assert_eq!(
            record["usage"],
            json!({ "input": 600, "output": 200, "cached_read": 400, "cache_write": 0, "reasoning": 50 })
        );
        assert_eq!(
            (record["cost_usd"].as_f64(), record["estimated"].as_bool()),
            (Some(0.0045), Some(false)),
            "{record}"
        );
    }
}

#[tokio::test]
async fn a_stream_without_include_usage_shows_no_usage_and_its_cost_is_known_at_any_split() {
    let mock = mock();
    let plane = Plane::start(&[outrigger_tests::provider_with(&mock, "a", PRICED), route("m", &["a"])]).await;
    let text = r#"so "usage": {"prompt_tokens": 1} and "error": {"message": "x"} it goes"#;
    for split in [1, 2, 3, 7, 64, 100_000] {
        behave(
            &mock,
            "a",
            json!({ "usage": usage(), "text": text, "chunks": 6, "split_bytes": split }),
        );
        let answer = plane.post("/v1/chat/completions", &streamed(chat("m", "hi"))).await;
        let events = answer.events();
        assert_eq!(events.last(), Some(&Value::from("[DONE]")), "{}", answer.text());
        let mut heard = String::new();
        for event in &events[..events.len() - 1] {
            assert!(event.get("usage").is_none_or(Value::is_null), "split {split}: {event}");
            assert_eq!(event["choices"].as_array().map(Vec::len), Some(1), "split {split}: {event}");
            heard += event["choices"][0]["delta"]["content"].as_str().unwrap_or("");
        }
        assert_eq!(heard, text, "split {split}");
        let record = newest(&plane).await;
        assert_eq!(record["cost_usd"].as_f64(), Some(0.0045), "split {split}: {record}");
    }
    let sent = mock.calls("a");
    assert_eq!(sent[0].body["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn a_client_that_asks_for_usage_gets_the_providers_own_bytes() {
    let mock = mock();
    behave(&mock, "a", json!({ "usage": usage(), "chunks": 4 }));
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let mut call = streamed(chat("m", "hi"));
    call["stream_options"] = json!({ "include_usage": true });
    let answer = plane.post("/v1/chat/completions", &call).await;
    let with_usage: Vec<_> = answer.events().into_iter().filter(|event| event["usage"].is_object()).collect();
    assert_eq!(with_usage.len(), 1);
    assert_eq!(with_usage[0]["usage"]["prompt_tokens"], 1000);
    assert_eq!(with_usage[0]["usage"]["prompt_tokens_details"]["cached_tokens"], 400);
}

#[tokio::test]
async fn the_record_comes_last_in_a_chat_stream_as_a_comment() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let answer = plane.post("/v1/chat/completions", &streamed(chat("m", "hi"))).await;
    let text = answer.text();
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    let [.., comment, done] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(*done, "data: [DONE]");
    let record: Value = serde_json::from_str(comment.strip_prefix(": outrigger ").unwrap()).unwrap();
    assert_eq!(
        (record["route"].as_str(), record["rule"].as_str()),
        (Some("default/m"), Some("all"))
    );
    assert_eq!(record["id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn an_unknown_price_is_absent_and_never_zero() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert!(!answer.headers.contains_key("x-outrigger-cost-usd"));
    let record = newest(&plane).await;
    assert!(record.get("cost_usd").is_none() && record["usage"].is_object(), "{record}");
    assert!(!plane.admin("/metrics").await.text().contains("outrigger_cost_usd_total{"));
}

#[tokio::test]
async fn same_dialect_answers_pass_as_the_same_bytes() {
    let mock = mock();
    let plane = Plane::start(&[
        provider(&mock, "a"),
        anthropic_provider(&mock, "c"),
        route("m", &["a"]),
        route("w", &["c"]),
    ])
    .await;
    let direct = outrigger_tests::Connection::open(mock.addr);
    let mut direct = direct.await.unwrap();
    for (path, call, provider) in [
        ("/v1/messages", streamed(messages("c-model", "hi")), "c"),
        ("/v1/messages", messages("c-model", "hi"), "c"),
        ("/v1/chat/completions", chat("a-model", "hi"), "a"),
    ] {
        let mut asked = call.clone();
        asked["model"] = if provider == "a" { "m".into() } else { "w".into() };
        behave(&mock, provider, json!({ "strict": false }));
        let through = plane.post(path, &asked).await;
        behave(&mock, provider, json!({ "strict": false }));
        let mut straight = post(&format!("/{provider}{path}"), &call);
        straight.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
        let straight = direct.send(straight).await.unwrap();
        // Only ids and times differ between two answers of a scripted provider.
        let blank = |text: String| -> String { text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect() };
        assert_eq!(blank(through.text()), blank(straight.text()), "{path}");
    }
}

#[tokio::test]
async fn savings_are_counted_against_the_baseline() {
    let mock = mock();
    behave(&mock, "a", json!({ "usage": { "input": 1000, "output": 100 } }));
    let spec = "  baseline: { provider: openai, model: gpt-4o }";
    let manifests = [
        outrigger_tests::provider_with(&mock, "a", PRICED),
        outrigger_tests::route_with("m", &["a"], spec),
    ];
    let plane = Plane::start(&manifests).await;
    plane.post("/v1/chat/completions", &chat("m", "hi")).await;
    let record = newest(&plane).await;
    assert_eq!(record["baseline_usd"].as_f64(), Some(0.0035), "{record}");
    let metrics = plane.admin("/metrics").await.text();
    assert!(
        metrics.contains(r#"outrigger_baseline_usd_total{route="default/m"} 0.0035"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"outrigger_tokens_total{target="a/a-model",class="input"} 1000"#),
        "{metrics}"
    );
}
