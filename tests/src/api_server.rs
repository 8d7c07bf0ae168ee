//! An API server that knows one ConfigMap and does what a test tells it: lists, watches, bookmarks, versions that are too old, refusals. It
//! speaks HTTP/2 over TLS, as the real one does, and asks for the token.

use crate::tls::acceptor;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use outrigger_snapshot::CONFIG_MAP_NAME;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

/// A scripted API server; ends with its drop.
#[derive(Debug)]
pub struct ApiServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What to trust it by.
    pub ca_pem: String,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    data: Option<BTreeMap<String, String>>,
    version: u64,
    /// Every request is answered with this.
    refuse: Option<StatusCode>,
    /// Watches from before this version are too old.
    oldest: u64,
    watches: Vec<mpsc::UnboundedSender<Bytes>>,
    requests: Vec<String>,
}

impl ApiServer {
    /// The only token that it takes.
    pub const TOKEN: &'static str = "token-of-the-pod";

    /// A server without a ConfigMap.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start() -> Self {
        let (acceptor, ca_pem) = acceptor(&[b"h2"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            version: 100,
            ..State::default()
        }));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        std::future::ready(Ok::<_, Infallible>(lock(&shared).answer(&request)))
                    });
                    let _ = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            ca_pem,
            state,
            _tasks: tasks,
        }
    }

    /// Makes or changes the ConfigMap.
    pub fn put(&self, data: BTreeMap<String, String>) {
        let mut state = lock(&self.state);
        state.version += 1;
        let kind = if state.data.is_some() { "MODIFIED" } else { "ADDED" };
        state.data = Some(data);
        let object = state.object();
        state.tell(kind, &object);
    }

    /// Deletes the ConfigMap.
    pub fn delete(&self) {
        let mut state = lock(&self.state);
        state.version += 1;
        let object = state.object();
        state.data = None;
        state.tell("DELETED", &object);
    }

    /// Other objects change: a bookmark tells how far.
    pub fn bookmark(&self) {
        let mut state = lock(&self.state);
        state.version += 10;
        let version = state.version.to_string();
        state.tell(
            "BOOKMARK",
            &json!({ "kind": "ConfigMap", "metadata": { "resourceVersion": version } }),
        );
    }

    /// Every version up to now is too old; with `midway` the open watches are told as well.
    pub fn compact(&self, midway: bool) {
        let mut state = lock(&self.state);
        state.version += 1;
        state.oldest = state.version;
        if midway {
            state.tell(
                "ERROR",
                &json!({ "kind": "Status", "status": "Failure", "reason": "Expired", "code": 410 }),
            );
        }
    }

    /// Ends the open watches in good order.
    pub fn end_watches(&self) {
        lock(&self.state).watches.clear();
    }

    /// Answers every request with this status, or as it should.
    pub fn refuse(&self, status: Option<u16>) {
        lock(&self.state).refuse = status.and_then(|status| StatusCode::from_u16(status).ok());
    }

    /// Path and query of every request, oldest first.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.state).requests.clone()
    }

    /// Waits until somebody watches.
    ///
    /// # Panics
    /// After a minute.
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    pub async fn watched(&self) {
        for _ in 0..6_000 {
            if lock(&self.state).watches.iter().any(|watch| !watch.is_closed()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("nobody watches");
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

type Answer = Response<Either<Full<Bytes>, Stream>>;

impl State {
    fn answer<B>(&mut self, request: &Request<B>) -> Answer {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        self.requests.push(path.clone());
        let authorized = request
            .headers()
            .get("authorization")
            .is_some_and(|value| value == &format!("Bearer {}", ApiServer::TOKEN));
        if !authorized {
            return plain(StatusCode::UNAUTHORIZED, &json!({ "kind": "Status", "code": 401 }));
        }
        if let Some(status) = self.refuse {
            return plain(status, &json!({ "kind": "Status", "code": status.as_u16() }));
        }
        let query: BTreeMap<&str, &str> = path
            .split_once('?')
            .map_or("", |(_, query)| query)
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let ours = format!("metadata.name%3D{CONFIG_MAP_NAME}");
        let place = format!("/api/v1/namespaces/{}/configmaps", crate::NAMESPACE);
        if request.uri().path() != place || query.get("fieldSelector") != Some(&ours.as_str()) {
            // What a sidecar's role does not allow.
            return plain(StatusCode::FORBIDDEN, &json!({ "kind": "Status", "code": 403 }));
        }
        if query.get("watch") != Some(&"true") {
            let items: Vec<Value> = self.data.iter().map(|_| self.object()).collect();
            return plain(
                StatusCode::OK,
                &json!({ "kind": "ConfigMapList", "metadata": { "resourceVersion": self.version.to_string() }, "items": items }),
            );
        }
        let from: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        if from < self.oldest {
            return plain(StatusCode::GONE, &json!({ "kind": "Status", "code": 410 }));
        }
        let (tell, told) = mpsc::unbounded_channel();
        // What has changed between the list and this watch.
        if self.data.is_some() && self.version > from {
            let _ = tell.send(line("MODIFIED", &self.object()));
        }
        self.watches.retain(|watch| !watch.is_closed());
        self.watches.push(tell);
        Response::new(Either::Right(Stream(told)))
    }

    fn object(&self) -> Value {
        json!({
            "kind": "ConfigMap",
            "metadata": { "name": CONFIG_MAP_NAME, "namespace": crate::NAMESPACE, "resourceVersion": self.version.to_string() },
            "data": self.data,
        })
    }

    fn tell(&mut self, kind: &str, object: &Value) {
        let line = line(kind, object);
        self.watches.retain(|watch| watch.send(line.clone()).is_ok());
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({ "type": kind, "object": object })).into()
}

fn plain(status: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body.to_string().into())));
    *response.status_mut() = status;
    response
}

/// The body of a watch: goes on until its other end is dropped.
struct Stream(mpsc::UnboundedReceiver<Bytes>);

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
