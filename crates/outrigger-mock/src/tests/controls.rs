//! The control API, and the words about it.

use http::Method;
use serde_json::{Value, json};

use super::client::{PATIENCE, chat, get, mock, once, opened, post, request};
use crate::{Behaviour, REFERENCE, behaviours};

const CHAT: &str = "/p/v1/chat/completions";

#[tokio::test]
async fn a_script_is_put_read_and_deleted() {
    let mock = mock();
    let put = |script: Value| request(Method::PUT, "/_mock/behaviour/p", &[], script.to_string());
    assert_eq!(once(&mock, put(json!({"status": 503}))).await.unwrap().status, 204);
    assert_eq!(once(&mock, get("/_mock/behaviour/p")).await.unwrap().json()["status"], 503);
    assert_eq!(once(&mock, get("/_mock/behaviour")).await.unwrap().json()["p"]["status"], 503);
    assert_eq!(once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().status, 503);
    assert_eq!(
        once(&mock, request(Method::DELETE, "/_mock/behaviour/p", &[], ""))
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_script_that_means_nothing_is_refused_and_changes_nothing() {
    let mock = mock();
    for (script, named) in [
        (json!({"latencyms": 1}), "latencyms"),
        (json!({"status": 99}), "status"),
        (json!({"fail_rate": 2}), "fail_rate"),
        (json!({"headers": {"a b": "c"}}), "a b"),
        (json!([]), "object"),
    ] {
        let answer = once(&mock, request(Method::PUT, "/_mock/behaviour/p", &[], script.to_string()))
            .await
            .unwrap();
        assert_eq!(answer.status, 400, "{script}");
        assert!(answer.json()["error"].as_str().unwrap().contains(named), "{}", answer.text());
    }
    assert_eq!(once(&mock, post(CHAT, &chat(json!({})))).await.unwrap().status, 200);
}

#[tokio::test]
async fn calls_and_connections_are_told() {
    let mock = mock();
    once(&mock, post("/p/v1/chat/completions?x=1", &chat(json!({})))).await.unwrap();
    let calls = once(&mock, get("/_mock/calls/p?count=1")).await.unwrap().json();
    let call = &calls[0];
    assert_eq!(
        (&call["method"], &call["path"]),
        (&json!("POST"), &json!("/v1/chat/completions?x=1"))
    );
    assert_eq!(
        (&call["headers"]["content-type"], &call["body"]["model"]),
        (&json!("application/json"), &json!("m"))
    );
    assert_eq!((&call["aborted"], &call["connection"]), (&json!(false), &json!(1)));
    assert_eq!(once(&mock, get("/_mock/connections/p")).await.unwrap().json()["opened"], 1);
    once(&mock, request(Method::DELETE, "/_mock/calls/p", &[], "")).await.unwrap();
    assert_eq!(once(&mock, get("/_mock/calls/p")).await.unwrap().json(), json!([]));
    assert_eq!(once(&mock, get("/_mock/nonsense/p")).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_reader_can_wait_for_a_hang_up() {
    let mock = mock();
    mock.set(
        "p",
        Behaviour {
            stall: Some(crate::Stall::Accept),
            ..Behaviour::default()
        },
    );
    let held = opened(&mock, CHAT, &chat(json!({}))).await;
    mock.wait_for_calls("p", 1, PATIENCE).await.unwrap();
    drop(held);
    let calls = once(&mock, get("/_mock/calls/p?aborted=1")).await.unwrap().json();
    assert_eq!(calls[0]["aborted"], true);
}

#[test]
fn the_reference_names_every_field_and_no_other() {
    let fields = serde_json::to_value(Behaviour::default()).unwrap();
    let fields: Vec<&String> = fields.as_object().unwrap().keys().collect();
    let listed = REFERENCE.lines().filter_map(|line| {
        let line = line.strip_prefix("  ")?;
        let (name, rest) = line.split_once("  ")?;
        (!name.is_empty() && !rest.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).then_some(name)
    });
    assert_eq!(fields, listed.collect::<Vec<_>>(), "in the same order");
}

#[tokio::test]
async fn the_reference_is_served() {
    assert_eq!(once(&mock(), get("/_mock")).await.unwrap().text(), REFERENCE);
}

#[test]
fn a_start_file_names_providers() {
    let all = behaviours(r#"{"a": {"status": 503}, "b": {}}"#).unwrap();
    assert_eq!((all["a"].status, all["b"].status), (Some(503), None));
    for bad in [r#"{"a": {"stat": 1}}"#, r#"{"a": {"status": 1}}"#] {
        let why = behaviours(bad).unwrap_err();
        assert!(why.contains("provider `a`") && why.contains("stat"), "{why}");
    }
    assert!(behaviours("[]").is_err());
}
