//! Refusals and answers of every endpoint, and the head they go out with.
//!
//! Decides status, headers and content. It must never touch the connection: what breaks on the way is the tape's business.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::behaviour::{Behaviour, BodyFault, ErrorScript, Gzip};
use crate::place::{Dialect, Endpoint};
use crate::play::{Audience, Tape};
use crate::registry::lock;
use crate::reply::Reply;
use crate::score::{Content, Event};
use crate::serve::Exchange;
use crate::{anthropic, fault, files, models, openai, realtime};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// An error that the provider answers with.
pub(crate) struct Refusal {
    status: u16,
    error: Box<ErrorScript>,
}

impl Refusal {
    /// The usual error of a status.
    pub(crate) fn plain(status: u16) -> Self {
        Self {
            status,
            error: Box::default(),
        }
    }

    fn with(status: u16, error: ErrorScript) -> Self {
        Self {
            status,
            error: Box::new(error),
        }
    }

    fn saying(status: u16, message: impl Into<String>) -> Self {
        Self::with(
            status,
            ErrorScript {
                message: Some(message.into()),
                ..ErrorScript::default()
            },
        )
    }

    fn of_field(status: u16, field: &str, message: String) -> Self {
        Self::with(
            status,
            ErrorScript {
                message: Some(message),
                param: Some(field.to_owned()),
                ..ErrorScript::default()
            },
        )
    }
}

/// Why this call gets no answer, if it gets none: overload, strictness, keys, script, a request that means nothing, a model that is not.
pub(crate) fn refusal(exchange: &Exchange) -> Option<Refusal> {
    let behaviour = &exchange.behaviour;
    if behaviour.max_concurrency.is_some_and(|most| exchange.concurrent > most) {
        return Some(Refusal::plain(behaviour.overload_status.unwrap_or(429)));
    }
    if !exchange.complaints.is_empty() {
        let message = format!("strict provider: {}", exchange.complaints.join("; "));
        let error = ErrorScript {
            code: Some("strict".into()),
            message: Some(message),
            ..ErrorScript::default()
        };
        return Some(Refusal::with(400, error));
    }
    if let Some(keys) = &behaviour.keys
        && !credential(&exchange.headers).is_some_and(|given| keys.iter().any(|key| key == given))
    {
        return Some(Refusal::plain(401));
    }
    if let Some(status) = behaviour.status.filter(|status| *status >= 400) {
        return Some(Refusal::with(status, behaviour.error.clone().unwrap_or_default()));
    }
    if let Some(post) = exchange.endpoint.is_post()
        && post != (exchange.method == Method::POST)
    {
        return Some(Refusal::saying(405, format!("{} is not allowed here.", exchange.method)));
    }
    if let Err(why) = &exchange.fields {
        return Some(Refusal::saying(
            400,
            format!("We could not parse the JSON body of your request: {why}"),
        ));
    }
    if exchange.endpoint == Endpoint::Realtime
        && let Some(objection) = realtime::objection(&exchange.headers)
    {
        return Some(Refusal::saying(400, objection));
    }
    let exists = |model: &str| {
        behaviour
            .models
            .as_ref()
            .is_none_or(|models| models.iter().any(|known| known == model))
    };
    let asked = match &exchange.endpoint {
        Endpoint::Model(id) => id,
        Endpoint::Chat | Endpoint::Embeddings | Endpoint::Messages | Endpoint::CountTokens => &exchange.ask.model,
        Endpoint::Models
        | Endpoint::Files
        | Endpoint::File(_)
        | Endpoint::FileContent(_)
        | Endpoint::Transcriptions
        | Endpoint::Realtime
        | Endpoint::Unknown => return None,
    };
    (!exists(asked)).then(|| Refusal::saying(404, format!("The model `{asked}` does not exist or you do not have access to it.")))
}

/// The key that a call brings. With two of them, `x-api-key` counts, as with the original.
pub(crate) fn credential(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    text("x-api-key").or(bearer).or_else(|| realtime::subprotocol_key(headers))
}

/// The response: the refusal, or the endpoint's answer, with the script's faults worked in.
pub(crate) fn response(exchange: &Exchange, refusal: Option<Refusal>, audience: Audience) -> Response<Tape> {
    let behaviour = &exchange.behaviour;
    let answered = match refusal {
        Some(refusal) => Err(refusal),
        None => answer(exchange),
    };
    let (status, content, kind) = match answered {
        Ok((content, kind)) => (behaviour.status.unwrap_or(200), content, kind),
        Err(Refusal { status, error }) => {
            let body = fault::body(exchange.dialect, status, &error, &exchange.request_id);
            (status, Content::Whole(body.to_string().into()), JSON)
        }
    };
    let (content, kind) = with_fault(exchange, content, kind);
    let offered = exchange
        .headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"));
    let gzip = behaviour.gzip == Gzip::Always || (behaviour.gzip == Gzip::WhenOffered && offered);
    let mut response = Response::new(Tape::new(content, behaviour, gzip, audience));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    put_headers(&mut response, exchange, kind, gzip);
    response
}

fn put_headers(response: &mut Response<Tape>, exchange: &Exchange, kind: &str, gzip: bool) {
    let behaviour = &exchange.behaviour;
    let streamed = kind == EVENTS;
    let request_id = match exchange.dialect {
        Dialect::OpenAi => "x-request-id",
        Dialect::Anthropic => "request-id",
    };
    let fixed = [
        ("content-type", kind),
        (request_id, exchange.request_id.as_str()),
        ("cache-control", if streamed { "no-cache" } else { "" }),
        ("content-encoding", if gzip { "gzip" } else { "" }),
        ("openai-processing-ms", if exchange.dialect == Dialect::OpenAi { "1" } else { "" }),
        ("retry-after", behaviour.retry_after.as_deref().unwrap_or_default()),
    ];
    let scripted = behaviour.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = response.headers_mut();
    for (name, value) in fixed.into_iter().filter(|(_, value)| !value.is_empty()).chain(scripted) {
        // The control API has checked scripted headers; the library's callers see theirs missing.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
}

/// What the endpoint says when nothing is wrong with the request, and the type of it.
fn answer(exchange: &Exchange) -> Result<(Content, &'static str), Refusal> {
    let Exchange {
        behaviour, ask, provider, ..
    } = exchange;
    let value = match &exchange.endpoint {
        Endpoint::Chat | Endpoint::Messages => return Ok(generated(exchange)),
        Endpoint::CountTokens => {
            let prompt = behaviour
                .usage
                .map_or(ask.prompt_tokens, |tokens| tokens.input + tokens.cached_read + tokens.cache_write);
            json!({"input_tokens": prompt})
        }
        Endpoint::Embeddings => {
            let model = behaviour.model.as_ref().unwrap_or(&ask.model);
            let fields = exchange.fields.as_ref().map(|fields| fields.map.clone()).unwrap_or_default();
            openai::embeddings(&fields, ask, model)
        }
        Endpoint::Models => models::list(exchange.dialect, behaviour),
        Endpoint::Model(id) => models::one(exchange.dialect, id),
        Endpoint::Files if exchange.method == Method::GET => lock(&provider.shelf).list(),
        Endpoint::Files => {
            let parts = exchange
                .parts
                .as_deref()
                .ok_or_else(|| Refusal::saying(400, "The body must be multipart/form-data."))?;
            lock(&provider.shelf).add(parts).map_err(missing)?
        }
        Endpoint::File(id) if exchange.method == Method::DELETE => lock(&provider.shelf).delete(id).ok_or_else(|| no_file(id))?,
        Endpoint::File(id) => lock(&provider.shelf).about(id).ok_or_else(|| no_file(id))?,
        Endpoint::FileContent(id) => {
            let content = lock(&provider.shelf).content(id).ok_or_else(|| no_file(id))?;
            return Ok((Content::Whole(content), "application/octet-stream"));
        }
        Endpoint::Transcriptions => {
            let parts = exchange
                .parts
                .as_deref()
                .ok_or_else(|| Refusal::saying(400, "The body must be multipart/form-data."))?;
            let (body, kind) = files::transcription(parts, behaviour, &provider.name).map_err(missing)?;
            return Ok((Content::Whole(body), kind));
        }
        // A websocket was handed over before; without an upgrade it was refused.
        Endpoint::Realtime | Endpoint::Unknown => {
            return Err(Refusal::saying(404, "Unknown request URL. This provider has no such endpoint."));
        }
    };
    Ok((document(&value), JSON))
}

fn missing(field: &'static str) -> Refusal {
    Refusal::of_field(400, field, format!("Missing required parameter: '{field}'."))
}

fn no_file(id: &str) -> Refusal {
    Refusal::saying(404, format!("No such File object: {id}"))
}

fn document(value: &Value) -> Content {
    Content::Whole(value.to_string().into())
}

/// What the model says, whole or as events.
fn generated(exchange: &Exchange) -> (Content, &'static str) {
    let Exchange {
        behaviour, ask, provider, ..
    } = exchange;
    let reply = Reply::compose(behaviour, ask, &provider.name, exchange.number);
    if !ask.stream {
        let value = match exchange.dialect {
            Dialect::OpenAi => openai::completion(&reply, ask),
            Dialect::Anthropic => anthropic::message(&reply),
        };
        return (document(&value), JSON);
    }
    let events = match exchange.dialect {
        Dialect::OpenAi => openai::stream(&reply, ask),
        Dialect::Anthropic => anthropic::stream(&reply),
    };
    (events_of(exchange, events), EVENTS)
}

fn events_of(exchange: &Exchange, events: Vec<Event>) -> Content {
    let ping = match exchange.dialect {
        Dialect::OpenAi => openai::ping(),
        Dialect::Anthropic => anthropic::ping(),
    };
    let error = exchange
        .behaviour
        .error_in_stream
        .as_ref()
        .map(|error| error_event(exchange, &error.script()))
        .unwrap_or_default();
    Content::Stream { events, ping, error }
}

fn error_event(exchange: &Exchange, script: &ErrorScript) -> Bytes {
    fault::event(exchange.dialect, script, &exchange.request_id).into()
}

/// Replaces an answer by what the script wants in its place. Faults inside a stream are the tape's.
fn with_fault(exchange: &Exchange, content: Content, kind: &'static str) -> (Content, &'static str) {
    let Behaviour { raw, body, error, .. } = &exchange.behaviour;
    let streamed = kind == EVENTS;
    let replaced = |bytes: Bytes| {
        if streamed {
            events_of(exchange, vec![Event::content(bytes)])
        } else {
            Content::Whole(bytes)
        }
    };
    if let Some(raw) = raw {
        return (replaced(Bytes::copy_from_slice(raw.as_bytes())), kind);
    }
    match (body, content) {
        (Some(BodyFault::Html), _) => (Content::Whole(Bytes::from_static(fault::PAGE.as_bytes())), HTML),
        (Some(BodyFault::Empty), Content::Whole(_)) => (Content::Whole(Bytes::new()), kind),
        (Some(BodyFault::Empty), Content::Stream { ping, error, .. }) => (
            Content::Stream {
                events: Vec::new(),
                ping,
                error,
            },
            kind,
        ),
        (Some(BodyFault::Error200), _) => {
            let script = error.clone().unwrap_or_default();
            let bytes = if streamed {
                error_event(exchange, &script)
            } else {
                fault::body(exchange.dialect, 500, &script, &exchange.request_id).to_string().into()
            };
            (replaced(bytes), kind)
        }
        (Some(BodyFault::Malformed), Content::Whole(whole)) => (Content::Whole(whole.slice(..whole.len() / 2)), kind),
        (_, content) => (content, kind),
    }
}
