//! The demo's callers: what an application with unmodified SDKs would send, on keep-alive connections, unary and streamed.

use super::report::Sample;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use outrigger_proxy::{Admin, Page};
use outrigger_runtime::{Clock, Tasks};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// Callers at work at once.
pub(super) const CALLERS: usize = 12;

/// What one caller needs.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) number: usize,
    pub(super) data: SocketAddr,
    pub(super) admin: Admin,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

/// One kind of call in the mix.
struct Kind {
    path: &'static str,
    model: &'static str,
    task: Option<&'static str>,
    stream: bool,
    prompt: &'static str,
}

/// The mix: mostly triage, as a support desk has it.
const MIX: [Kind; 6] = [
    Kind {
        path: "/v1/chat/completions",
        model: "triage",
        task: Some("extraction"),
        stream: false,
        prompt: "Which product does this ticket name?",
    },
    Kind {
        path: "/v1/chat/completions",
        model: "assistant",
        task: None,
        stream: true,
        prompt: "How do I reset my password?",
    },
    Kind {
        path: "/v1/chat/completions",
        model: "triage",
        task: None,
        stream: false,
        prompt: "Is this ticket urgent? My invoice is wrong.",
    },
    Kind {
        path: "/v1/messages",
        model: "assistant",
        task: None,
        stream: true,
        prompt: "Write a kind answer to a customer whose parcel is lost.",
    },
    Kind {
        path: "/v1/chat/completions",
        model: "assistant",
        task: None,
        stream: false,
        prompt: "Summarise this thread in two sentences.",
    },
    Kind {
        path: "/v1/embeddings",
        model: "text-embedding-3-small",
        task: None,
        stream: false,
        prompt: "parcel lost in transit",
    },
];

impl Caller {
    /// Calls until `until`, microseconds of the clock, and hands each sample to `tell`.
    pub(super) async fn work(self, phase: &'static str, until: u64, tell: tokio::sync::mpsc::UnboundedSender<Sample>) {
        let mut connection = None;
        for turn in 0.. {
            if self.clock.now_us() >= until {
                return;
            }
            let kind = MIX.get((self.number + turn) % MIX.len()).unwrap_or(&MIX[0]);
            let started = self.clock.now_us();
            let id = self.call(&mut connection, kind).await;
            let took = Duration::from_micros(self.clock.now_us() - started);
            let record = match id.as_ref().and_then(|id| self.admin.page(&format!("/requests/{id}"), true)) {
                Some(Page::Json(record)) => record,
                _ => Value::Null,
            };
            if tell
                .send(Sample {
                    phase,
                    ok: id.is_some(),
                    took,
                    record,
                })
                .is_err()
            {
                return;
            }
        }
    }

    /// One call; the request's id where its answer came whole, else the connection is not used again.
    async fn call(&self, connection: &mut Option<SendRequest<Full<Bytes>>>, kind: &Kind) -> Option<String> {
        let mut sender = match connection.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        let response = sender.send_request(kind.request()?).await.ok()?;
        let id = response.headers().get("x-request-id")?.to_str().ok()?.to_owned();
        let ok = response.status().is_success();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        sender.ready().await.ok()?;
        *connection = Some(sender);
        (ok && kind.whole(&body)).then_some(id)
    }

    async fn connect(&self) -> Option<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.data).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await.ok()?;
        self.tasks.background("demo client", async move {
            let _ = driver.await;
        });
        Some(sender)
    }
}

impl Kind {
    fn request(&self) -> Option<Request<Full<Bytes>>> {
        let body = if self.path.ends_with("embeddings") {
            json!({ "model": self.model, "input": self.prompt })
        } else {
            let messages = json!([{ "role": "user", "content": self.prompt }]);
            json!({ "model": self.model, "max_tokens": 200, "stream": self.stream, "messages": messages })
        };
        let mut request = Request::post(self.path)
            .header("host", "127.0.0.1")
            .header("content-type", "application/json");
        if let Some(task) = self.task {
            request = request.header("x-outrigger-task", task);
        }
        request.body(Full::new(body.to_string().into())).ok()
    }

    /// Whether the answer is what an SDK would take for a whole one.
    fn whole(&self, body: &Bytes) -> bool {
        if !self.stream {
            return serde_json::from_slice::<Value>(body).is_ok_and(|answer| answer.get("error").is_none());
        }
        let text = String::from_utf8_lossy(body);
        let ends = if self.path.ends_with("messages") {
            text.contains("event: message_stop")
        } else {
            text.trim_end().ends_with("data: [DONE]")
        };
        ends && !text.contains("\"error\"")
    }
}
