//! The floor: what a proxy costs that reads nothing and decides nothing, on the HTTP stack that the data plane uses.
//! It must never grow a feature: every figure of record is a ratio to it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use anyhow::Context as _;
use http::uri::{Authority, Scheme};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, LocalSet, spawn_local};

/// How requests reach the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pool {
    /// hyper-util's pooled client: *the* floor.
    Pooled,
    /// A plain stack of idle `SendRequest` handles: a known difference, to see whether the bench finds it.
    Handles,
}

/// Serves until killed: one worker, system allocator, no delay on either side.
pub(crate) fn run(upstream: SocketAddr, ports_file: &Path, pool: Pool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        std::fs::write(ports_file, format!("{{\"data\":{port}}}")).context("ports file")?;
        match pool {
            Pool::Pooled => pooled(&listener, upstream).await,
            Pool::Handles => handles(&listener, upstream).await,
        }
    })
}

async fn pooled(listener: &TcpListener, upstream: SocketAddr) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    let authority: Authority = upstream.to_string().parse()?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let (client, authority) = (client.clone(), authority.clone());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    let mut parts = std::mem::take(request.uri_mut()).into_parts();
                    parts.scheme = Some(Scheme::HTTP);
                    parts.authority = Some(authority.clone());
                    // Only a URI without a path fails here, and the client answers that with an error.
                    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
                    client.request(request)
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

type Idle = Rc<RefCell<Vec<SendRequest<Incoming>>>>;

async fn handles(listener: &TcpListener, upstream: SocketAddr) -> anyhow::Result<()> {
    let idle = Idle::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let idle = idle.clone();
                let service = service_fn(move |request| forward(idle.clone(), upstream, request));
                connections.spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn forward(idle: Idle, upstream: SocketAddr, request: Request<Incoming>) -> anyhow::Result<Response<Incoming>> {
    let reused = {
        let mut idle = idle.borrow_mut();
        idle.retain(|handle| !handle.is_closed());
        // Not ready: the answer before is still being read.
        idle.iter().rposition(SendRequest::is_ready).map(|index| idle.swap_remove(index))
    };
    let mut handle = if let Some(handle) = reused {
        handle
    } else {
        let stream = TcpStream::connect(upstream).await?;
        stream.set_nodelay(true)?;
        let (handle, connection) = client::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        handle
    };
    let response = handle.send_request(request).await?;
    idle.borrow_mut().push(handle);
    Ok(response)
}
