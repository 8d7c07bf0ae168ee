//! Respond: the head that a client gets with its answer, and the close of a unary call's account.

use super::{
    Exchange,
    attempt::{Answer, Committed},
    stream::ReplyStream,
};
use crate::{
    body::Reply,
    ledger::Ledger,
    record::{attempts_header, usd},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use outrigger_core::{Class, Dialect, Tick};

/// The response to a committed call.
pub(super) fn respond(exchange: Exchange, mut ledger: Ledger, rule: HeaderValue, committed: Committed, deadline: Tick) -> Response<Reply> {
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.reserve(12);
    headers.insert("x-outrigger-route", rule);
    stamp(headers, &exchange);
    describe(headers, &ledger);
    let now = exchange.app.now();
    headers.insert("server-timing", server_timing(&ledger, committed.at, now));
    match committed.answer {
        Answer::Unary { body, report } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            ledger.report = report;
            if let Some(Ok(cost)) = ledger.bill().cost.map(|cost| HeaderValue::from_str(&usd(cost))) {
                headers.insert("x-outrigger-cost-usd", cost);
            }
            ledger.settle(Class::Ok);
            head.map(|()| Reply::Whole(Some(body)))
        }
        Answer::Stream { held, relay, source } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
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
    if let Ok(id) = HeaderValue::from_str(&exchange.id) {
        if exchange.dialect == Dialect::Anthropic {
            headers.insert("request-id", id.clone());
        }
        headers.insert("x-request-id", id);
    }
}

fn describe(headers: &mut HeaderMap, ledger: &Ledger) {
    if let Some(served) = &ledger.served {
        if let Ok(provider) = HeaderValue::from_str(&served.target.provider.label) {
            headers.insert("x-outrigger-provider", provider);
        }
        if let Ok(model) = HeaderValue::from_str(&served.model) {
            headers.insert("x-outrigger-model", model);
        }
    }
    if let Ok(attempts) = HeaderValue::from_str(&attempts_header(&ledger.attempts)) {
        headers.insert("x-outrigger-attempts", attempts);
    }
}

/// What the gateway itself took, and what it waited for providers, milliseconds.
fn server_timing(ledger: &Ledger, received: Tick, now: Tick) -> HeaderValue {
    let sent = ledger.first_sent.unwrap_or(received);
    let provider = received.since(sent);
    let gateway = now.since(ledger.accepted).saturating_sub(provider);
    let text = format!(
        "outrigger;dur={:.3}, provider;dur={:.3}",
        gateway.as_secs_f64() * 1e3,
        provider.as_secs_f64() * 1e3
    );
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}
