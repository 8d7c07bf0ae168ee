//! `GET /models`: what the routes of the snapshot in force offer, in the shape of whoever asks. No provider is asked.

use crate::{body::Reply, fault::Fault, pipeline::Exchange};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use outrigger_core::{CallFacts, Endpoint, Needs, NoMatch};
use outrigger_dialect::models::{self, Model};

/// All models that routes name exactly; a prefix names none.
pub(crate) fn all(exchange: &Exchange) -> Response<Reply> {
    let snapshot = exchange.app.snapshot();
    let offered: Vec<_> = snapshot.router.names().map(model).collect();
    respond(exchange, models::list(exchange.dialect, &offered))
}

/// One model, where a route would take it.
pub(crate) fn one(exchange: &Exchange, id: &str) -> Result<Response<Reply>, Fault> {
    // SDKs escape the slash of `org/model`.
    let id = &*percent_encoding::percent_decode_str(id).decode_utf8_lossy();
    let snapshot = exchange.app.snapshot();
    let nothing = |_: &str| None;
    let call = CallFacts {
        endpoint: Endpoint::Chat,
        model: id,
        route: None,
        task: None,
        header: &nothing,
        metadata: &nothing,
        prompt_tokens: 0,
        needs: Needs::NONE,
        service_account: None,
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

fn respond(exchange: &Exchange, body: Vec<u8>) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Some(Bytes::from(body))));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    crate::pipeline::stamp(response.headers_mut(), exchange);
    response
}
