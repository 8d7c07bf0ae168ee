//! The control API under `/_mock`: scripts in, calls out, while the providers run.
//!
//! Decides the shapes of its documents. It must never count as a call, nor obey a provider's script.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::behaviour::Behaviour;
use crate::play::Tape;
use crate::registry::{Provider, Registry};

/// Longest script that is taken.
const SCRIPT_CAP: usize = 16 << 20;
/// Longest time that a reader of calls may wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Answers `/_mock<rest>`.
pub(crate) async fn answer(registry: &Arc<Registry>, rest: &str, request: Request<Incoming>) -> Response<Tape> {
    let (topic, name) = rest.trim_matches('/').split_once('/').unwrap_or((rest.trim_matches('/'), ""));
    let (head, body) = request.into_parts();
    if name.is_empty() {
        return match (topic, head.method) {
            ("", Method::GET) => text(crate::REFERENCE),
            ("behaviour", Method::GET) => found(&registry.behaviours()),
            _ => refused(
                StatusCode::NOT_FOUND,
                "say /_mock/behaviour/NAME, /_mock/calls/NAME or /_mock/connections/NAME",
            ),
        };
    }
    let provider = registry.provider(name);
    match (topic, head.method) {
        ("behaviour", Method::GET) => found(&provider.behaviour()),
        ("behaviour", Method::DELETE) => {
            provider.set(Behaviour::default());
            nothing()
        }
        ("behaviour", Method::PUT) => match read(body).await {
            Ok(behaviour) => {
                provider.set(behaviour);
                nothing()
            }
            Err(why) => refused(StatusCode::BAD_REQUEST, &why),
        },
        ("calls", Method::GET) => calls(&provider, head.uri.query().unwrap_or_default()).await,
        ("calls", Method::DELETE) => {
            provider.clear();
            nothing()
        }
        ("connections", Method::GET) => found(&provider.connections()),
        ("behaviour" | "calls" | "connections", _) => refused(StatusCode::METHOD_NOT_ALLOWED, "not with this method"),
        _ => refused(
            StatusCode::NOT_FOUND,
            "say /_mock/behaviour/NAME, /_mock/calls/NAME or /_mock/connections/NAME",
        ),
    }
}

async fn read(body: Incoming) -> Result<Behaviour, String> {
    let bytes = Limited::new(body, SCRIPT_CAP)
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    Behaviour::parse(std::str::from_utf8(&bytes).map_err(|error| error.to_string())?)
}

/// The calls; with `count=N` or `aborted=N`, once so many were received or given up, but no later than `timeout_ms` (default 10,000).
async fn calls(provider: &Arc<Provider>, query: &str) -> Response<Tape> {
    let number = |key: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse::<u64>().ok())
    };
    let (count, aborted) = (number("count").unwrap_or(0), number("aborted").unwrap_or(0));
    let limit = Duration::from_millis(number("timeout_ms").unwrap_or(10_000)).min(LONGEST_WAIT);
    let mut changes = provider.changes();
    let enough = changes.wait_for(|_| {
        let (received, given_up) = provider.counts();
        received >= count && u64::try_from(given_up).unwrap_or(u64::MAX) >= aborted
    });
    // Late or not, the calls so far are the answer: the reader counts them anyhow.
    let _ = tokio::time::timeout(limit, enough).await;
    found(&provider.calls())
}

fn found(value: &impl serde::Serialize) -> Response<Tape> {
    match serde_json::to_vec(value) {
        Ok(body) => typed(StatusCode::OK, body.into(), "application/json"),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn text(body: &'static str) -> Response<Tape> {
    typed(StatusCode::OK, Bytes::from_static(body.as_bytes()), "text/plain; charset=utf-8")
}

fn nothing() -> Response<Tape> {
    let mut response = Response::new(Tape::plain(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn refused(status: StatusCode, why: &str) -> Response<Tape> {
    let body: Value = json!({"error": why});
    typed(status, body.to_string().into(), "application/json")
}

fn typed(status: StatusCode, body: Bytes, kind: &'static str) -> Response<Tape> {
    let mut response = Response::new(Tape::plain(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
