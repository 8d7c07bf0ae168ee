//! Respond: the head that a client gets with its answer, and the close of a unary call's account.

use super::{
    Exchange,
    attempt::{Answer, Committed},
    stream::ReplyStream,
};
use crate::{
    body::Reply,
    ledger::Ledger,
    names,
    record::{attempts_header, header_value, usd},
    text,
};
use http::{HeaderMap, HeaderValue, Response, header};
use outrigger_core::{Class, Dialect, Tick};

/// The response to a committed call.
pub(super) fn respond(exchange: Exchange, mut ledger: Ledger, rule: HeaderValue, committed: Committed, deadline: Tick) -> Response<Reply> {
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.reserve(12);
    headers.insert(&names::ROUTE, rule);
    stamp(headers, &exchange);
    describe(headers, &ledger);
    let now = exchange.app.now();
    headers.insert(&names::SERVER_TIMING, server_timing(&ledger, committed.at, now));
    match committed.answer {
        Answer::Unary { body, report } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            ledger.report = report;
            if let Some(cost) = ledger.bill().cost {
                headers.insert(&names::COST, header_value(usd(cost)));
            }
            ledger.settle(Class::Ok);
            head.map(|()| Reply::Whole(Some(body)))
        }
        Answer::Stream { held, relay, source } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(&names::ACCEL_BUFFERING, HeaderValue::from_static("no"));
            let stream = ReplyStream::new(exchange, ledger, (committed.at, committed.between), deadline, source).relayed(held, relay);
            head.map(|()| Reply::Stream(Box::new(stream)))
        }
        Answer::Oversized { held, source } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let stream = ReplyStream::new(exchange, ledger, (committed.at, committed.between), deadline, source).raw(held);
            head.map(|()| Reply::Stream(Box::new(stream)))
        }
    }
}

/// The request's id, in the header that the client's SDK looks for.
pub(crate) fn stamp(headers: &mut HeaderMap, exchange: &Exchange) {
    let id = exchange.id.header();
    if exchange.dialect == Dialect::Anthropic {
        headers.insert(&names::REQUEST_ID, id.clone());
    }
    headers.insert(&names::X_REQUEST_ID, id);
}

fn describe(headers: &mut HeaderMap, ledger: &Ledger) {
    if let Some(served) = &ledger.served {
        headers.insert(&names::PROVIDER, served.target.provider.shown.clone());
        let model = served.target.shown_model.clone();
        headers.insert(&names::MODEL, model.unwrap_or_else(|| header_value(served.model.to_string())));
    }
    headers.insert(&names::ATTEMPTS, header_value(attempts_header(&ledger.attempts)));
}

/// What the gateway itself took, and what it waited for providers, milliseconds.
fn server_timing(ledger: &Ledger, received: Tick, now: Tick) -> HeaderValue {
    let sent = ledger.first_sent.unwrap_or(received);
    let provider = received.0.saturating_sub(sent.0);
    let gateway = now.0.saturating_sub(ledger.accepted.0).saturating_sub(provider);
    let mut out = String::with_capacity(48);
    out.push_str("outrigger;dur=");
    text::push_ms(&mut out, gateway);
    out.push_str(", provider;dur=");
    text::push_ms(&mut out, provider);
    header_value(out)
}
