//! The four clocks and the whole, each violated alone. Nothing here measures: a clock that did not end its attempt would leave the test
//! waiting for the provider's own end, which comes an hour later or never.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_mock::Mock;
use outrigger_tests::{Plane, behave, chat, mock, provider, route_with};
use serde_json::{Value, json};

const LONG: &str = "1h";

/// A data plane whose target `a` may be violated on one clock only, with a healthy `b` behind it.
async fn plane(mock: &Mock, clock: &str, limit: &str) -> Plane {
    let all = ["response", "firstToken", "betweenTokens", "total"];
    let timeouts: Vec<_> = all
        .iter()
        .map(|name| format!("{name}: {}", if *name == clock { limit } else { LONG }))
        .collect();
    let spec = format!("  timeouts: {{ {} }}", timeouts.join(", "));
    Plane::start(&[provider(mock, "a"), provider(mock, "b"), route_with("m", &["a", "b"], &spec)]).await
}

fn streamed() -> Value {
    let mut call = chat("m", "hello");
    call["stream"] = true.into();
    call
}

#[tokio::test]
async fn response_violated_on_unary_moves_to_the_next_target() {
    let mock = mock();
    behave(&mock, "a", json!({ "stall": "accept" }));
    let plane = plane(&mock, "response", "200ms").await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-outrigger-provider"), "b");
    assert!(
        answer.header("x-outrigger-attempts").starts_with("a/a-model;outcome=timeout;"),
        "{}",
        answer.header("x-outrigger-attempts")
    );
}

#[tokio::test]
async fn first_token_violated_on_a_stream_moves_to_the_next_target() {
    for stall in ["accept", "after_head"] {
        let mock = mock();
        behave(&mock, "a", json!({ "stall": stall, "ping_ms": 20 }));
        let plane = plane(&mock, "firstToken", "200ms").await;
        let answer = plane.post("/v1/chat/completions", &streamed()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-outrigger-provider"), "b");
        assert!(answer.header("x-outrigger-attempts").starts_with("a/a-model;outcome=timeout;"));
        assert_eq!(answer.events().last(), Some(&Value::from("[DONE]")));
    }
}

#[tokio::test]
async fn between_tokens_violated_inside_a_unary_body_moves_to_the_next_target() {
    let mock = mock();
    behave(&mock, "a", json!({ "stall": "after_head" }));
    let plane = plane(&mock, "betweenTokens", "200ms").await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hello")).await;
    assert_eq!(answer.header("x-outrigger-provider"), "b", "{}", answer.text());
    assert!(answer.header("x-outrigger-attempts").starts_with("a/a-model;outcome=timeout;"));
}

#[tokio::test]
async fn between_tokens_violated_on_a_committed_stream_ends_it_with_an_error_event() {
    let mock = mock();
    behave(&mock, "a", json!({ "chunks": 5, "stall": { "after_chunks": 2 } }));
    let plane = plane(&mock, "betweenTokens", "200ms").await;
    let answer = plane.post("/v1/chat/completions", &streamed()).await;
    assert_eq!(
        (answer.status, answer.header("x-outrigger-provider"), answer.whole),
        (200, "a", true)
    );
    let last = answer.events().pop().unwrap();
    assert_eq!(last["error"]["code"], "upstream_timeout", "{}", answer.text());
    assert!(mock.calls("b").is_empty(), "no second attempt after the commit");
}

#[tokio::test]
async fn total_violated_ends_the_request_on_unary_and_stream() {
    for call in [chat("m", "hello"), streamed()] {
        let mock = mock();
        behave(&mock, "a", json!({ "stall": "accept" }));
        let plane = plane(&mock, "total", "300ms").await;
        let answer = plane.post("/v1/chat/completions", &call).await;
        assert_eq!(answer.status, 504, "{}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "upstream_timeout");
        assert_eq!(answer.header("x-should-retry"), "false");
        assert!(mock.calls("b").is_empty(), "the whole request's time is up");
    }
}

#[tokio::test]
async fn total_violated_after_the_commit_ends_the_stream_with_an_error_event() {
    let mock = mock();
    behave(&mock, "a", json!({ "chunks": 5, "stall": { "after_chunks": 2 }, "ping_ms": 20 }));
    let plane = plane(&mock, "total", "500ms").await;
    let answer = plane.post("/v1/chat/completions", &streamed()).await;
    assert_eq!((answer.status, answer.whole), (200, true));
    assert_eq!(
        answer.events().pop().unwrap()["error"]["code"],
        "upstream_timeout",
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn connect_violated_moves_to_the_next_target() {
    // A listener whose queue is full answers no further handshake: the connection hangs, as behind a dead router.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let dead = socket.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    for _ in 0..8 {
        let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&dead.into());
        fillers.push(filler);
    }
    let mock = mock();
    let to_dead = provider(&mock, "a").replace(&format!("http://{}/a", mock.addr), &format!("http://{dead}/a"));
    let spec = format!("  timeouts: {{ connect: 200ms, response: {LONG}, firstToken: {LONG}, betweenTokens: {LONG}, total: {LONG} }}");
    let plane = Plane::start(&[to_dead, provider(&mock, "b"), route_with("m", &["a", "b"], &spec)]).await;
    for call in [chat("m", "hello"), streamed()] {
        let answer = plane.post("/v1/chat/completions", &call).await;
        assert_eq!(answer.header("x-outrigger-provider"), "b", "{}", answer.text());
    }
    let requests = plane.admin("/requests").await.json();
    let oldest = requests.as_array().unwrap().last().unwrap();
    assert_eq!(oldest["attempts"][0]["outcome"], "connect", "{requests}");
}

#[tokio::test]
async fn an_sdk_timeout_bounds_the_wait_but_not_a_stream_that_has_begun() {
    let mock = mock();
    behave(&mock, "a", json!({ "stall": "accept" }));
    let plane = plane(&mock, "total", LONG).await;
    let mut request = outrigger_tests::post("/v1/chat/completions", &chat("m", "hello"));
    request.headers_mut().insert("x-stainless-read-timeout", "0.3".parse().unwrap());
    let answer = plane.send(request).await;
    assert_eq!(answer.status, 504, "{}", answer.text());

    behave(&mock, "a", json!({ "chunks": 8, "chunk_ms": 100 }));
    let mut request = outrigger_tests::post("/v1/chat/completions", &streamed());
    request.headers_mut().insert("x-stainless-read-timeout", "0.3".parse().unwrap());
    let answer = plane.send(request).await;
    assert_eq!(answer.events().last(), Some(&Value::from("[DONE]")), "{}", answer.text());
}
