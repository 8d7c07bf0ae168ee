//! Over real sockets: each peer is a listener of the test's own, each of its connections a script that the test speaks line by line.

use super::*;
use bytes::Bytes;
use bytes::BytesMut;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod exchange;
mod reuse;
mod trust;

pub(super) type Pools = Upstreams<Full<Bytes>>;

/// Far beyond anything that a test waits for.
const OPTIONS: SendOptions = SendOptions {
    connect_timeout: Duration::from_mins(1),
    fresh: false,
};

const FRESH: SendOptions = SendOptions { fresh: true, ..OPTIONS };

fn pools(settings: PoolSettings) -> Pools {
    Upstreams::new(settings, Arc::new(Tls::new(None).unwrap()), Tasks::new(), Clock::start())
}

fn get() -> Request<Full<Bytes>> {
    Request::new(Full::default())
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri("/v1/chat/completions")
        .body(Full::from(body))
        .unwrap()
}

/// A provider whose every byte the test decides.
struct Peer {
    listener: TcpListener,
}

impl Peer {
    async fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn origin(&self) -> Origin {
        origin(Scheme::Http, "127.0.0.1", self.address().port())
    }

    async fn accept(&self) -> Line<TcpStream> {
        Line::new(in_time("a connection", self.listener.accept()).await.unwrap().0)
    }
}

fn origin(scheme: Scheme, host: &str, port: u16) -> Origin {
    Origin {
        scheme,
        host: host.to_owned(),
        port,
    }
}

/// The peer's end of one connection.
struct Line<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Line<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next request: head and, by its content length, body.
    async fn request(&mut self) -> String {
        in_time("a request", self.read_request()).await
    }

    async fn read_request(&mut self) -> String {
        loop {
            let text = String::from_utf8(self.buffer.to_vec()).unwrap();
            if let Some(end) = text.find("\r\n\r\n") {
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                let whole = end + 4 + length.unwrap_or(0);
                if text.len() >= whole {
                    return String::from_utf8(self.buffer.split_to(whole).to_vec()).unwrap();
                }
            }
            assert_ne!(
                self.stream.read_buf(&mut self.buffer).await.unwrap(),
                0,
                "closed inside a request: {text}"
            );
        }
    }

    async fn say(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// One request, one small answer.
    async fn serve(&mut self, text: &str) -> String {
        let request = self.request().await;
        let length = text.len();
        self.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}"))
            .await;
        request
    }

    /// Resolves when the other side has closed.
    async fn closed(&mut self) {
        in_time("a close", self.read_to_end()).await;
    }

    async fn read_to_end(&mut self) {
        while matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {}
    }
}

/// What a script waits for comes at once, or a test has failed; this only keeps it from waiting for ever.
async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(20), wait).await;
    done.unwrap_or_else(|_| panic!("{what} never came"))
}

async fn text(sent: Sent<Full<Bytes>>) -> String {
    let body = sent.response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Sends and reads the whole answer; whether the connection had served before, and the text.
async fn call(pools: &Pools, to: &Destination<Full<Bytes>>) -> (bool, String) {
    let sent = pools.send(to, get(), OPTIONS).await.unwrap();
    (sent.reused, text(sent).await)
}

async fn kind_of(pools: &Pools, to: &Destination<Full<Bytes>>, options: SendOptions) -> SendErrorKind {
    pools.send(to, get(), options).await.err().unwrap().kind
}
