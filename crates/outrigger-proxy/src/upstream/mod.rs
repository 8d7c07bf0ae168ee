//! TEMPORARY
#![allow(missing_docs, clippy::all)]
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use outrigger_core::{Class, Origin, Outcome};
use outrigger_runtime::{Clock, Tasks};
use std::{collections::HashMap, path::Path, sync::{Arc, Mutex}, time::Duration, pin::Pin, task::{Context, Poll}};
#[derive(Debug)] pub struct Destination { origin: Origin, authority: HeaderValue }
#[derive(Debug, thiserror::Error)] #[error("tls")] pub struct TlsError;
#[derive(Debug)] pub struct Tls;
impl Tls { pub fn new(_: Option<&Path>) -> Result<Self, TlsError> { Ok(Self) } }
#[derive(Debug, Default)] pub struct PoolSettings;
impl Destination { pub fn new(o: &Origin, _: Option<&str>) -> Result<Self, TlsError> { Ok(Self { origin: o.clone(), authority: HeaderValue::from_str(&format!("{}:{}", o.host, o.port)).map_err(|_| TlsError)? }) } pub fn authority(&self) -> &HeaderValue { &self.authority } }
pub struct Send { pub connect_timeout: Duration, pub fresh: bool }
#[derive(Debug)] pub struct SendError(pub Outcome);
impl SendError { pub fn outcome(&self) -> Outcome { self.0 } }
type Idle<B> = Arc<Mutex<HashMap<Origin, Vec<SendRequest<B>>>>>;
pub struct Upstreams<B> { idle: Idle<B>, tasks: Tasks }
pub struct Lease<B> { sender: SendRequest<B>, origin: Origin, idle: Idle<B>, reused: bool }
pub struct Body { incoming: hyper::body::Incoming, back: Option<Box<dyn FnOnce() + std::marker::Send>> }
impl<B: http_body::Body<Data = Bytes> + std::marker::Send + Unpin + 'static> Upstreams<B> where B::Error: Into<Box<dyn std::error::Error + std::marker::Send + Sync>> {
    pub fn new(_: PoolSettings, _: Arc<Tls>, tasks: Tasks, _: Clock) -> Self { Self { idle: Idle::default(), tasks } }
    pub async fn lease(&self, d: &Destination, s: Send) -> Result<Lease<B>, SendError> {
        while let (false, Some(sender)) = (s.fresh, self.idle.lock().unwrap().get_mut(&d.origin).and_then(Vec::pop)) {
            if sender.is_ready() { return Ok(Lease { sender, origin: d.origin.clone(), idle: self.idle.clone(), reused: true }); }
        }
        let bad = |_| SendError(Outcome::of(Class::Connect));
        let stream = tokio::time::timeout(s.connect_timeout, tokio::net::TcpStream::connect((d.origin.host.as_str(), d.origin.port))).await.map_err(|_| SendError(Outcome::of(Class::Connect)))?.map_err(bad)?;
        let _ = stream.set_nodelay(true);
        let (sender, conn) = handshake(TokioIo::new(stream)).await.map_err(|_| SendError(Outcome::of(Class::Connect)))?;
        self.tasks.background("upstream", async move { let _ = conn.with_upgrades().await; });
        Ok(Lease { sender, origin: d.origin.clone(), idle: self.idle.clone(), reused: false })
    }
}
impl<B: http_body::Body<Data = Bytes> + std::marker::Send + Unpin + 'static> Lease<B> {
    pub async fn send(mut self, r: Request<B>) -> Result<Response<Body>, SendError> {
        match self.sender.send_request(r).await {
            Ok(r) => { let (h, b) = r.into_parts(); let Lease { sender, origin, idle, .. } = self; Ok(Response::from_parts(h, Body { incoming: b, back: Some(Box::new(move || idle.lock().unwrap().entry(origin).or_default().push(sender))) })) }
            Err(_) => Err(SendError(Outcome { stale: self.reused, ..Outcome::of(Class::Reset) })),
        }
    }
}
impl http_body::Body for Body { type Data = Bytes; type Error = hyper::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        let p = Pin::new(&mut self.incoming).poll_frame(cx);
        if let Poll::Ready(None) = p { if let Some(b) = self.back.take() { b() } }
        p
    } }
