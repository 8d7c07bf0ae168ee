//! `GET /models`: what the routes of the snapshot in force offer, in the shape of whoever asks. No provider is asked.

use crate::{body::Reply, fault::Fault, pipeline::Exchange};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use outrigger_core::{CallFacts, Endpoint, NoMatch};
use outrigger_dialect::models::{self, Model};
use std::borrow::Cow;

/// All models that routes name exactly; a prefix names none.
pub(crate) fn all(exchange: &Exchange) -> Response<Reply> {
    let snapshot = exchange.app.snapshot();
    let offered: Vec<_> = snapshot.router.names().map(model).collect();
    respond(exchange, models::list(exchange.dialect, &offered))
}

/// One model, where a route would take it; `id` as the path has it.
pub(crate) fn one(exchange: &Exchange, id: &str) -> Result<Response<Reply>, Fault> {
    let id = &*unescaped(id);
    let snapshot = exchange.app.snapshot();
    let nothing = |_: &str| None;
    let call = CallFacts {
        endpoint: Endpoint::Chat,
        model: id,
        route: None,
        task: None,
        header: &nothing,
        metadata: &nothing,
    };
    // A route whose rules want more than a name still offers the model.
    if !matches!(snapshot.router.find(&snapshot.table, &call), Err(NoMatch::UnknownModel)) {
        return Ok(respond(exchange, models::one(exchange.dialect, &model(id))));
    }
    Err(Fault::unknown_model(id))
}

/// Windows are the targets' own and may differ from call to call: none is promised.
fn model(id: &str) -> Model<'_> {
    Model {
        id,
        owned_by: "outrigger",
        context_window: None,
        max_output: None,
    }
}

/// SDKs escape the slash of `org/name`, and whatever else a segment of a path may not hold. What is no escape stands for itself.
fn unescaped(id: &str) -> Cow<'_, str> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = digit(tail.first()).zip(digit(tail.get(1))).filter(|_| byte == b'%');
        bytes.push(escaped.map_or(byte, |(high, low)| high * 16 + low));
        rest = escaped.and_then(|_| tail.get(2..)).unwrap_or(tail);
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(id), Cow::Owned)
}

fn respond(exchange: &Exchange, body: Vec<u8>) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Some(Bytes::from(body))));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    crate::pipeline::stamp(response.headers_mut(), exchange);
    response
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn an_escaped_id_is_the_id_and_a_stray_percent_is_itself() {
        for (path, id) in [
            ("gpt-4o", "gpt-4o"),
            ("org/name", "org/name"),
            ("org%2Fname", "org/name"),
            ("org%2fname%3A1", "org/name:1"),
            ("caf%C3%A9", "café"),
            ("100%", "100%"),
            ("100%2", "100%2"),
            ("%zz%2", "%zz%2"),
            ("%FF", "%FF"),
        ] {
            assert_eq!(unescaped(path), id, "{path}");
        }
    }
}
