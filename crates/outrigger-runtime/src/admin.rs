//! The admin port: health, metrics and whatever routes a process adds, over HTTP/1.1. It reads nothing but request heads, and no number
//! of slow or idle clients can take more than its fixed share of connections and time.

use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::{Draining, Listeners, Tasks};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Connections at a time; one more is closed at once.
const CONNECTIONS: usize = 64;
/// Longest wait for a request's head, idle time before it included.
const HEAD: Duration = Duration::from_secs(30);
/// After this a connection finishes its request and closes; a client that does not even read is cut [`LAST`] later.
const AGE: Duration = Duration::from_mins(5);
const LAST: Duration = Duration::from_secs(10);

/// What a route answers with.
pub type Answer = Response<Full<Bytes>>;

/// The caller's routes: an answer to a GET or HEAD, or `None` for a path that is none of its own.
pub type Routes = Arc<dyn Fn(&Parts) -> Option<Answer> + Send + Sync>;

/// Serves `routes`, and `/metrics` from `metrics`, until the process drains for good: probes are answered during the graceful phase.
pub async fn serve(mut listeners: Listeners, metrics: Metrics, routes: Routes, tasks: Tasks, draining: Draining) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut forced = draining.clone();
    let mut forced = pin!(forced.forced());
    loop {
        let stream = tokio::select! {
            (stream, _) = listeners.accept() => stream,
            () = &mut forced => return,
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (metrics, routes) = (metrics.clone(), routes.clone());
        let mut draining = draining.clone();
        tasks.background("admin connection", async move {
            let _place = place;
            tokio::select! {
                () = connection(stream, &metrics, &routes) => {}
                () = draining.forced() => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, metrics: &Metrics, routes: &Routes) {
    let service = service_fn(|request: Request<_>| {
        let parts = request.into_parts().0;
        ready(Ok::<_, Infallible>(answer(&parts, metrics, routes)))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 * 1_024);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // Errors here are the client's own doing.
    if tokio::time::timeout(AGE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(LAST, connection).await;
    }
}

fn answer(parts: &Parts, metrics: &Metrics, routes: &Routes) -> Answer {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if parts.uri.path() == "/metrics" {
        return match metrics.encode() {
            Ok(families) => typed(StatusCode::OK, CONTENT_TYPE, families),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be encoded\n"),
        };
    }
    routes(parts).unwrap_or_else(|| text(StatusCode::NOT_FOUND, "not found\n"))
}

/// A plain-text answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", body)
}

/// A JSON answer; `body` is the document.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, "application/json", body)
}

fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests;
