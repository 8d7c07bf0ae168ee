//! What a strict provider refuses, and what it takes.

use http::Method;
use serde_json::{Value, json};

use super::client::{chat, message, mock, once, post, post_with, request, scripted};

const CHAT: &str = "/p/v1/chat/completions";
const MESSAGES: &str = "/p/v1/messages";

/// The complaint about a request, empty if it was taken.
async fn complaint(request: http::Request<http_body_util::Full<bytes::Bytes>>) -> String {
    let mock = mock();
    let answer = once(&mock, request).await.unwrap();
    let recorded = mock.calls("p")[0].complaints.join("; ");
    if answer.status == 400 {
        assert_eq!(answer.json()["error"]["message"], format!("strict provider: {recorded}"));
    } else {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    recorded
}

#[tokio::test]
async fn headers_that_a_gateway_must_keep_are_refused() {
    for (name, value, named) in [
        ("x-outrigger-task", "t", "x-outrigger-task"),
        ("x-stainless-lang", "python", "x-stainless-lang"),
        ("cookie", "a=b", "cookie"),
        ("authorization", "Bearer sk-outrigger", "placeholder"),
        ("accept-encoding", "gzip, br", "accept-encoding"),
        ("te", "trailers", "te"),
        ("connection", "te", "hop-by-hop"),
        ("x-forwarded-for", "10.0.0.1", "x-forwarded-for"),
        ("content-encoding", "gzip", "content-encoding"),
    ] {
        let complaint = complaint(post_with(CHAT, &[(name, value)], &chat(json!({})))).await;
        assert!(complaint.contains(named), "{name}: {complaint}");
    }
    let both = [("authorization", "Bearer k"), ("x-api-key", "k")];
    assert!(complaint(post_with(CHAT, &both, &chat(json!({})))).await.contains("both"));
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert!(
        complaint(post_with(CHAT, &twice, &chat(json!({}))))
            .await
            .contains("more than once")
    );
    let wrong_type = request(Method::POST, CHAT, &[("content-type", "text/plain")], chat(json!({})).to_string());
    assert!(complaint(wrong_type).await.contains("content-type"));
}

#[tokio::test]
async fn what_a_gateway_may_send_is_taken() {
    let headers = [
        ("authorization", "Bearer k"),
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
        ("user-agent", "x"),
        ("openai-organization", "o"),
        ("idempotency-key", "i"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("connection", "keep-alive"),
    ];
    assert_eq!(
        complaint(post_with(
            CHAT,
            &headers,
            &chat(json!({"metadata": {"a": "b"}, "seed": 1, "stop": ["x"]}))
        ))
        .await,
        ""
    );
    let headers = [("x-api-key", "k"), ("anthropic-beta", "a,b")];
    assert_eq!(
        complaint(post_with(MESSAGES, &headers, &message(json!({"system": "s", "temperature": 0.5})))).await,
        ""
    );
    let mock = scripted(json!({"gzip": true}));
    assert_eq!(
        once(&mock, post_with(CHAT, &[("accept-encoding", "gzip")], &chat(json!({}))))
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn a_body_of_unknown_length_is_refused() {
    use tokio::io::AsyncWriteExt as _;
    let mock = mock();
    let mut socket = tokio::net::TcpStream::connect(mock.addr).await.unwrap();
    let body = chat(json!({})).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: mock\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let answer = super::client::read_until(&mut socket, "strict provider").await;
    assert!(answer.contains("content-length"), "{answer}");
}

#[tokio::test]
async fn fields_that_the_dialect_does_not_know_are_refused() {
    for (path, body, named) in [
        (CHAT, chat(json!({"top_k": 1})), "top_k"),
        (CHAT, json!({"messages": [{"role": "user", "content": "x"}]}), "`model` is required"),
        (CHAT, json!({"model": "m"}), "`messages` is required"),
        (CHAT, chat(json!({"messages": []})), "at least one"),
        (CHAT, chat(json!({"stream_options": {"include_usage": true}})), "stream_options"),
        (CHAT, chat(json!({"top_logprobs": 1})), "top_logprobs"),
        (CHAT, chat(json!({"tool_choice": "auto"})), "tool_choice"),
        (MESSAGES, message(json!({"n": 2})), "`n`"),
        (MESSAGES, message(json!({"max_tokens": null})), "max_tokens"),
        (
            MESSAGES,
            message(json!({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]})),
            "a b",
        ),
        (MESSAGES, message(json!({"tools": [{"name": "f"}]})), "input_schema"),
        ("/p/v1/embeddings", json!({"model": "m", "input": "x", "stream": true}), "stream"),
        ("/p/v1/embeddings", json!({"model": "m"}), "input"),
    ] {
        let complaint = complaint(post(path, &body)).await;
        assert!(complaint.contains(named), "{body}: {complaint}");
    }
    let twice = request(
        Method::POST,
        CHAT,
        &[("content-type", "application/json")],
        r#"{"model":"a","messages":[{"role":"user"}],"model":"b"}"#,
    );
    assert!(complaint(twice).await.contains("`model` came more than once"));
}

#[tokio::test]
async fn a_message_needs_its_version() {
    let mut bare = post(MESSAGES, &message(json!({})));
    bare.headers_mut().remove("anthropic-version");
    assert!(complaint(bare).await.contains("anthropic-version"));
    let newest = [("anthropic-version", "2026-10-21")];
    assert!(
        complaint(post_with(MESSAGES, &newest, &message(json!({"temperature": 1}))))
            .await
            .contains("temperature")
    );
    assert_eq!(complaint(post_with(MESSAGES, &newest, &message(json!({})))).await, "");
}

fn assistant_calls(ids: &[&str]) -> Value {
    let calls = ids
        .iter()
        .map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}));
    json!({"role": "assistant", "content": null, "tool_calls": calls.collect::<Value>()})
}

#[tokio::test]
async fn tool_messages_must_answer_calls() {
    let user = json!({"role": "user", "content": "x"});
    let tool = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "r"});
    for (messages, named) in [
        (json!([user, assistant_calls(&["a", "b"]), tool("b"), tool("a"), user]), ""),
        (json!([user, tool("a")]), "no preceding"),
        (json!([user, assistant_calls(&["a"]), tool("z")]), "no preceding"),
        (
            json!([user, assistant_calls(&["a", "b"]), tool("a"), user]),
            "lack tool messages for b",
        ),
        (json!([user, assistant_calls(&["a"])]), "lack tool messages for a"),
        (json!([{"role": "robot", "content": "x"}]), "robot"),
    ] {
        let complaint = complaint(post(CHAT, &chat(json!({"messages": messages})))).await;
        assert!(
            complaint.contains(named) && complaint.is_empty() == named.is_empty(),
            "{messages}: {complaint}"
        );
    }
}

#[tokio::test]
async fn tool_results_must_stand_first_and_answer_calls() {
    let user = json!({"role": "user", "content": "x"});
    let called = |ids: &[&str]| {
        let blocks = ids.iter().map(|id| json!({"type": "tool_use", "id": id, "name": "f", "input": {}}));
        json!({"role": "assistant", "content": blocks.collect::<Value>()})
    };
    let text = json!({"type": "text", "text": "t"});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "r"});
    let says = |blocks: Value| json!({"role": "user", "content": blocks});
    for (messages, named) in [
        (
            json!([user, called(&["a", "b"]), says(json!([result("b"), result("a"), text]))]),
            "",
        ),
        (
            json!([user, called(&["a", "b"]), says(json!([result("a")])), says(json!([result("b")]))]),
            "",
        ),
        (
            json!([
                user,
                called(&["a"]),
                says(json!([result("a")])),
                called(&["b"]),
                says(json!([result("b")]))
            ]),
            "",
        ),
        (json!([user, says(json!([result("a")]))]), "did not call"),
        (json!([user, called(&["a"]), says(json!([text, result("a")]))]), "must precede"),
        (json!([user, called(&["a", "b"]), says(json!([result("a")]))]), "lack results for b"),
        (json!([user, called(&["a"]), user]), "lack results for a"),
        (json!([{"role": "assistant", "content": "x"}]), "first message"),
        (json!([says(json!([{"type": "text", "text": ""}]))]), "empty text"),
    ] {
        let complaint = complaint(post(MESSAGES, &message(json!({"messages": messages})))).await;
        assert!(
            complaint.contains(named) && complaint.is_empty() == named.is_empty(),
            "{messages}: {complaint}"
        );
    }
}

#[tokio::test]
async fn a_lenient_provider_takes_anything_that_is_json() {
    let mock = scripted(json!({"strict": false}));
    let headers = [("x-stainless-lang", "js"), ("cookie", "a"), ("accept-encoding", "gzip, deflate")];
    assert_eq!(
        once(&mock, post_with(CHAT, &headers, &json!({"odd": 1}))).await.unwrap().status,
        200
    );
    assert_eq!(once(&mock, post_with(MESSAGES, &headers, &json!({}))).await.unwrap().status, 200);
    let broken = request(Method::POST, CHAT, &[("content-type", "application/json")], "{\"model\": ");
    let answer = once(&mock, broken).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["type"]),
        (400, &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn further_fields_are_taken_when_the_script_says_so() {
    let mock = scripted(json!({"accept_fields": ["top_k"]}));
    assert_eq!(once(&mock, post(CHAT, &chat(json!({"top_k": 1})))).await.unwrap().status, 200);
    assert_eq!(once(&mock, post(CHAT, &chat(json!({"min_p": 1})))).await.unwrap().status, 400);
}
