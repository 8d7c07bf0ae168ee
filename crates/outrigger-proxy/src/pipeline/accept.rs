//! Accept: one request in, one response out. The only place where a fault becomes words in the client's dialect.

use super::{Exchange, admit, attempt, decode, plan, respond};
use crate::{
    app::App,
    body::Reply,
    connection::{Ending, Watch},
    fault::Fault,
    ledger::Ledger,
    listing, passthrough,
    surface::{self, Surface},
    timer::Timer,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{convert::Infallible, pin::pin, sync::Arc};

/// Most bytes of an unwanted body that are read and thrown away, so that the client gets to read its error instead of a reset.
const DISCARDED: usize = 64 << 20;

/// Serves one request; `watch` is told when its answer has left.
pub(crate) async fn serve(
    app: Arc<App>,
    timer: Arc<Timer>,
    watch: Arc<Watch>,
    request: Request<Incoming>,
) -> Result<Response<Ending>, Infallible> {
    let (head, body) = request.into_parts();
    let surface = surface::of(&head.method, head.uri.path());
    let exchange = Exchange::open(app, timer, surface::dialect(&surface, &head.headers));
    let response = match surface {
        Surface::Call(api) => pin!(call(exchange, api, head.headers, body)).await,
        Surface::Models => listing::all(&exchange),
        Surface::Model(id) => match listing::one(&exchange, id) {
            Ok(found) => found,
            Err(fault) => refuse(&exchange, &fault),
        },
        Surface::WrongMethod(allow) => {
            let fault = Fault::wrong_method(allow);
            discard(&exchange, body).await;
            refuse(&exchange, &fault)
        }
        // Boxed: rare, and larger than a routed call.
        Surface::Other => Box::pin(passthrough::serve(exchange, head, body)).await,
    };
    Ok(response.map(|body| Ending { body, watch }))
}

/// A routed call, from its admission to its answer or fault.
async fn call(exchange: Exchange, api: surface::Api, headers: HeaderMap, mut body: Incoming) -> Response<Reply> {
    let mut ledger = match admit::admit(&exchange, api, &headers, &body) {
        Ok(ledger) => ledger,
        Err(fault) => {
            exchange.app.count_unrouted(api, fault.outcome);
            discard(&exchange, body).await;
            return refuse(&exchange, &fault);
        }
    };
    // Boxed: its state is large and gone at the commit, while this future's own stays for as long as a stream lasts.
    let run = Box::write(Box::new_uninit(), run(&exchange, &mut ledger, api, headers, &mut body));
    match Box::into_pin(run).await {
        Ok((committed, rule, deadline)) => respond::respond(exchange, ledger, rule, committed, deadline),
        Err(fault) => {
            let attempts = std::mem::take(&mut ledger.attempts);
            ledger.attempts.clone_from(&attempts);
            ledger.settle(fault.outcome);
            if !fault.close {
                discard(&exchange, body).await;
            }
            let mut response = fault.respond(exchange.dialect, exchange.id, &attempts);
            respond::stamp(response.headers_mut(), &exchange);
            response.map(|bytes| Reply::Whole(Some(bytes)))
        }
    }
}

type Ran = (attempt::Committed, http::HeaderValue, outrigger_core::Tick);

/// The stages up to the commit. The call, and with it the prompt, is gone when this returns.
async fn run(exchange: &Exchange, ledger: &mut Ledger, api: surface::Api, headers: HeaderMap, body: &mut Incoming) -> Result<Ran, Fault> {
    let call = pin!(decode::decode(exchange, ledger, api, headers, body)).await?;
    let mut planned = plan::plan(exchange, ledger, &call)?;
    let deadline = planned.deadline;
    let rule = planned.rule_header();
    let committed = pin!(attempt::drive(exchange, ledger, &call, &mut planned)).await?;
    drop(call);
    ledger.held.shrink(u64::MAX);
    Ok((committed, rule, deadline))
}

pub(crate) fn refuse(exchange: &Exchange, fault: &Fault) -> Response<Reply> {
    let mut response = fault.respond(exchange.dialect, exchange.id, &[]);
    respond::stamp(response.headers_mut(), exchange);
    response.map(|bytes: Bytes| Reply::Whole(Some(bytes)))
}

/// Reads the rest of a body that nobody wants.
pub(crate) async fn discard(exchange: &Exchange, mut body: Incoming) {
    let mut left = DISCARDED;
    let deadline = exchange.app.now().after(exchange.app.settings.stall);
    while left > 0 {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = exchange.timer.until(deadline) => return,
        };
        let Some(Ok(frame)) = frame else { return };
        left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
    }
}
