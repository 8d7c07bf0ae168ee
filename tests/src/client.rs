//! A plain HTTP/1.1 client that hides nothing: one connection, headers as they come, bodies chunk by chunk.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// One connection to a data plane.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinSet<()>,
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Whether the body came to its proper end.
    pub whole: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    /// Sends a request and returns the head of its answer; the body is read by the caller.
    ///
    /// # Errors
    /// Where the connection broke.
    pub async fn start(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Sends a request and reads its answer to the end.
    ///
    /// # Errors
    /// Where the connection broke before the head.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let response = self.start(request).await?;
        Ok(Answer::read(response).await)
    }

    /// Whether another request can be sent: neither side has closed it.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Hangs up at once.
    pub async fn hang_up(mut self) {
        drop(self.sender);
        self.driver.shutdown().await;
    }
}

impl Answer {
    /// Reads an answer to its end, proper or not.
    pub async fn read(response: Response<Incoming>) -> Self {
        let (head, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut whole = true;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                whole = false;
                break;
            };
            bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: bytes.into(),
            whole,
        }
    }

    /// A header's text, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The data of a stream's events, parsed where they are JSON.
    pub fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
            .collect()
    }
}

/// Sends a POST with a chunked body, whose length nobody announces, and returns the status of its answer.
///
/// # Panics
/// Where the connection breaks before an answer.
#[expect(clippy::expect_used, reason = "a test cannot go on without it")]
pub async fn chunked(to: SocketAddr, path: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(head.as_bytes()).await?;
        for chunk in body.chunks(1 << 20) {
            writer.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
            writer.write_all(chunk).await?;
            writer.write_all(b"\r\n").await?;
        }
        writer.write_all(b"0\r\n\r\n").await
    };
    let read = async {
        let mut line = vec![0; 12];
        reader.read_exact(&mut line).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&line).into_owned())
    };
    // The answer may come before the whole of the body is taken.
    let (_, line) = tokio::join!(write, read);
    let line = line.expect("an answer");
    line.rsplit(' ').next().and_then(|status| status.parse().ok()).expect("a status")
}
