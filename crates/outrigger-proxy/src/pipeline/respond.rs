//! Respond: the head that a client gets with its answer, and the close of a unary call's account.

use super::{
    Exchange,
    attempt::{Answer, Committed},
    stream::ReplyStream,
};
use crate::{
    body::Reply,
    ledger::{Ledger, Served},
    names,
    record::{header_value, push_attempts, push_usd},
    text::{self, Values},
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use outrigger_core::{Class, Dialect, PicoUsd, Tick};
use std::sync::LazyLock;

/// The headers whose values depend on the call.
const TOLD: [&HeaderName; 7] = [
    &names::ROUTE,
    &names::X_REQUEST_ID,
    &names::PROVIDER,
    &names::MODEL,
    &names::ATTEMPTS,
    &names::SERVER_TIMING,
    &names::COST,
];

/// The head of an answer with a place for each value: to put names into a map costs more than to copy one.
struct Form(HeaderMap);

static WHOLE: LazyLock<Form> = LazyLock::new(|| Form::new(&[(header::CONTENT_TYPE, "application/json")]));
static STREAMED: LazyLock<Form> = LazyLock::new(|| {
    Form::new(&[
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (names::ACCEL_BUFFERING.clone(), "no"),
    ])
});

impl Form {
    fn new(always: &[(HeaderName, &'static str)]) -> Self {
        let told = TOLD.into_iter().map(|name| (name.clone(), ""));
        let all = told.chain(always.iter().cloned());
        Self(all.map(|(name, value)| (name, HeaderValue::from_static(value))).collect())
    }

    /// The head with `values`, in the order of [`TOLD`]; what is absent is not in it.
    fn with(&self, values: [Option<HeaderValue>; TOLD.len()]) -> HeaderMap {
        let mut head = self.0.clone();
        let absent = values.each_ref().map(Option::is_none);
        // A map that nothing was taken out of is walked in the order in which it was filled.
        for (place, value) in head.values_mut().zip(values) {
            if let Some(value) = value {
                *place = value;
            }
        }
        for (name, _) in TOLD.into_iter().zip(absent).filter(|(_, absent)| *absent) {
            head.remove(name);
        }
        head
    }
}

/// The response to a committed call.
pub(super) fn respond(exchange: Exchange, mut ledger: Ledger, rule: HeaderValue, committed: Committed, deadline: Tick) -> Response<Reply> {
    let Committed {
        mut answer, between, at, ..
    } = committed;
    let now = exchange.app.now();
    let (form, cost) = match &mut answer {
        Answer::Unary { report, .. } => {
            ledger.report = std::mem::take(report);
            (&WHOLE, ledger.bill().cost)
        }
        Answer::Stream { .. } => (&STREAMED, None),
        Answer::Oversized { .. } => (&WHOLE, None),
    };
    let mut head = form.with(told(&exchange, &ledger, rule, (at, now), cost));
    if exchange.dialect == Dialect::Anthropic {
        let id = head.get(&names::X_REQUEST_ID).cloned();
        head.extend(id.map(|id| (names::REQUEST_ID.clone(), id)));
    }
    let reply = match answer {
        Answer::Unary { body, .. } => {
            ledger.settle(Class::Ok);
            Reply::Whole(Some(body))
        }
        Answer::Stream { held, relay, source } => {
            let stream = ReplyStream::new(exchange, ledger, (at, between), deadline, source).relayed(held, relay);
            Reply::Stream(Box::new(stream))
        }
        Answer::Oversized { held, source } => {
            let stream = ReplyStream::new(exchange, ledger, (at, between), deadline, source).raw(held);
            Reply::Stream(Box::new(stream))
        }
    };
    let mut response = Response::new(reply);
    *response.headers_mut() = head;
    response
}

/// The request's id, in the header that the client's SDK looks for.
pub(crate) fn stamp(headers: &mut HeaderMap, exchange: &Exchange) {
    let id = exchange.id.header();
    if exchange.dialect == Dialect::Anthropic {
        headers.insert(&names::REQUEST_ID, id.clone());
    }
    headers.insert(&names::X_REQUEST_ID, id);
}

/// Who answers, after which attempts, how fast, and where it is known already at what cost: the values of [`TOLD`].
fn told(
    exchange: &Exchange,
    ledger: &Ledger,
    rule: HeaderValue,
    (received, now): (Tick, Tick),
    cost: Option<PicoUsd>,
) -> [Option<HeaderValue>; TOLD.len()] {
    let mut values = Values::new();
    let attempts = values.add(|out| push_attempts(out, &ledger.attempts));
    let timing = values.add(|out| push_timing(out, ledger, received, now));
    let cost = cost.map(|cost| values.add(|out| push_usd(out, cost)));
    let value = values.done();
    let served = ledger.served.as_ref();
    let model = |served: &Served| match &served.target.shown_model {
        Some(fixed) => fixed.clone(),
        None => header_value(served.model.to_string()),
    };
    [
        Some(rule),
        Some(exchange.id.header()),
        served.map(|served| served.target.provider.shown.clone()),
        served.map(model),
        Some(value(attempts)),
        Some(value(timing)),
        cost.map(value),
    ]
}

/// What the gateway itself took, and what it waited for providers, milliseconds.
fn push_timing(out: &mut Vec<u8>, ledger: &Ledger, received: Tick, now: Tick) {
    let sent = ledger.first_sent.unwrap_or(received);
    let provider = received.0.saturating_sub(sent.0);
    let gateway = now.0.saturating_sub(ledger.accepted.0).saturating_sub(provider);
    out.extend_from_slice(b"outrigger;dur=");
    text::push_ms(out, gateway);
    out.extend_from_slice(b", provider;dur=");
    text::push_ms(out, provider);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heads_values_stand_at_their_own_names_and_what_is_not_known_has_none() {
        for form in [&WHOLE, &STREAMED] {
            let value = |at: usize| (at != 2 && at != 6).then(|| HeaderValue::from(at));
            let head = form.with(std::array::from_fn(value));
            for (at, name) in TOLD.into_iter().enumerate() {
                assert_eq!(head.get(name), value(at).as_ref(), "{name}");
            }
            assert_eq!(form.0.len() - head.len(), 2);
        }
        let all = WHOLE.with(std::array::from_fn(|at| Some(HeaderValue::from(at))));
        assert_eq!((all.len(), all[header::CONTENT_TYPE].as_bytes()), (8, &b"application/json"[..]));
        assert_eq!(all[&names::COST], "6");
    }
}
