//! A key goes to its provider and nowhere else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_tests::{KEY, Plane, anthropic_provider, chat, messages, mock, provider_with, request, route};
use serde_json::json;
use std::fmt::Write as _;

#[tokio::test]
async fn a_canary_key_appears_in_no_log_metric_record_error_or_header() {
    let mock = mock();
    let spec = "  passthrough: { paths: [/files] }";
    let manifests = [
        provider_with(&mock, "a", spec),
        anthropic_provider(&mock, "c"),
        route("m", &["a"]),
        route("w", &["c"]),
    ];
    let plane = Plane::start_with(&manifests, &["--log-level", "trace"]).await;
    let mut seen = String::new();
    let echo_key = json!({ "type": "server_error", "code": "invalid_value", "message": format!("bad key {KEY} sent") });
    for behaviour in [
        json!({}),
        json!({ "status": 401, "error": echo_key }),
        json!({ "status": 400, "error": echo_key }),
        json!({ "status": 500, "error": echo_key }),
        json!({ "error_in_stream": { "after_chunks": 0, "message": format!("bad key {KEY}") } }),
        json!({ "reset": "before_head" }),
    ] {
        for name in ["a", "c"] {
            mock.set(name, serde_json::from_value(behaviour.clone()).unwrap());
        }
        for stream in [false, true] {
            for (path, mut call) in [("/v1/chat/completions", chat("m", "hi")), ("/v1/messages", messages("w", "hi"))] {
                call["stream"] = stream.into();
                let answer = plane.post(path, &call).await;
                let _ = writeln!(seen, "{:?} {}", answer.headers, answer.text());
            }
        }
        let answer = plane.send(request(http::Method::GET, "/v1/files", bytes::Bytes::new())).await;
        let _ = writeln!(seen, "{:?} {}", answer.headers, answer.text());
    }
    let authorized = mock
        .calls("a")
        .iter()
        .filter(|call| call.headers.get("authorization").is_some_and(|v| v.contains(KEY)))
        .count();
    assert!(authorized > 0, "the canary did go to its provider");
    for page in ["/metrics", "/config", "/targets", "/requests"] {
        let answer = plane.admin(page).await;
        assert_eq!(answer.status, 200, "{page}");
        seen += &answer.text();
    }
    seen += &plane.log();
    assert!(seen.len() > 10_000, "the sinks were looked at");
    if let Some(at) = seen.find(KEY) {
        panic!("the key leaked: …{}…", &seen[at.saturating_sub(300)..(at + 60).min(seen.len())]);
    }
}

#[tokio::test]
async fn what_belongs_to_the_client_or_the_gateway_never_reaches_a_provider() {
    let mock = mock();
    let plane = Plane::start(&[provider_with(&mock, "a", ""), route("m", &["a"])]).await;
    let mut call = outrigger_tests::post("/v1/chat/completions", &chat("m", "hi"));
    for (name, value) in [
        ("cookie", "session=1"),
        ("x-stainless-lang", "python"),
        ("x-outrigger-task", "t"),
        ("x-outrigger-metadata", "k=v"),
        ("accept-encoding", "gzip, br"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-forwarded-for", "10.0.0.1"),
    ] {
        call.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(plane.send(call).await.status, 200);
    let calls = mock.calls("a");
    let headers = &calls[0].headers;
    for name in [
        "cookie",
        "x-stainless-lang",
        "x-outrigger-task",
        "x-outrigger-metadata",
        "traceparent",
        "x-forwarded-for",
    ] {
        assert!(!headers.contains_key(name), "{name} reached the provider: {headers:?}");
    }
    assert_eq!(headers.get("accept-encoding").map(String::as_str), Some("identity"));
    assert_eq!(headers.get("authorization").map(String::as_str), Some(&*format!("Bearer {KEY}")));
}
