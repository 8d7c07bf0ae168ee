//! The commit point and what may happen on either side of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_mock::Mock;
use outrigger_tests::{Plane, anthropic_provider, behave, chat, messages, mock, post, provider, route, route_with};
use serde_json::{Value, json};
use std::time::Duration;

fn streamed(mut call: Value) -> Value {
    call["stream"] = true.into();
    call
}

async fn two(mock: &Mock) -> Plane {
    Plane::start(&[provider(mock, "a"), provider(mock, "b"), route("m", &["a", "b"])]).await
}

#[tokio::test]
async fn whatever_breaks_before_the_commit_is_served_by_the_next_target() {
    let broken = [
        ("reset", json!({ "reset": "before_head" })),
        ("server_error", json!({ "status": 500 })),
        ("overloaded", json!({ "status": 503 })),
        (
            "overloaded",
            json!({ "status": 529, "error": { "type": "overloaded_error", "message": "Overloaded" } }),
        ),
        (
            "rate_limited",
            json!({ "status": 429, "error": { "type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slow" } }),
        ),
        (
            "rate_limited",
            json!({ "status": 429, "retry_after": 30, "error": { "code": "rate_limit_exceeded", "message": "slow" } }),
        ),
        (
            "quota",
            json!({ "status": 429, "error": { "type": "insufficient_quota", "code": "insufficient_quota", "message": "billing" } }),
        ),
        (
            "auth",
            json!({ "status": 401, "error": { "code": "invalid_api_key", "message": "bad key" } }),
        ),
        ("auth", json!({ "status": 403 })),
    ];
    let unary = [
        ("bad_response", json!({ "body": "malformed" })),
        ("bad_response", json!({ "body": "html" })),
        ("bad_response", json!({ "body": "empty" })),
        ("bad_response", json!({ "body": "empty_choices" })),
        ("reset", json!({ "reset": "after_head" })),
    ];
    let stream = [
        ("reset", json!({ "reset": "after_head" })),
        (
            "server_error",
            json!({ "error_in_stream": { "after_chunks": 0, "type": "server_error", "message": "boom" } }),
        ),
        ("bad_response", json!({ "body": "html" })),
    ];
    let cases = broken.iter().flat_map(|case| [(case, false), (case, true)]);
    let cases = cases
        .chain(unary.iter().map(|case| (case, false)))
        .chain(stream.iter().map(|case| (case, true)));
    for ((outcome, behaviour), stream) in cases {
        let mock = mock();
        behave(&mock, "a", behaviour.clone());
        let plane = two(&mock).await;
        let call = if stream { streamed(chat("m", "hello")) } else { chat("m", "hello") };
        let answer = plane.post("/v1/chat/completions", &call).await;
        let attempts = answer.header("x-outrigger-attempts");
        assert_eq!(answer.status, 200, "{behaviour} stream={stream}: {}", answer.text());
        assert!(
            attempts.starts_with(&format!("a/a-model;outcome={outcome};")),
            "{behaviour} stream={stream}: {attempts}"
        );
        assert_eq!(answer.header("x-outrigger-provider"), "b");
        assert_eq!((mock.calls("a").len(), mock.calls("b").len()), (1, 1), "{behaviour}");
    }
}

#[tokio::test]
async fn an_error_after_the_commit_is_an_error_event_in_the_clients_dialect_and_never_a_second_stream() {
    let mock = mock();
    let objects = [
        provider(&mock, "a"),
        anthropic_provider(&mock, "c"),
        provider(&mock, "b"),
        route("m", &["a", "b"]),
        route("w", &["c", "b"]),
    ];
    for break_off in [
        json!({ "chunks": 5, "reset": { "after_chunks": 2 } }),
        json!({ "chunks": 5, "error_in_stream": { "after_chunks": 2, "type": "server_error", "message": "boom" } }),
    ] {
        behave(&mock, "a", break_off.clone());
        behave(&mock, "c", break_off.clone());
        // A process that has seen three streams of a provider break goes elsewhere.
        let plane = Plane::start(&objects).await;
        let answer = plane.post("/v1/chat/completions", &streamed(chat("m", "hello"))).await;
        assert_eq!((answer.status, answer.whole), (200, true));
        let last = answer.events().pop().unwrap();
        assert!(last["error"]["message"].is_string(), "{}", answer.text());

        let answer = plane.post("/v1/messages", &streamed(messages("w", "hello"))).await;
        assert!(answer.text().contains("event: error\ndata: "), "{}", answer.text());
        assert_eq!(answer.events().pop().unwrap()["type"], "error");

        // A translated stream as well: an OpenAI client on an Anthropic provider.
        let answer = plane.post("/v1/chat/completions", &streamed(chat("w", "hello"))).await;
        assert!(answer.events().pop().unwrap()["error"]["message"].is_string(), "{}", answer.text());
    }
    assert!(mock.calls("b").is_empty());
}

#[tokio::test]
async fn a_client_error_is_returned_at_once_and_counts_against_nobody() {
    let mock = mock();
    behave(
        &mock,
        "a",
        json!({ "status": 400, "error": { "type": "invalid_request_error", "code": "invalid_value", "message": "temperature must be below 2" } }),
    );
    let plane = two(&mock).await;
    for _ in 0..5 {
        let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"]["code"], "invalid_value");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
    assert_eq!((mock.calls("a").len(), mock.calls("b").len()), (5, 0));
    let targets = plane.admin("/targets").await.json();
    assert_eq!(targets[0]["health"]["state"], "closed", "{targets}");
}

#[tokio::test]
async fn our_own_credentials_failing_everywhere_is_no_authentication_error_of_the_caller() {
    for status in [401, 402, 403] {
        let mock = mock();
        behave(&mock, "a", json!({ "status": status }));
        let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
        let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "upstream_credentials");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
}

#[tokio::test]
async fn a_revoked_key_is_not_hit_again() {
    let mock = mock();
    behave(&mock, "a", json!({ "keys": ["sk-another-key"] }));
    let plane = two(&mock).await;
    for _ in 0..5 {
        assert_eq!(plane.post("/v1/chat/completions", &chat("m", "hello")).await.status, 200);
    }
    assert_eq!((mock.calls("a").len(), mock.calls("b").len()), (1, 5));
}

#[tokio::test]
async fn a_rate_limit_is_told_with_its_wait_and_not_hit_before_it_is_over() {
    let mock = mock();
    behave(
        &mock,
        "a",
        json!({ "status": 429, "retry_after": 15, "error": { "code": "rate_limit_exceeded", "message": "slow down" } }),
    );
    let plane = Plane::start(&[provider(&mock, "a"), route_with("m", &["a"], "  timeouts: { total: 5s }")]).await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((10..=15).contains(&wait), "{wait}");
    assert_eq!(answer.header("x-should-retry"), "true");
    assert_eq!(mock.calls("a").len(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_providers_work_unary_and_stream() {
    for call in [chat("m", "hello"), streamed(chat("m", "hello"))] {
        let mock = mock();
        behave(&mock, "a", json!({ "stall": "accept" }));
        let plane = two(&mock).await;
        let mut connection = plane.connect().await;
        {
            let answer = connection.start(post("/v1/chat/completions", &call));
            let mut answer = std::pin::pin!(answer);
            tokio::select! {
                _ = &mut answer => panic!("the provider never answers"),
                called = mock.wait_for_calls("a", 1, Duration::from_secs(30)) => assert!(called.is_ok(), "the call reached the provider"),
            }
        }
        connection.hang_up().await;
        let aborted = mock
            .wait_until("a", Duration::from_secs(30), |calls| calls.iter().any(|call| call.aborted))
            .await;
        assert!(aborted.is_ok(), "the provider saw the hang-up");
        assert!(mock.calls("b").is_empty());
        let page = plane
            .admin_until("/requests", |page| {
                page.json().as_array().is_some_and(|records| !records.is_empty())
            })
            .await;
        assert_eq!(page.json()[0]["outcome"], "cancelled");
    }
}

#[tokio::test]
async fn a_stream_that_the_client_leaves_is_billed_for_what_was_generated() {
    let mock = mock();
    behave(&mock, "a", json!({ "chunks": 10, "stall": { "after_chunks": 5 } }));
    let plane = two(&mock).await;
    let mut connection = plane.connect().await;
    let response = connection
        .start(post("/v1/chat/completions", &streamed(chat("m", "hello"))))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    drop(response);
    connection.hang_up().await;
    let page = plane
        .admin_until("/requests", |page| {
            page.json().as_array().is_some_and(|records| !records.is_empty())
        })
        .await;
    let record = &page.json()[0];
    assert_eq!(
        (record["outcome"].as_str(), record["estimated"].as_bool()),
        (Some("cancelled"), Some(true)),
        "{record}"
    );
    assert!(record["usage"]["output"].as_u64().unwrap() > 0, "{record}");
}

#[tokio::test]
async fn a_connection_that_the_provider_closed_while_it_rested_costs_no_failure() {
    let mock = mock();
    behave(&mock, "a", json!({ "idle_close_ms": 1 }));
    let plane = Plane::start(&[provider(&mock, "a"), route_with("m", &["a"], "  attempts: { max: 1 }")]).await;
    for _ in 0..20 {
        let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

#[tokio::test]
async fn compressed_answers_that_nobody_asked_for_are_read_or_replaced() {
    let mock = mock();
    behave(&mock, "a", json!({ "gzip": "always" }));
    let plane = two(&mock).await;
    for call in [chat("m", "hello"), streamed(chat("m", "hello"))] {
        let answer = plane.post("/v1/chat/completions", &call).await;
        assert_eq!(
            (answer.status, answer.header("x-outrigger-provider")),
            (200, "a"),
            "{}",
            answer.text()
        );
        assert_eq!(answer.header("content-encoding"), "");
        let page = plane.admin("/requests").await.json();
        assert_eq!(page[0]["estimated"], false, "usage was seen: {page}");
    }
    behave(&mock, "a", json!({ "headers": { "content-encoding": "br" } }));
    let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
    assert_eq!(
        answer.header("x-outrigger-provider"),
        "b",
        "{}",
        answer.header("x-outrigger-attempts")
    );
    for call in mock.calls("a") {
        assert_eq!(call.headers.get("accept-encoding").map(String::as_str), Some("identity"));
    }
}
