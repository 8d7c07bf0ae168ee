//! What a client or an operator can get wrong: each a clear error in the client's dialect, and nothing reaches a provider.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use bytes::Bytes;
use http::Method;
use outrigger_tests::{Plane, anthropic_provider, chat, mock, post, provider, request, route};
use serde_json::{Value, json};

/// Sends `body` and expects an OpenAI error; returns it.
async fn refused(plane: &Plane, body: impl Into<Bytes>, status: u16) -> Value {
    let answer = plane.send(request(Method::POST, "/v1/chat/completions", body.into())).await;
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = answer.json()["error"].clone();
    for key in ["message", "type", "param", "code"] {
        assert!(error.get(key).is_some(), "all four keys: {error}");
    }
    assert_eq!(answer.header("x-should-retry"), "false");
    assert!(answer.header("x-request-id").starts_with("req_"));
    error
}

fn says(error: &Value, what: &str) {
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(what), "{message:?} does not say {what:?}");
}

#[tokio::test]
async fn a_body_that_routing_cannot_trust_is_refused_with_what_is_wrong() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
    for (body, param, what) in [
        ("{not json".to_owned(), Value::Null, "JSON"),
        (String::new(), Value::Null, "JSON"),
        ("[1,2]".to_owned(), Value::Null, "object"),
        (format!("{{{messages}}}"), json!("model"), "model"),
        (format!("{{\"model\":3,{messages}}}"), json!("model"), "string"),
        (format!("{{\"model\":null,{messages}}}"), json!("model"), "model"),
        (
            format!("{{\"model\":\"m\",{messages},\"model\":\"n\"}}"),
            json!("model"),
            "more than once",
        ),
        (format!("{{\"mod\\u0065l\":\"m\",{messages}}}"), json!("model"), "escape"),
        (
            format!("{{\"model\":\"m\",{messages},\"stream\":\"yes\"}}"),
            json!("stream"),
            "boolean",
        ),
        (format!("{{\"model\":\"m\",{messages}}} trailing"), Value::Null, "JSON"),
        (
            format!("{{\"model\":\"m\",\"messages\":{}{}}}", "[".repeat(200), "]".repeat(200)),
            Value::Null,
            "deep",
        ),
    ] {
        let error = refused(&plane, body.clone(), 400).await;
        assert_eq!(error["param"], param, "{body}: {error}");
        says(&error, what);
        assert_eq!(error["type"], "invalid_request_error");
    }
    let mut invalid = format!("{{\"model\":\"m\",{messages},\"user\":\"x").into_bytes();
    invalid.extend_from_slice(&[0xff, 0xfe, b'"', b'}']);
    says(&refused(&plane, invalid, 400).await, "UTF-8");
    assert!(mock.calls("a").is_empty());
}

#[tokio::test]
async fn an_unknown_model_is_a_404_that_says_where_to_look() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let error = refused(&plane, chat("gpt-unknown", "hi").to_string(), 404).await;
    assert_eq!(error["code"], "model_not_found");
    says(&error, "gpt-unknown");
    // The same in the other dialect.
    let answer = plane
        .post("/v1/messages", &json!({ "model": "nope", "max_tokens": 5, "messages": [] }))
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["type"], "error");
    assert_eq!(answer.json()["error"]["type"], "not_found_error");
    assert_eq!(answer.json()["request_id"], answer.header("request-id"));
    assert!(
        !plane.admin("/metrics").await.text().contains("gpt-unknown"),
        "labels come from configuration alone"
    );
}

#[tokio::test]
async fn methods_and_content_types_are_named() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let answer = plane.send(request(Method::GET, "/v1/chat/completions", Bytes::new())).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert!(answer.json()["error"]["message"].is_string());
    let answer = plane.send(request(Method::POST, "/v1/models", Bytes::new())).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET"));
    for content_type in ["text/plain", "multipart/form-data; boundary=x"] {
        let mut wrong = post("/v1/chat/completions", &chat("m", "hi"));
        wrong.headers_mut().insert("content-type", content_type.parse().unwrap());
        let answer = plane.send(wrong).await;
        assert_eq!(answer.status, 415, "{}", answer.text());
    }
    let mut right = post("/v1/chat/completions", &chat("m", "hi"));
    right
        .headers_mut()
        .insert("content-type", "Application/JSON; charset=utf-8".parse().unwrap());
    assert_eq!(plane.send(right).await.status, 200);
}

#[tokio::test]
async fn headers_of_ours_that_make_no_sense_are_refused() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    for (name, value) in [
        ("x-outrigger-timeout", "banana"),
        ("x-outrigger-timeout", "-5s"),
        ("x-outrigger-timeout", "0s"),
        ("x-outrigger-timeout", "1d"),
        ("x-outrigger-timeout", "99999999999999999999h"),
        ("x-outrigger-metadata", "tier"),
    ] {
        let mut call = post("/v1/chat/completions", &chat("m", "hi"));
        call.headers_mut().insert(name, value.parse().unwrap());
        let answer = plane.send(call).await;
        assert_eq!(answer.status, 400, "{name}: {value}: {}", answer.text());
        assert_eq!(answer.json()["error"]["param"], name);
    }
    let mut twice = post("/v1/chat/completions", &chat("m", "hi"));
    for route in ["m", "n"] {
        twice.headers_mut().append("x-outrigger-route", route.parse().unwrap());
    }
    assert_eq!(plane.send(twice).await.status, 400);
    let mut unknown = post("/v1/chat/completions", &chat("m", "hi"));
    unknown.headers_mut().insert("x-outrigger-route", "nowhere".parse().unwrap());
    let answer = plane.send(unknown).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (404, Some("route_not_found"))
    );
    // What an SDK says of itself is no mistake of the caller's.
    let mut odd = post("/v1/chat/completions", &chat("m", "hi"));
    odd.headers_mut().insert("x-stainless-timeout", "NOT_GIVEN".parse().unwrap());
    assert_eq!(plane.send(odd).await.status, 200);
    assert_eq!(mock.calls("a").len(), 1);
}

#[tokio::test]
async fn a_body_over_the_cap_is_a_413_announced_or_not() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let huge = chat("m", &"x".repeat(21 << 20)).to_string();
    let error = refused(&plane, huge.clone(), 413).await;
    says(&error, "20 MiB");
    let answer = outrigger_tests::chunked(plane.data, "/v1/chat/completions", huge.as_bytes()).await;
    assert_eq!(answer, 413);
    assert!(mock.calls("a").is_empty());
    let answer = plane.post("/v1/chat/completions", &chat("m", "still there")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_endpoint_that_no_pass_through_names_says_which_field_to_set() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), anthropic_provider(&mock, "c"), route("m", &["a", "c"])]).await;
    for path in ["/v1/files", "/v1/images/generations", "/", "/v1/batches/../chat/completions"] {
        let answer = plane.send(request(Method::POST, path, Bytes::from_static(b"{}"))).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("spec.passthrough.paths"), "{}", answer.text());
    }
    assert!(mock.calls("a").is_empty());
}

#[tokio::test]
async fn a_route_without_a_live_target_and_a_host_that_does_not_resolve_are_told() {
    let mock = mock();
    let lost = provider(&mock, "a").replace(&format!("http://{}/a", mock.addr), "http://does-not-resolve.invalid:81/a");
    let keyless = route("k", &["missing"]);
    let plane = Plane::start(&[lost, route("m", &["a"]), keyless]).await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.header("x-outrigger-attempts").contains("outcome=connect"));
    assert!(!answer.text().contains("does-not-resolve"), "hosts are internal");
    let answer = plane.post("/v1/chat/completions", &chat("k", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "no_available_target");
    assert!(
        plane.log().contains("missing"),
        "the unknown key reference was told: {}",
        plane.log()
    );
}

#[tokio::test]
async fn a_model_is_found_by_its_id_escaped_or_not() {
    let mock = mock();
    let manifest = route("m", &["a"]).replace("models: [m]", "models: [m, org/large, \"tuned-*\"]");
    let plane = Plane::start(&[provider(&mock, "a"), manifest]).await;
    for id in ["org/large", "org%2Flarge", "m", "tuned-1"] {
        let answer = plane.send(request(Method::GET, &format!("/v1/models/{id}"), Bytes::new())).await;
        assert_eq!(
            (answer.status, answer.json()["object"].as_str()),
            (200, Some("model")),
            "{id}: {}",
            answer.text()
        );
    }
    assert_eq!(plane.send(request(Method::GET, "/v1/models/other", Bytes::new())).await.status, 404);
    let listed = plane.send(request(Method::GET, "/models", Bytes::new())).await.json();
    let ids: Vec<_> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["m", "org/large"], "a prefix names no model");
}
