//! Connections and the mock itself: how they live and end.

use serde_json::json;

use super::client::{Client, PATIENCE, chat, mock, once, opened, post, read_until, scripted};
use crate::Mock;

const CHAT: &str = "/p/v1/chat/completions";

#[tokio::test]
async fn an_idle_connection_is_closed_without_notice() {
    let mock = scripted(json!({"idle_close_ms": 1}));
    let mut client = Client::connect(&mock).await;
    let answer = client.send(post(CHAT, &chat(json!({})))).await.unwrap();
    assert_eq!(answer.header("connection"), "", "no word of it in the answer");
    client.closed().await;
    mock.wait_for_connections("p", PATIENCE, |connections| connections.open == 0)
        .await
        .unwrap();
}

#[tokio::test]
async fn connection_close_is_said_and_done_if_scripted() {
    let mock = scripted(json!({"headers": {"connection": "close"}}));
    let mut client = Client::connect(&mock).await;
    assert_eq!(
        client.send(post(CHAT, &chat(json!({})))).await.unwrap().header("connection"),
        "close"
    );
    client.closed().await;
}

#[tokio::test]
async fn calls_know_their_connection() {
    let mock = mock();
    let mut client = Client::connect(&mock).await;
    for _ in 0..2 {
        client.send(post(CHAT, &chat(json!({})))).await.unwrap();
    }
    once(&mock, post(CHAT, &chat(json!({})))).await.unwrap();
    let calls = mock.calls("p");
    assert_eq!(
        calls.iter().map(|call| (call.number, call.reused)).collect::<Vec<_>>(),
        [(1, false), (2, true), (3, false)]
    );
    assert_eq!(calls[0].connection, calls[1].connection);
    assert_ne!(calls[0].connection, calls[2].connection);
    let connections = mock
        .wait_for_connections("p", PATIENCE, |connections| connections.open == 1)
        .await
        .unwrap();
    assert_eq!(connections.opened, 2);
}

#[tokio::test]
async fn a_call_begun_keeps_its_script() {
    let mock = scripted(json!({"stall": {"after_chunks": 1}, "text": "first second"}));
    let mut socket = opened(&mock, CHAT, &chat(json!({"stream": true}))).await;
    read_until(&mut socket, "first").await;
    mock.set("p", crate::Behaviour::default());
    assert_eq!(once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().status, 200);
    assert!(!mock.calls("p")[0].done);
}

#[test]
fn a_dropped_mock_frees_its_port_and_drops_its_connections() {
    let mock = Mock::local().unwrap();
    let addr = mock.addr;
    let mut held = std::net::TcpStream::connect(addr).unwrap();
    mock.stop();
    assert!(std::net::TcpStream::connect(addr).is_err());
    let end = std::io::Read::read(&mut held, &mut [0; 8]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert_eq!(Mock::start(addr).unwrap().addr, addr, "and can start there again");
}

#[test]
fn an_address_in_use_is_an_error() {
    let mock = Mock::local().unwrap();
    assert!(Mock::start(mock.addr).is_err());
}

#[tokio::test]
async fn waiting_for_calls_ends_with_what_was_there() {
    let mock = mock();
    once(&mock, post(CHAT, &chat(json!({})))).await.unwrap();
    assert_eq!(mock.wait_for_calls("p", 1, PATIENCE).await.unwrap().len(), 1);
    let late = mock.wait_for_calls("p", 2, std::time::Duration::from_millis(1)).await.unwrap_err();
    assert!(late.to_string().contains("POST /v1/chat/completions (done)"), "{late}");
    mock.clear("p");
    assert!(mock.calls("p").is_empty());
    assert!(mock.wait_for_calls("p", 1, std::time::Duration::from_millis(1)).await.is_err());
}

#[tokio::test]
async fn bodies_are_kept_up_to_a_length() {
    let mock = mock();
    let small = chat(json!({}));
    once(&mock, post(CHAT, &small)).await.unwrap();
    once(&mock, post(CHAT, &chat(json!({"user": "x".repeat(70_000)})))).await.unwrap();
    let calls = mock.calls("p");
    assert_eq!((&calls[0].body, calls[0].raw.as_ref()), (&small, small.to_string().as_bytes()));
    assert_eq!(calls[1].body, json!({"bytes": calls[1].bytes}));
    assert!(calls[1].bytes > 70_000);
}
