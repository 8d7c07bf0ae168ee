//! Each fault, seen from the other end of the wire.

use std::io::{ErrorKind, Read as _};

use serde_json::{Value, json};

use super::client::{Client, PATIENCE, chat, chunks, get, message, once, opened, post, post_with, raw, read_until, scripted};

const CHAT: &str = "/p/v1/chat/completions";
const MESSAGES: &str = "/p/v1/messages";

fn streamed() -> Value {
    chat(json!({"stream": true}))
}

#[tokio::test]
async fn a_connection_breaks_where_the_script_says_and_as_it_says() {
    for (how, ended) in [("reset", Some(ErrorKind::ConnectionReset)), ("close", None)] {
        let of = async |place: Value, body: &Value| raw(&scripted(json!({how: place, "text": "a b c d", "chunks": 4})), CHAT, body).await;
        assert_eq!(of(json!("before_head"), &streamed()).await, (String::new(), ended), "{how}");
        for body in [streamed(), chat(json!({}))] {
            let (text, end) = of(json!("after_head"), &body).await;
            assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n"), "{how}: {text}");
            assert_eq!(end, ended, "{how}");
        }
        let (text, end) = of(json!({"after_chunks": 2}), &streamed()).await;
        assert_eq!((chunks_with_content(&text), end), (2, ended), "{how}: {text}");
        let (text, end) = of(json!({"after_chunks": 0}), &streamed()).await;
        assert_eq!((chunks_with_content(&text), end), (0, ended), "{how}: the opening event alone");
        assert!(text.contains("assistant"), "{text}");
        let (text, end) = of(json!({"after_chunks": 2}), &chat(json!({}))).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!((body.len(), end), (length.div_ceil(4) * 2, ended), "{how}: half of a document");
    }
}

/// Events of a raw answer that carry text, complete or not.
fn chunks_with_content(raw: &str) -> usize {
    raw.matches("\"content\":\"").count() - raw.matches("\"content\":\"\"").count()
}

#[tokio::test]
async fn an_orderly_close_ends_no_chunked_body() {
    let answer = once(&scripted(json!({"close": {"after_chunks": 1}})), post(CHAT, &streamed()))
        .await
        .unwrap();
    assert!(answer.broken.is_some());
}

#[tokio::test]
async fn a_break_is_not_the_clients_fault() {
    let mock = scripted(json!({"reset": {"after_chunks": 1}}));
    raw(&mock, CHAT, &streamed()).await;
    let calls = mock
        .wait_until("p", PATIENCE, |calls| calls.iter().all(|call| call.done))
        .await
        .unwrap();
    assert_eq!((calls.len(), calls[0].aborted), (1, false));
}

#[tokio::test]
async fn a_reused_connection_can_turn_out_dead() {
    let mock = scripted(json!({"reset": "reused"}));
    let mut client = Client::connect(&mock).await;
    assert_eq!(client.send(post(CHAT, &chat(json!({})))).await.unwrap().status, 200);
    assert!(client.send(post(CHAT, &chat(json!({})))).await.is_err());
    assert_eq!(once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().status, 200);
    assert_eq!(
        mock.calls("p").iter().map(|call| call.reused).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[tokio::test]
async fn a_stall_is_silent_but_for_pings_and_ends_with_the_client() {
    for (path, body, keep_alive) in [
        (CHAT, streamed(), ": keep-alive\n\n"),
        (MESSAGES, message(json!({"stream": true})), "event: ping\n"),
    ] {
        let mock = scripted(json!({"stall": {"after_chunks": 1}, "ping_ms": 1, "text": "first second"}));
        let mut socket = opened(&mock, path, &body).await;
        let seen = read_until(&mut socket, "first ").await;
        let seen = seen + &read_until(&mut socket, keep_alive).await + &read_until(&mut socket, keep_alive).await;
        assert!(!seen.contains("second"), "{seen}");
        assert!(!mock.calls("p")[0].done);
        drop(socket);
        mock.wait_until("p", PATIENCE, |calls| calls[0].aborted).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_never_answered_notices_the_hang_up() {
    for (script, head) in [
        (json!({"stall": "accept"}), None),
        (json!({"stall": "after_head"}), Some("\r\n\r\n")),
        (json!({"latency_ms": 3_600_000}), None),
    ] {
        let mock = scripted(script);
        let mut socket = opened(&mock, CHAT, &chat(json!({}))).await;
        mock.wait_for_calls("p", 1, PATIENCE).await.unwrap();
        if let Some(head) = head {
            assert!(read_until(&mut socket, head).await.ends_with(head));
        }
        drop(socket);
        mock.wait_until("p", PATIENCE, |calls| calls[0].aborted).await.unwrap();
    }
}

#[tokio::test]
async fn pings_bridge_the_wait_for_the_first_token() {
    let mock = scripted(json!({"first_token_ms": 50, "ping_ms": 5, "text": "done"}));
    let answer = once(&mock, post(CHAT, &streamed())).await.unwrap();
    let (before, _) = answer
        .text()
        .split_once("done")
        .map(|(before, after)| (before.to_owned(), after.to_owned()))
        .unwrap();
    assert!(before.matches(": keep-alive").count() >= 2, "{before}");
}

#[tokio::test]
async fn each_piece_of_content_is_a_chunk_of_its_own() {
    let mock = scripted(json!({"chunks": 5}));
    let (text, _) = raw(&mock, CHAT, &streamed()).await;
    let events = chunks(&text);
    assert_eq!(events.len(), 1 + 5 + 1 + 1, "role, content, finish, [DONE]: {text}");
    assert!(events.iter().all(|event| event.starts_with("data: ") && event.ends_with("\n\n")));
}

#[tokio::test]
async fn a_stream_can_be_written_at_once_or_in_small_pieces() {
    let whole = raw(&scripted(json!({"text": "a b c"})), CHAT, &streamed()).await.0;
    let expected = chunks(&whole).concat();
    let once = chunks(
        &raw(&scripted(json!({"text": "a b c", "one_write": true})), CHAT, &streamed())
            .await
            .0,
    );
    assert_eq!(once, std::slice::from_ref(&expected));
    let pieces = chunks(
        &raw(&scripted(json!({"text": "a b c", "split_bytes": 3})), CHAT, &streamed())
            .await
            .0,
    );
    assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() == 3));
    assert_eq!(pieces.concat(), expected);
    let unary = once_text(json!({"text": "a b c", "split_bytes": 1})).await;
    assert_eq!(unary["choices"][0]["message"]["content"], "a b c");
}

async fn once_text(script: Value) -> Value {
    once(&scripted(script), post(CHAT, &chat(json!({})))).await.unwrap().json()
}

#[tokio::test]
async fn a_status_brings_the_error_of_its_dialect() {
    let script = json!({"status": 429, "retry_after": 7, "headers": {"x-should-retry": "false"}});
    let answer = once(&scripted(script), post(CHAT, &chat(json!({})))).await.unwrap();
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.header("retry-after"),
            answer.header("x-should-retry")
        ),
        (429, "7", "false")
    );
    let keys: Vec<String> = answer.json()["error"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["message", "type", "param", "code"]);
    let answer = once(&scripted(json!({"status": 529})), post(MESSAGES, &message(json!({}))))
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&answer["type"], &answer["error"]["type"]),
        (&json!("error"), &json!("overloaded_error"))
    );
    let error = json!({"type": "t", "code": 1302, "message": "m", "param": "p"});
    let answer = once(&scripted(json!({"status": 400, "error": error})), post(CHAT, &chat(json!({}))))
        .await
        .unwrap();
    assert_eq!(
        answer.json()["error"],
        json!({"message": "m", "type": "t", "param": "p", "code": 1302})
    );
}

#[tokio::test]
async fn a_200_can_be_no_answer() {
    let unary = async |fault: &str| once(&scripted(json!({"body": fault})), post(CHAT, &chat(json!({})))).await.unwrap();
    assert!(serde_json::from_slice::<Value>(&unary("malformed").await.body).is_err());
    assert!(unary("html").await.header("content-type").starts_with("text/html"));
    assert!(unary("empty").await.body.is_empty());
    assert!(unary("error_200").await.json()["error"]["message"].is_string());
    assert_eq!(unary("empty_choices").await.json()["choices"], json!([]));
    for fault in ["malformed", "html", "empty", "error_200", "empty_choices"] {
        let answer = unary(fault).await;
        assert_eq!((answer.status.as_u16(), answer.broken.is_none()), (200, true), "{fault}");
    }
    let answer = once(&scripted(json!({"body": "empty_choices"})), post(MESSAGES, &message(json!({}))))
        .await
        .unwrap();
    assert_eq!(answer.json()["content"], json!([]));
}

#[tokio::test]
async fn a_200_stream_can_be_no_answer() {
    let stream = async |fault: &str| {
        once(&scripted(json!({"body": fault, "text": "a b"})), post(CHAT, &streamed()))
            .await
            .unwrap()
    };
    let malformed = stream("malformed").await.text();
    let last = malformed
        .trim_end()
        .lines()
        .last()
        .unwrap()
        .strip_prefix("data: ")
        .unwrap()
        .to_owned();
    assert!(serde_json::from_str::<Value>(&last).is_err() && malformed.ends_with("\n\n"));
    assert!(stream("html").await.header("content-type").starts_with("text/html"));
    assert_eq!(stream("empty").await.text(), "");
    assert!(stream("error_200").await.events()[0]["error"]["message"].is_string());
    assert_eq!(stream("empty_choices").await.text(), "data: [DONE]\n\n");
    let truncated = stream("truncated").await;
    assert!(truncated.text().contains("\"b\"") && !truncated.text().contains("[DONE]") && truncated.broken.is_none());
}

#[tokio::test]
async fn an_error_can_come_inside_a_stream() {
    for (after, texts) in [(0, 0), (1, 1)] {
        let script = json!({"error_in_stream": {"after_chunks": after, "type": "overloaded_error", "message": "x"}, "text": "a b"});
        let mock = scripted(script);
        let openai = once(&mock, post(CHAT, &streamed())).await.unwrap();
        assert_eq!(chunks_with_content(&openai.text()), texts);
        assert_eq!(openai.events().last().unwrap()["error"]["type"], "overloaded_error");
        let anthropic = once(&mock, post(MESSAGES, &message(json!({"stream": true})))).await.unwrap();
        assert!(anthropic.text().contains("event: error\n"));
        assert_eq!(
            (
                anthropic.events().last().unwrap()["error"]["message"].as_str(),
                anthropic.broken.is_none()
            ),
            (Some("x"), true)
        );
    }
}

#[tokio::test]
async fn a_raw_body_is_sent_byte_for_byte() {
    let mock = scripted(json!({"raw": "\n\n {\"odd\": 1}", "status": 404}));
    let answer = once(&mock, post(CHAT, &chat(json!({})))).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (404, "\n\n {\"odd\": 1}"));
    let mock = scripted(json!({"raw": "data: x\r\n\r\n"}));
    let answer = once(&mock, post(CHAT, &streamed())).await.unwrap();
    assert_eq!(answer.text(), "data: x\r\n\r\n");
    assert!(answer.header("content-type").starts_with("text/event-stream"));
}

#[tokio::test]
async fn answers_are_compressed_when_the_script_and_the_request_say_so() {
    for (gzip, offered, compressed) in [
        (json!(true), "gzip", true),
        (json!(true), "identity", false),
        (json!("always"), "identity", true),
        (json!(false), "identity", false),
    ] {
        let mock = scripted(json!({"gzip": gzip, "text": "a b c"}));
        for body in [chat(json!({})), streamed()] {
            let answer = once(&mock, post_with(CHAT, &[("accept-encoding", offered)], &body)).await.unwrap();
            assert_eq!(answer.header("content-encoding") == "gzip", compressed, "{gzip} {offered}");
            if compressed {
                let mut text = String::new();
                flate2::read::GzDecoder::new(answer.body.as_ref())
                    .read_to_string(&mut text)
                    .unwrap();
                assert!(text.contains("assistant") && text.contains('c'), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_schedule_lets_the_other_calls_through() {
    let statuses = async |script: Value| {
        let mock = scripted(script);
        let mut client = Client::connect(&mock).await;
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(client.send(post(CHAT, &chat(json!({})))).await.unwrap().status.as_u16());
        }
        statuses
    };
    assert_eq!(statuses(json!({"fail_first": 2})).await, [500, 500, 200, 200, 200]);
    assert_eq!(statuses(json!({"fail_every": 2, "status": 503})).await, [200, 503, 200, 503, 200]);
    let drawn = statuses(json!({"fail_rate": 0.5, "seed": 7})).await;
    assert_eq!(drawn, statuses(json!({"fail_rate": 0.5, "seed": 7})).await);
}

#[tokio::test]
async fn calls_over_the_limit_are_turned_away() {
    let mock = scripted(json!({"max_concurrency": 1, "stall": "accept"}));
    let held = opened(&mock, CHAT, &chat(json!({}))).await;
    mock.wait_for_calls("p", 1, PATIENCE).await.unwrap();
    mock.set("p", super::client::behaviour(json!({"max_concurrency": 1, "overload_status": 503})));
    assert_eq!(once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().status, 503);
    drop(held);
    mock.wait_until("p", PATIENCE, |calls| calls[0].aborted).await.unwrap();
    assert_eq!(once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_a_404() {
    let answer = once(&scripted(json!({})), get("/p/v1/nothing")).await.unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(once(&scripted(json!({})), get(CHAT)).await.unwrap().status, 405);
}
