//! Admit: a place among the calls in flight, and room for the body before a byte of it is read.

use super::Exchange;
use crate::{fault::Fault, ledger::Ledger, surface::Api};
use http::HeaderMap;
use http_body::Body as _;
use hyper::body::Incoming;
use std::sync::Arc;

/// Opens the ledger of a call. Its body's announced length is reserved here; a body without one is reserved as it comes.
pub(crate) fn admit(exchange: &Exchange, api: Api, headers: &HeaderMap, body: &Incoming) -> Result<Ledger, Fault> {
    let app = &exchange.app;
    let mut held = app.budget.enter().ok_or_else(Fault::too_many_calls)?;
    let announced = announced(body).unwrap_or(0);
    if announced > app.settings.max_body as u64 {
        return Err(too_large(app.settings.max_body));
    }
    if !held.grow(announced) {
        return Err(no_room());
    }
    let mut ledger = Ledger::open(Arc::clone(app), held, exchange.id, api, exchange.accepted);
    ledger.trace = app.settings.traces.as_ref().and_then(|traces| traces.begin(headers));
    Ok(ledger)
}

/// The announced length of a body of which nothing has been read.
pub(super) fn announced(body: &Incoming) -> Option<u64> {
    body.size_hint().exact()
}

pub(super) fn too_large(max: usize) -> Fault {
    let message = format!("The request body is larger than {} MiB.", max >> 20);
    Fault::client(413, Some("request_too_large"), None, message)
}

pub(super) fn no_room() -> Fault {
    Fault::overloaded("The gateway holds as many bytes of prompts as its memory limit allows.")
}
