//! The realtime websocket: a session that says back what it hears.
//!
//! Decides which event answers which. It must never end a session by itself, unless the script breaks it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::behaviour::Cut;
use crate::json::put;
use crate::play::Tape;
use crate::registry::Turn;
use crate::wire::{Break, Connection};

/// A websocket that begins once HTTP has let go of its connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) upgrade: OnUpgrade,
    pub(crate) turn: Turn,
    pub(crate) model: String,
    /// Name of the session, made of the provider's.
    pub(crate) tag: String,
    pub(crate) reset: Option<Cut>,
    pub(crate) close: Option<Cut>,
}

/// What a request lacks to become a websocket.
pub(crate) fn objection(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !text(header::UPGRADE).eq_ignore_ascii_case("websocket") {
        return Some("this endpoint is a websocket: `upgrade: websocket` is missing");
    }
    if text(header::SEC_WEBSOCKET_VERSION) != "13" {
        return Some("`sec-websocket-version` must be 13");
    }
    text(header::SEC_WEBSOCKET_KEY)
        .is_empty()
        .then_some("`sec-websocket-key` is missing")
}

/// The key that a browser hands over as a subprotocol, because it can set no header.
pub(crate) fn subprotocol_key(headers: &HeaderMap) -> Option<&str> {
    protocols(headers).find_map(|protocol| protocol.strip_prefix("openai-insecure-api-key."))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// The head that turns the connection into a websocket.
pub(crate) fn accept(headers: &HeaderMap) -> Response<Tape> {
    let mut response = Response::new(Tape::plain(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(http::HeaderValue::as_bytes)
        .unwrap_or_default();
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, http::HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    if let Ok(value) = derive_accept_key(key).parse() {
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, value);
    }
    if protocols(headers).any(|protocol| protocol == "realtime") {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static("realtime"));
    }
    response
}

/// Serves the session until the client leaves.
pub(crate) async fn run(mut session: Session, connection: &Arc<Connection>) {
    let upgrade = &mut session.upgrade;
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let mut state =
        json!({"id": format!("sess_{}", session.tag), "object": "realtime.session", "type": "realtime", "model": session.model});
    let mut events = 0;
    if session.breaks(0, connection) || !say(&mut socket, json!({"type": "session.created", "session": state}), &mut events).await {
        return;
    }
    let mut heard = 0;
    while let Some(Ok(message)) = socket.next().await {
        let answer = match message {
            Message::Text(text) => answer(&text, &mut state),
            Message::Binary(bytes) => {
                if socket.send(Message::Binary(bytes)).await.is_err() {
                    return;
                }
                continue;
            }
            Message::Close(_) => {
                session.turn.end();
                // The library has answered the close already; this lets it leave.
                let _ = socket.flush().await;
                return;
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        if !say(&mut socket, answer, &mut events).await {
            return;
        }
        heard += 1;
        if session.breaks(heard, connection) {
            return;
        }
    }
}

impl Session {
    /// Whether the script breaks the session after so many answers; the socket breaks when it is dropped.
    fn breaks(&mut self, heard: usize, connection: &Connection) -> bool {
        for (cut, how) in [(self.reset, Break::Reset), (self.close, Break::Close)] {
            if cut == Some(Cut::AfterChunks(heard)) || (heard == 0 && cut == Some(Cut::AfterHead)) {
                self.turn.end();
                connection.cut(how);
                return true;
            }
        }
        false
    }
}

async fn say(socket: &mut WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>, mut event: Value, events: &mut u64) -> bool {
    *events += 1;
    put(&mut event, "event_id", format!("event_{events}"));
    socket.send(Message::text(event.to_string())).await.is_ok()
}

fn answer(text: &str, state: &mut Value) -> Value {
    let Ok(event) = serde_json::from_str::<Value>(text) else {
        let error =
            json!({"type": "invalid_request_error", "code": "invalid_event", "message": "The event is not valid JSON.", "param": null});
        return json!({"type": "error", "error": error});
    };
    if event.get("type").and_then(Value::as_str) == Some("session.update") {
        if let (Some(known), Some(Value::Object(news))) = (state.as_object_mut(), event.get("session")) {
            known.extend(news.clone());
        }
        return json!({"type": "session.updated", "session": state});
    }
    json!({"type": "response.done", "response": {"object": "realtime.response", "status": "completed", "output": []}, "echo": event})
}
