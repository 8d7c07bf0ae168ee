//! SIGTERM: what is under way ends whole, nothing new begins.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_tests::{Answer, Plane, chat, mock, post, provider, route};
use serde_json::{Value, json};

#[tokio::test]
async fn a_stream_that_is_open_at_sigterm_ends_whole() {
    let mock = mock();
    mock.set("a", serde_json::from_value(json!({ "chunks": 20, "chunk_ms": 25 })).unwrap());
    let mut plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let mut call = chat("m", "hi");
    call["stream"] = true.into();
    let mut connection = plane.connect().await;
    let response = connection.start(post("/v1/chat/completions", &call)).await.unwrap();
    plane.terminate();
    let answer = Answer::read(response).await;
    assert!(answer.whole);
    assert_eq!(answer.events().last(), Some(&Value::from("[DONE]")), "{}", answer.text());
    assert!(plane.ended().await, "{}", plane.log());
    assert!(tokio::net::TcpStream::connect(plane.data).await.is_err());
}

#[tokio::test]
async fn an_idle_process_ends_at_once() {
    let mock = mock();
    let mut plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let mut connection = plane.connect().await;
    assert_eq!(
        connection
            .send(post("/v1/chat/completions", &chat("m", "hi")))
            .await
            .unwrap()
            .status,
        200
    );
    plane.terminate();
    assert!(plane.ended().await);
}
