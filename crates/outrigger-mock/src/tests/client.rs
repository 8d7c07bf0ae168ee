//! A client that keeps its connection, and a raw one that sees every byte.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::{Behaviour, Call, Mock};

/// Long enough that only a bug runs into it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn mock() -> Mock {
    Mock::local().unwrap()
}

pub(crate) fn behaviour(value: Value) -> Behaviour {
    let behaviour: Behaviour = serde_json::from_value(value).unwrap();
    behaviour.check().unwrap();
    behaviour
}

/// A call of which nothing is known.
pub(crate) fn call() -> Call {
    Call {
        number: 0,
        method: String::new(),
        path: String::new(),
        headers: BTreeMap::new(),
        body: Value::Null,
        raw: Bytes::new(),
        bytes: 0,
        at_ms: 0,
        aborted: false,
        done: false,
        connection: 1,
        reused: false,
        complaints: Vec::new(),
    }
}

/// A mock whose provider `p` behaves like this.
pub(super) fn scripted(value: Value) -> Mock {
    let mock = mock();
    mock.set("p", behaviour(value));
    mock
}

pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How the body ended, if it ended badly.
    pub(super) broken: Option<hyper::Error>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The data of all events but `[DONE]`.
    pub(super) fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

impl Client {
    pub(super) async fn connect(mock: &Mock) -> Self {
        let socket = TcpStream::connect(mock.addr).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Self { sender, _driver: driver }
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
        self.sender.ready().await?;
        let (head, mut incoming) = self.sender.send_request(request).await?.into_parts();
        let mut body = Vec::new();
        let mut broken = None;
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(error) => broken = Some(error),
            }
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.into(),
            broken,
        })
    }

    /// Whether the peer has closed the connection; waits for it.
    pub(super) async fn closed(&mut self) {
        tokio::time::timeout(PATIENCE, async {
            while self.sender.ready().await.is_ok() && !self.sender.is_closed() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}

pub(super) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path).header("host", "mock");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into())).unwrap()
}

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    request(Method::GET, path, &[], Bytes::new())
}

pub(super) fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    post_with(path, &[], body)
}

pub(super) fn post_with(path: &str, headers: &[(&str, &str)], body: &Value) -> Request<Full<Bytes>> {
    let mut all = vec![("content-type", "application/json")];
    if path.contains("/messages") && !headers.iter().any(|(name, _)| *name == "anthropic-version") {
        all.push(("anthropic-version", "2023-06-01"));
    }
    all.extend(headers);
    request(Method::POST, path, &all, body.to_string())
}

/// A small chat completion, with further fields.
pub(super) fn chat(more: Value) -> Value {
    merged(
        json!({"model": "m", "messages": [{"role": "user", "content": "hello there"}]}),
        more,
    )
}

/// A small message, with further fields.
pub(super) fn message(more: Value) -> Value {
    merged(
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello there"}]}),
        more,
    )
}

fn merged(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("not an object") };
    base.as_object_mut().unwrap().extend(more);
    base
}

/// One call on a connection of its own.
pub(super) async fn once(mock: &Mock, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
    Client::connect(mock).await.send(request).await
}

/// Sends one POST and reads all that comes, with the error that ended it.
pub(super) async fn raw(mock: &Mock, path: &str, body: &Value) -> (String, Option<std::io::ErrorKind>) {
    tokio::time::timeout(PATIENCE, read_all(opened(mock, path, body).await))
        .await
        .unwrap()
}

async fn read_all(mut socket: TcpStream) -> (String, Option<std::io::ErrorKind>) {
    let mut all = Vec::new();
    let end = socket.read_to_end(&mut all).await.err().map(|error| error.kind());
    (String::from_utf8_lossy(&all).into_owned(), end)
}

/// Sends one POST with `connection: close` and leaves the answer to be read.
pub(super) async fn opened(mock: &Mock, path: &str, body: &Value) -> TcpStream {
    let mut socket = TcpStream::connect(mock.addr).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\nanthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body.as_bytes()).await.unwrap();
    socket
}

/// Reads until the text has arrived.
pub(super) async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = vec![0; 4096];
    let reading = async {
        while !String::from_utf8_lossy(&all).contains(text) {
            let read = socket.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "ended before {text:?}: {}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&all).into_owned()
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

/// The HTTP chunks of a raw answer.
pub(super) fn chunks(raw: &str) -> Vec<String> {
    let (_, mut rest) = raw.split_once("\r\n\r\n").unwrap();
    let mut chunks = Vec::new();
    while let Some((length, tail)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            break;
        }
        let (chunk, tail) = tail.split_at(length);
        chunks.push(chunk.to_owned());
        rest = tail.strip_prefix("\r\n").unwrap();
    }
    chunks
}
