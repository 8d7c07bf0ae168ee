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
    record::{header_value, push_attempts, push_usd},
    text::{self, Values},
};
use http::{HeaderMap, HeaderValue, Response, header};
use outrigger_core::{Class, Dialect, PicoUsd, Tick};

/// The response to a committed call.
pub(super) fn respond(exchange: Exchange, mut ledger: Ledger, rule: HeaderValue, committed: Committed, deadline: Tick) -> Response<Reply> {
    let Committed { answer, between, at, .. } = committed;
    let times = (at, exchange.app.now());
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.reserve(12);
    headers.insert(&names::ROUTE, rule);
    stamp(headers, &exchange);
    let reply = match answer {
        Answer::Unary { body, report } => {
            ledger.report = report;
            describe(headers, &ledger, times, ledger.bill().cost);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            ledger.settle(Class::Ok);
            Reply::Whole(Some(body))
        }
        Answer::Stream { held, relay, source } => {
            describe(headers, &ledger, times, None);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(&names::ACCEL_BUFFERING, HeaderValue::from_static("no"));
            let stream = ReplyStream::new(exchange, ledger, (at, between), deadline, source).relayed(held, relay);
            Reply::Stream(Box::new(stream))
        }
        Answer::Oversized { held, source } => {
            describe(headers, &ledger, times, None);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let stream = ReplyStream::new(exchange, ledger, (at, between), deadline, source).raw(held);
            Reply::Stream(Box::new(stream))
        }
    };
    head.map(|()| reply)
}

/// The request's id, in the header that the client's SDK looks for.
pub(crate) fn stamp(headers: &mut HeaderMap, exchange: &Exchange) {
    let id = exchange.id.header();
    if exchange.dialect == Dialect::Anthropic {
        headers.insert(&names::REQUEST_ID, id.clone());
    }
    headers.insert(&names::X_REQUEST_ID, id);
}

/// Who answered, after which attempts, how fast, and where it is known already at what cost.
fn describe(headers: &mut HeaderMap, ledger: &Ledger, (received, now): (Tick, Tick), cost: Option<PicoUsd>) {
    let mut values = Values::new();
    let attempts = values.add(|out| push_attempts(out, &ledger.attempts));
    let timing = values.add(|out| push_timing(out, ledger, received, now));
    let cost = cost.map(|cost| values.add(|out| push_usd(out, cost)));
    let value = values.done();
    if let Some(served) = &ledger.served {
        headers.insert(&names::PROVIDER, served.target.provider.shown.clone());
        let model = served.target.shown_model.clone();
        headers.insert(&names::MODEL, model.unwrap_or_else(|| header_value(served.model.to_string())));
    }
    headers.insert(&names::ATTEMPTS, value(attempts));
    headers.insert(&names::SERVER_TIMING, value(timing));
    if let Some(cost) = cost {
        headers.insert(&names::COST, value(cost));
    }
}

/// What the gateway itself took, and what it waited for providers, milliseconds.
fn push_timing(out: &mut String, ledger: &Ledger, received: Tick, now: Tick) {
    let sent = ledger.first_sent.unwrap_or(received);
    let provider = received.0.saturating_sub(sent.0);
    let gateway = now.0.saturating_sub(ledger.accepted.0).saturating_sub(provider);
    out.push_str("outrigger;dur=");
    text::push_ms(out, gateway);
    out.push_str(", provider;dur=");
    text::push_ms(out, provider);
}
