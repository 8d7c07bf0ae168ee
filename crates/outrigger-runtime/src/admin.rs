//! The admin port: a small HTTP/1.1 server for health, metrics and whatever pages the caller has. GET and HEAD only; it never waits for
//! anything but its client, and for that not long.

use crate::{Draining, Metrics, Tasks, listen::Listener, metrics};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Connections at once: a scraper, a kubelet, a person.
const CONNECTIONS: usize = 64;
/// How long one connection may live; scrapers open another.
const LIFE: Duration = Duration::from_secs(60);

/// A page: content type and body, with its status.
#[derive(Debug)]
pub struct Page {
    /// Status code.
    pub status: StatusCode,
    /// Content type.
    pub content_type: &'static str,
    /// Body.
    pub body: String,
}

/// Serves `listener` until the drain's forced phase: probes have to be answered while calls finish. `pages` answers a path, `None` = 404; `/metrics` is
/// `metrics` after `refresh` has brought gauges up to date.
pub async fn serve(
    listener: Listener,
    metrics: Metrics,
    refresh: impl Fn() + Send + Sync + 'static,
    pages: impl Fn(&str) -> Option<Page> + Send + Sync + 'static,
    tasks: Tasks,
    mut draining: Draining,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let site = Arc::new(Site { metrics, refresh, pages });
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = tokio::select! {
            () = draining.forced() => return,
            stream = listener.accept() => stream,
        };
        let site = Arc::clone(&site);
        tasks.background("admin", async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = site.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new().max_buf_size(16 << 10).serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(LIFE, connection).await;
            drop(place);
        });
    }
}

struct Site<R, P> {
    metrics: Metrics,
    refresh: R,
    pages: P,
}

impl<R: Fn(), P: Fn(&str) -> Option<Page>> Site<R, P> {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".to_owned());
        }
        if request.uri().path() == "/metrics" {
            (self.refresh)();
            return match self.metrics.encode() {
                Ok(text) => respond(StatusCode::OK, metrics::CONTENT_TYPE, text),
                Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n".to_owned()),
            };
        }
        match (self.pages)(request.uri().path()) {
            Some(page) => respond(page.status, page.content_type, page.body),
            None => respond(StatusCode::NOT_FOUND, "text/plain", "no such page\n".to_owned()),
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
