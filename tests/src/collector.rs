//! A collector of traces that does what a test tells it: takes spans, refuses them, falls silent, talks nonsense.

use crate::tls::acceptor;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message as _;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};

/// What a collector does with a batch.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Takes it, all but so many spans.
    Take(i64),
    /// Answers with this status, once, and takes the next.
    RefuseOnce(u16),
    /// Answers with this status.
    Refuse(u16),
    /// Answers 200 with what is no message.
    Babble,
    /// Never answers.
    Hang,
}

/// A scripted collector; ends with its drop.
#[derive(Debug)]
pub struct Collector {
    /// Its base URL, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub url: String,
    /// What to trust it by, where it speaks TLS.
    pub ca_pem: String,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    reaction: Reaction,
    /// Every batch that came, whatever became of it.
    batches: Vec<(String, HeaderMap, ExportTraceServiceRequest)>,
}

impl Collector {
    /// A collector without TLS.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub async fn start(reaction: Reaction) -> Self {
        Self::listen(reaction, false).await
    }

    /// A collector behind TLS.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub async fn start_tls(reaction: Reaction) -> Self {
        Self::listen(reaction, true).await
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    async fn listen(reaction: Reaction, secure: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (acceptor, ca_pem) = acceptor(&[b"http/1.1"]);
        let state = Arc::new(Mutex::new(State {
            reaction,
            batches: Vec::new(),
        }));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    if !secure {
                        serve(stream, shared).await;
                    } else if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, shared).await;
                    }
                });
            }
        });
        Self {
            url: url(address, secure),
            ca_pem,
            state,
            _tasks: tasks,
        }
    }

    /// Does something else from now on.
    pub fn react(&self, reaction: Reaction) {
        lock(&self.state).reaction = reaction;
    }

    /// How many batches came, whatever became of them.
    pub fn batches(&self) -> usize {
        lock(&self.state).batches.len()
    }

    /// The path and the headers of the last batch.
    pub fn last(&self) -> Option<(String, HeaderMap)> {
        let state = lock(&self.state);
        state.batches.last().map(|(path, headers, _)| (path.clone(), headers.clone()))
    }

    /// All spans that came, each with its resource's attributes as JSON.
    pub fn spans(&self) -> Vec<(Value, Span)> {
        let state = lock(&self.state);
        let resources = state.batches.iter().flat_map(|(_, _, batch)| &batch.resource_spans);
        resources
            .flat_map(|of_resource| {
                let attributes = of_resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
                let who = object(attributes);
                let spans = of_resource.scope_spans.iter().flat_map(|of_scope| &of_scope.spans);
                spans.map(move |span| (who.clone(), span.clone()))
            })
            .collect()
    }

    /// Waits for so many spans and returns all that came.
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait(&self, spans: usize) -> Vec<(Value, Span)> {
        self.until(|this| this.spans().len() >= spans).await;
        self.spans()
    }

    /// Waits for so many batches.
    ///
    /// # Panics
    /// After a minute.
    pub async fn wait_batches(&self, batches: usize) {
        self.until(|this| this.batches() >= batches).await;
    }

    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    async fn until(&self, done: impl Fn(&Self) -> bool) {
        for _ in 0..6_000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never came: {} batches, {} spans", self.batches(), self.spans().len());
    }

    /// Whether these bytes are anywhere in what came, headers aside.
    pub fn has(&self, bytes: &str) -> bool {
        let state = lock(&self.state);
        let mut encoded = state.batches.iter().map(|(_, _, batch)| batch.encode_to_vec());
        encoded.any(|batch| batch.windows(bytes.len()).any(|window| window == bytes.as_bytes()))
    }
}

/// A span's attribute; null where it has none of this name.
pub fn attribute(span: &Span, name: &str) -> Value {
    object(&span.attributes).get(name).cloned().unwrap_or_default()
}

fn url(address: SocketAddr, secure: bool) -> String {
    format!("http{}://{address}", if secure { "s" } else { "" })
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let Ok(batch) = ExportTraceServiceRequest::decode(body) else {
        return status(400);
    };
    let reaction = {
        let mut state = lock(state);
        state.batches.push((head.uri.path().to_owned(), head.headers, batch));
        if matches!(state.reaction, Reaction::RefuseOnce(_)) {
            std::mem::replace(&mut state.reaction, Reaction::Take(0))
        } else {
            state.reaction.clone()
        }
    };
    match reaction {
        Reaction::Take(rejected_spans) => {
            let partial = ExportTracePartialSuccess {
                rejected_spans,
                error_message: String::new(),
            };
            let answer = ExportTraceServiceResponse {
                partial_success: (rejected_spans != 0).then_some(partial),
            };
            Response::new(Full::from(answer.encode_to_vec()))
        }
        Reaction::RefuseOnce(code) | Reaction::Refuse(code) => status(code),
        Reaction::Babble => Response::new(Full::from("<html>welcome to the proxy</html>")),
        Reaction::Hang => std::future::pending().await,
    }
}

fn status(code: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response
}

fn object(attributes: &[KeyValue]) -> Value {
    let pairs = attributes
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Value::Null, plain)));
    Value::Object(pairs.collect())
}

fn plain(value: &AnyValue) -> Value {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(yes)) => json!(yes),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::ArrayValue(array)) => array.values.iter().map(plain).collect(),
        _ => Value::Null,
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
