//! `outrigger explain` says what the data plane does.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test panics where it fails"
)]

use outrigger_mock::Mock;
use outrigger_tests::{Plane, behave, binary, chat, mock, provider, request};
use serde_json::{Value, json};
use std::process::Command;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A route whose rules, priorities and weights leave much to be drawn.
fn manifests(mock: &Mock) -> Vec<String> {
    let providers = NAMES.map(|name| provider(mock, name));
    let target = |name: &str, priority: u32, weight: u32| {
        format!("{{ keyRef: {{ name: {name} }}, model: {name}-model, priority: {priority}, weight: {weight} }}")
    };
    let route = format!(
        "apiVersion: outrigger.dev/v1alpha1
kind: ModelRoute
metadata: {{ name: m }}
spec:
  models: [m]
  rules:
    - {{ name: long, match: {{ inputTokens: {{ atLeast: 1000 }} }}, targets: [{}] }}
    - {{ name: tools, match: {{ needs: [tools] }}, targets: [{}] }}
    - {{ name: rest, targets: [{}] }}
  lastResort: [{{ keyRef: {{ name: f }}, model: f-model }}]
  attempts: {{ max: 16 }}
",
        [target("a", 0, 1), target("b", 0, 1), target("c", 0, 1)].join(", "),
        [target("d", 1, 3), target("e", 1, 1), target("a", 0, 5), target("b", 0, 2)].join(", "),
        [
            target("a", 0, 1),
            target("b", 0, 0),
            target("c", 0, 9),
            target("d", 2, 1),
            target("e", 2, 1)
        ]
        .join(", "),
    );
    providers.into_iter().chain([route]).collect()
}

/// A body and the flags that say the same to `explain`.
fn call(number: usize) -> (Value, Vec<String>) {
    let length = 4 * (5 + number * 37 % 2_000);
    let mut body = chat("m", &"x".repeat(length));
    let mut flags = vec!["--input-tokens".to_owned(), (length / 4 + 4).to_string()];
    if number.is_multiple_of(3) {
        let parameters = json!({ "type": "object" });
        body["tools"] = json!([{ "type": "function", "function": { "name": "f", "parameters": parameters } }]);
        // The definition counts as prompt, too.
        let bytes = body["tools"].to_string().len();
        flags[1] = (length / 4 + 4 + 8 + bytes * 2 / 7).to_string();
        flags.extend(["--needs".to_owned(), "tools".to_owned()]);
    }
    if number.is_multiple_of(2) {
        body["stream"] = true.into();
        flags.push("--stream".to_owned());
    }
    (body, flags)
}

#[tokio::test]
async fn two_hundred_calls_are_tried_in_the_order_that_explain_shows() {
    let mock = mock();
    // Each provider says that the prompt is too long: the next one is asked, and nobody's health suffers.
    let too_long =
        json!({ "status": 400, "error": { "code": "context_length_exceeded", "type": "invalid_request_error", "message": "long" } });
    for name in NAMES {
        behave(&mock, name, too_long.clone());
    }
    let plane = Plane::start(&manifests(&mock)).await;
    let routes = plane.routes();
    let mut connection = plane.connect().await;
    let mut orders = std::collections::BTreeSet::new();
    for number in 0..200 {
        let (body, flags) = call(number);
        let answer = connection
            .send(request(http::Method::POST, "/v1/chat/completions", body.to_string().into()))
            .await
            .unwrap();
        let header = answer.header("x-outrigger-attempts");
        let tried: Vec<&str> = header.split(", ").map(|attempt| attempt.split(';').next().unwrap()).collect();
        let explained = Command::new(binary("outrigger").unwrap())
            .args([
                "explain",
                "--model",
                "m",
                "--output",
                "json",
                "--request",
                answer.header("x-request-id"),
                "-f",
            ])
            .arg(&routes)
            .args(&flags)
            .output()
            .unwrap();
        assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
        let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
        let targets = explained["targets"].as_array().unwrap().iter();
        let shown: Vec<&str> = targets.map(|target| target["target"].as_str().unwrap()).collect();
        assert_eq!(tried, shown, "call {number}: {flags:?}");
        orders.insert(tried.join(" "));
    }
    assert!(orders.len() >= 10, "there was something to be drawn: {orders:?}");
}

#[test]
fn what_goes_nowhere_says_why() {
    let mock = mock();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("all.yaml"),
        manifests(&mock)
            .join("\n---\n")
            .replace("    - { name: rest,", "    - { name: rest, match: { tasks: [t] },"),
    )
    .unwrap();
    let explain = |flags: &[&str]| {
        let output = Command::new(binary("outrigger").unwrap())
            .args(["explain", "-f"])
            .arg(folder.path())
            .args(flags)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = explain(&["--model", "other"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("no route offers the model \"other\""), "{text}");
    let (code, text) = explain(&["--model", "m"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("not long: inputTokens: from 1000") && text.contains("not rest: another task"),
        "{text}"
    );
    let (code, text) = explain(&["--model", "m", "--task", "t"]);
    assert_eq!(code, Some(0));
    assert!(
        text.contains("route default/m, rule rest, balance weighted") && text.contains("a/a-model"),
        "{text}"
    );
}
