//! The HTTPS side: reads one review, answers it, and does what has to be done beside. Bodies, connections and every wait have an end.

use super::{
    Shared,
    tls::{self, Credentials},
};
use crate::{
    desired::Told,
    inject::{Answer, Entry, NO_ROUTES, answer},
    metrics::Outcome,
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::api::core::v1::ObjectReference;
use outrigger_runtime::{Draining, Listeners};
use outrigger_snapshot::SECRET_NAME;
use serde_json::Value;
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_rustls::TlsAcceptor;

/// An API server sends objects of up to 3 MiB, and a review holds little more than one.
const LARGEST: usize = 3 << 20;
/// Connections at a time; one more is closed at once.
const CONNECTIONS: usize = 256;
/// Events on their way at a time; what is more is not told.
const EVENTS: usize = 16;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// For a body; the API server itself gives up after as much.
const BODY: Duration = Duration::from_secs(5);
/// Longer than API servers keep an idle connection, so that it is they who close it.
const IDLE: Duration = Duration::from_secs(150);
/// After the process was asked to end, API servers still call for as long as they do not know.
const LINGER: Duration = Duration::from_secs(5);
const PATHS: [(&str, Entry); 2] = [("/inject", Entry::Pod), ("/inject/namespace", Entry::Namespace)];

/// Serves until the process drains for good.
pub(super) async fn serve(mut listeners: Listeners, credentials: Arc<Credentials>, shared: Arc<Shared>, mut draining: Draining) {
    let acceptor = match tls::acceptor(credentials) {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(%error, "no TLS, so no webhook"),
    };
    let mut lingering = Some(draining.hold());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let events = Arc::new(Semaphore::new(EVENTS));
    let mut left = pin!(async {
        draining.graceful().await;
        tokio::time::sleep(LINGER).await;
    });
    loop {
        let stream = tokio::select! {
            (stream, _) = listeners.accept() => stream,
            // Goes on after it, for as long as it is let.
            () = &mut left, if lingering.is_some() => {
                lingering = None;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (acceptor, shared, events) = (acceptor.clone(), Arc::clone(&shared), Arc::clone(&events));
        let tasks = shared.tasks.clone();
        tasks.background("webhook connection", async move {
            let _place = place;
            connection(stream, acceptor, shared, events).await;
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>, events: Arc<Semaphore>) {
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return untrusted(&error),
        Err(_) => return,
    };
    let service = service_fn(|request| {
        let (shared, events) = (Arc::clone(&shared), Arc::clone(&events));
        async move { Ok::<_, Infallible>(respond(request, shared, &events).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(64 * 1_024);
    // Errors here are the client's own doing.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// An API server that does not trust us says so to whoever made the pod, and here is the other side of it. Anything else that comes to the port
/// is no news.
fn untrusted(error: &std::io::Error) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    if matches!(cause, Some(rustls::Error::AlertReceived(_))) {
        tracing::warn!(%error, "whoever called the webhook does not trust its certificate");
    } else {
        tracing::debug!(%error, "a TLS handshake of the webhook failed");
    }
}

async fn respond(request: Request<Incoming>, shared: Arc<Shared>, events: &Arc<Semaphore>) -> Response<Full<Bytes>> {
    let entry = PATHS
        .iter()
        .find(|(path, _)| *path == request.uri().path())
        .map(|(_, entry)| *entry);
    let Some(entry) = entry.filter(|_| request.method() == Method::POST) else {
        return text(StatusCode::NOT_FOUND, "POST an AdmissionReview to /inject");
    };
    let body = match tokio::time::timeout(BODY, Limited::new(request.into_body(), LARGEST).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return bad(
                &shared,
                StatusCode::PAYLOAD_TOO_LARGE,
                "the review did not come whole, or has more than 3 MiB",
            );
        }
        Err(_) => return bad(&shared, StatusCode::REQUEST_TIMEOUT, "the review did not come in time"),
    };
    let Ok(review) = serde_json::from_slice::<Value>(&body) else {
        return bad(&shared, StatusCode::BAD_REQUEST, "this is no JSON");
    };
    drop(body);
    let decided = match answer(&review, entry, &shared.sidecar, |namespace| shared.facts(namespace)) {
        Ok(decided) => decided,
        Err(why) => return bad(&shared, StatusCode::BAD_REQUEST, why),
    };
    let allowed = decided.review.pointer("/response/allowed") == Some(&Value::Bool(true));
    shared.counts.reviewed(match (allowed, decided.injected) {
        (true, true) => Outcome::Injected,
        (true, false) => Outcome::Left,
        (false, _) => Outcome::Denied,
    });
    if decided.injected && !decided.dry_run {
        beside(&shared, &decided, events).await;
    }
    json(decided.review.to_string())
}

/// What an admission has to bring about. An Event is not waited for; the Secret is, for the pod's mount would.
async fn beside(shared: &Arc<Shared>, decided: &Answer, events: &Arc<Semaphore>) {
    let namespace = decided.namespace.as_str();
    if shared.cluster.synced() && shared.cluster.secrets.find(namespace, SECRET_NAME).is_none() {
        shared.claims.claim(namespace).await;
    }
    let told = told(decided);
    if told.is_empty() {
        return;
    }
    let Ok(place) = Arc::clone(events).try_acquire_owned() else {
        return tracing::warn!(namespace, ?told, "too many Events at once: this is not told");
    };
    let Ok(about) = serde_json::from_value::<ObjectReference>(decided.subject.clone()) else {
        return;
    };
    let shared = Arc::clone(shared);
    let tasks = shared.tasks.clone();
    tasks.background("events of an admission", async move {
        let _place = place;
        for told in &told {
            shared.teller.say(&about, told, shared.clock.unix_ms()).await;
        }
    });
}

/// What nobody would learn from warnings: those of a workload's pods reach nobody.
fn told(decided: &Answer) -> Vec<Told> {
    let warning = |reason: &str, message: String| Told {
        warning: true,
        reason: reason.to_owned(),
        message,
        once: false,
    };
    let found: Vec<String> = decided
        .bypassed
        .iter()
        .map(|found| format!("{} in container {}", found.variable, found.container))
        .collect();
    let bypassed = (!found.is_empty()).then(|| {
        let message = format!(
            "{} leads past the sidecar and is kept: its calls are not routed. Remove it, or leave it on purpose.",
            found.join(", ")
        );
        warning("SidecarBypassed", message)
    });
    let routeless = (!decided.routes).then(|| warning("NoRoutes", NO_ROUTES.to_owned()));
    bypassed.into_iter().chain(routeless).collect()
}

fn bad(shared: &Shared, status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    shared.counts.reviewed(Outcome::Bad);
    tracing::warn!(%status, why, "something came to the webhook that is no review");
    text(status, why)
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}

fn json(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
