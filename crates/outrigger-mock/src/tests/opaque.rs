//! Multipart uploads and the realtime websocket.

use std::fmt::Write as _;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::client::{PATIENCE, get, mock, once, request, scripted};
use crate::Mock;

fn upload(fields: &[(&str, Option<&str>, &str)]) -> (String, String) {
    let mut body = String::new();
    for (name, file, content) in fields {
        let file = file
            .map(|file| format!("; filename=\"{file}\"\r\nContent-Type: application/octet-stream"))
            .unwrap_or_default();
        write!(
            body,
            "--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n"
        )
        .unwrap();
    }
    (body + "--edge--\r\n", "multipart/form-data; boundary=edge".to_owned())
}

#[tokio::test]
async fn a_file_is_uploaded_listed_read_and_deleted() {
    let mock = mock();
    let (body, kind) = upload(&[("purpose", None, "assistants"), ("file", Some("a; b.txt"), "some\r\ntext")]);
    let answer = once(&mock, request(Method::POST, "/p/v1/files", &[("content-type", &kind)], body))
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&answer["object"], &answer["filename"], &answer["bytes"]),
        (&json!("file"), &json!("a; b.txt"), &json!(10))
    );
    let id = answer["id"].as_str().unwrap();
    assert!(id.starts_with("file-"));
    assert_eq!(once(&mock, get("/p/v1/files")).await.unwrap().json()["data"][0]["id"], *id);
    assert_eq!(once(&mock, get(&format!("/p/v1/files/{id}"))).await.unwrap().json(), answer);
    assert_eq!(
        once(&mock, get(&format!("/p/v1/files/{id}/content"))).await.unwrap().text(),
        "some\r\ntext"
    );
    let deleted = once(&mock, request(Method::DELETE, &format!("/p/v1/files/{id}"), &[], ""))
        .await
        .unwrap()
        .json();
    assert_eq!(deleted["deleted"], true);
    assert_eq!(once(&mock, get(&format!("/p/v1/files/{id}"))).await.unwrap().status, 404);
    let recorded = &mock.calls("p")[0].body["multipart"];
    assert_eq!(
        (&recorded[0]["value"], &recorded[1]["filename"], &recorded[1]["bytes"]),
        (&json!("assistants"), &json!("a; b.txt"), &json!(10))
    );
}

#[tokio::test]
async fn audio_is_transcribed() {
    let mock = scripted(json!({"text": "spoken words"}));
    let fields = [("model", None, "whisper-1"), ("file", Some("a.wav"), "RIFF")];
    let (body, kind) = upload(&fields);
    let path = "/p/v1/audio/transcriptions";
    let answer = once(&mock, request(Method::POST, path, &[("content-type", &kind)], body))
        .await
        .unwrap();
    assert_eq!(answer.json(), json!({"text": "spoken words"}));
    let (body, kind) = upload(&fields[..1]);
    let answer = once(&mock, request(Method::POST, path, &[("content-type", &kind)], body))
        .await
        .unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (400, &json!("file")));
    let answer = once(&mock, request(Method::POST, path, &[("content-type", "application/json")], "{}"))
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
}

async fn realtime(mock: &Mock, key: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{}/p/v1/realtime?model=rt", mock.addr).into_client_request().unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {key}").parse().unwrap());
    let socket = TcpStream::connect(mock.addr).await.unwrap();
    client_async(request, socket).await.map(|(socket, _)| socket)
}

async fn heard(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn a_realtime_session_answers_every_event() {
    let mock = scripted(json!({"keys": ["k"]}));
    let mut socket = realtime(&mock, "k").await.unwrap();
    let created = heard(&mut socket).await;
    assert_eq!(
        (&created["type"], &created["session"]["model"]),
        (&json!("session.created"), &json!("rt"))
    );
    let update = json!({"type": "session.update", "session": {"voice": "v"}});
    socket.send(Message::text(update.to_string())).await.unwrap();
    let updated = heard(&mut socket).await;
    assert_eq!(
        (&updated["type"], &updated["session"]["voice"]),
        (&json!("session.updated"), &json!("v"))
    );
    let event = json!({"type": "response.create", "n": 1});
    socket.send(Message::text(event.to_string())).await.unwrap();
    let done = heard(&mut socket).await;
    assert_eq!((&done["type"], &done["echo"]), (&json!("response.done"), &event));
    socket.send(Message::text("{")).await.unwrap();
    assert_eq!(heard(&mut socket).await["type"], "error");
    socket.close(None).await.unwrap();
    let calls = mock.wait_until("p", PATIENCE, |calls| calls[0].done).await.unwrap();
    assert_eq!((calls[0].method.as_str(), calls[0].aborted), ("GET", false));
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    mock.wait_for_connections("p", PATIENCE, |connections| connections.open == 0)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_realtime_session_needs_a_key_and_an_upgrade() {
    let mock = scripted(json!({"keys": ["k"]}));
    let Err(Error::Http(refused)) = realtime(&mock, "wrong").await else {
        panic!("accepted")
    };
    assert_eq!(refused.status(), 401);
    mock.set("p", crate::Behaviour::default());
    assert_eq!(once(&mock, get("/p/v1/realtime")).await.unwrap().status, 400);
}

#[tokio::test]
async fn a_realtime_session_can_break() {
    let mock = scripted(json!({"reset": {"after_chunks": 1}}));
    let mut socket = realtime(&mock, "any").await.unwrap();
    heard(&mut socket).await;
    socket.send(Message::text("{}")).await.unwrap();
    heard(&mut socket).await;
    let end = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(end.is_none_or(|message| message.is_err()));
    assert!(!mock.calls("p")[0].aborted);
}
