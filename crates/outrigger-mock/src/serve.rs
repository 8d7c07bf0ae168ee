//! One call, from its head to the tape that answers it.
//!
//! Decides the order in which a script's fields count: recorded first, then late, broken, overloaded, refused, failing, and only then
//! answered. It must never answer a call that it did not record.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use serde_json::Value;

use crate::answer::{self, Refusal};
use crate::ask::Ask;
use crate::behaviour::{Behaviour, Cut, Stall};
use crate::call::{Call, header_map};
use crate::control;
use crate::files::{self, Part};
use crate::place::{self, Dialect, Endpoint};
use crate::play::{Audience, Tape};
use crate::realtime::{self, Session};
use crate::registry::{Arrival, Provider, Registry, Turn};
use crate::strict::{self, Fields};
use crate::wire::{Break, Connection};

/// Longest body that is read.
const BODY_CAP: usize = 256 << 20;

/// The connection is broken before any answer.
#[derive(Debug, thiserror::Error)]
#[error("broken by the script, or by the client")]
pub(crate) struct Severed;

/// A call whose body has arrived.
pub(crate) struct Exchange {
    pub(crate) provider: Arc<Provider>,
    pub(crate) behaviour: Behaviour,
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Dialect,
    pub(crate) method: http::Method,
    pub(crate) headers: HeaderMap,
    /// The JSON body, or why there is none.
    pub(crate) fields: Result<Fields, String>,
    pub(crate) ask: Ask,
    pub(crate) parts: Option<Vec<Part>>,
    pub(crate) request_id: String,
    pub(crate) number: u64,
    pub(crate) concurrent: usize,
    pub(crate) complaints: Vec<String>,
}

/// Answers one request.
pub(crate) async fn call(
    registry: Arc<Registry>,
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<Tape>, Severed> {
    let path = request.uri().path().to_owned();
    if let Some(rest) = path.strip_prefix("/_mock") {
        return Ok(control::answer(&registry, rest, request).await);
    }
    let upgrade = request
        .headers()
        .contains_key(http::header::UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    let (name, below, endpoint) = place::locate(&path);
    let provider = registry.provider(name);
    let reused = connection.begin(&provider);
    let behaviour = provider.next_behaviour(answer::credential(request.headers()));
    let (head, incoming) = request.into_parts();
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let (body, whole) = read(incoming).await;

    let mut exchange = Exchange::of(&provider, behaviour, endpoint, &head, &body);
    let call = Call {
        number: 0,
        method: head.method.to_string(),
        path: format!("{below}{query}"),
        headers: header_map(&head.headers),
        body: Value::Null,
        raw: Bytes::new(),
        bytes: body.len(),
        at_ms: registry.elapsed_ms(),
        aborted: false,
        done: false,
        connection: connection.id,
        reused,
        complaints: exchange.complaints.clone(),
    };
    let described = exchange.parts.as_deref().map(files::described);
    let mut turn = provider.record(Arrival {
        call,
        described,
        bytes: body,
    });
    exchange.concurrent = turn.concurrent;
    if whole == Arrived::Broken {
        return Err(Severed);
    }
    if let Some(how) = before_head(&exchange.behaviour, reused).await {
        turn.end();
        connection.cut(how);
        return Err(Severed);
    }
    let refusal = if whole == Arrived::TooLong {
        Some(Refusal::plain(413))
    } else {
        None
    };
    Ok(reply(&exchange, refusal, turn, upgrade, &connection, head.uri.query()))
}

fn reply(
    exchange: &Exchange,
    refusal: Option<Refusal>,
    turn: Turn,
    upgrade: Option<OnUpgrade>,
    connection: &Arc<Connection>,
    query: Option<&str>,
) -> Response<Tape> {
    let refusal = refusal.or_else(|| answer::refusal(exchange));
    if let (None, Endpoint::Realtime, Some(upgrade)) = (&refusal, &exchange.endpoint, upgrade) {
        let model = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("model="));
        let session = Session {
            upgrade,
            turn,
            model: exchange.behaviour.model.as_deref().or(model).unwrap_or("mock").to_owned(),
            tag: format!("{}-{}", exchange.provider.name, exchange.number),
            reset: exchange.behaviour.reset,
            close: exchange.behaviour.close,
        };
        connection.hand_over(session);
        return realtime::accept(&exchange.headers);
    }
    let idle_close = exchange.behaviour.idle_close_ms.map(Duration::from_millis);
    let audience = Audience {
        turn,
        connection: Arc::clone(connection),
        idle_close,
    };
    answer::response(exchange, refusal, audience)
}

/// Waits as scripted; says how the connection breaks, if it does. A stall never returns.
async fn before_head(behaviour: &Behaviour, reused: bool) -> Option<Break> {
    if behaviour.latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(behaviour.latency_ms)).await;
    }
    if behaviour.stall == Some(Stall::Accept) {
        std::future::pending::<()>().await;
    }
    let strikes = |cut: Option<Cut>| cut == Some(Cut::BeforeHead) || (reused && cut == Some(Cut::Reused));
    if strikes(behaviour.reset) {
        return Some(Break::Reset);
    }
    strikes(behaviour.close).then_some(Break::Close)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrived {
    Whole,
    TooLong,
    Broken,
}

async fn read(mut incoming: Incoming) -> (Bytes, Arrived) {
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            return (body.freeze(), Arrived::Broken);
        };
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > BODY_CAP {
            return (body.freeze(), Arrived::TooLong);
        }
        body.extend_from_slice(&data);
    }
    (body.freeze(), Arrived::Whole)
}

impl Exchange {
    fn of(provider: &Arc<Provider>, behaviour: Behaviour, endpoint: Endpoint, head: &http::request::Parts, body: &Bytes) -> Self {
        let dialect = endpoint.dialect(&head.headers);
        let json = endpoint.takes_json() && head.method == http::Method::POST;
        let fields = if json {
            serde_json::from_slice::<Fields>(body).map_err(|error| error.to_string())
        } else {
            Ok(Fields::default())
        };
        let mut complaints = Vec::new();
        if behaviour.is_strict() {
            complaints.extend(strict::of_headers(&head.method, &endpoint, &head.headers, &behaviour));
            if let (true, Ok(fields)) = (json, &fields) {
                complaints.extend(strict::of_body(&endpoint, &head.headers, fields, &behaviour));
            }
        }
        let content_type = head
            .headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let number = provider.next_answer();
        Self {
            provider: Arc::clone(provider),
            ask: fields.as_ref().map(|fields| Ask::of(dialect, &fields.map)).unwrap_or_default(),
            fields,
            parts: files::parts(content_type, body),
            dialect,
            method: head.method.clone(),
            headers: head.headers.clone(),
            request_id: format!("req_{}-{number}", provider.name),
            number,
            concurrent: 0,
            complaints,
            behaviour,
            endpoint,
        }
    }
}
