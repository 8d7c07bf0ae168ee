//! The pools, one per origin: idle connections, newest used first, bounded in number and age.

use crate::body::Outgoing;

use super::{
    connect,
    destination::{Destination, PoolId},
    dns::{Addresses, Resolve, SystemResolver},
    tls::Tls,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use outrigger_core::{Class, Outcome};
use outrigger_runtime::{Clock, Tasks};
use rustls::ClientConfig;
use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// How often idle connections are looked over.
const SWEEP: Duration = Duration::from_secs(5);
/// The most that one read takes from a provider, and the largest head of an answer.
const READ_BUFFER: usize = 64 << 10;

/// Bounds of the pools.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolSettings {
    /// Idle connections kept per origin.
    pub(crate) max_idle: usize,
    /// How long a connection may rest: below what providers allow, so that they rarely close first.
    pub(crate) idle_age: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { max_idle: 256, idle_age: Duration::from_secs(50) }
    }
}

/// All pools of a data plane.
pub(crate) struct Upstreams {
    settings: PoolSettings,
    tls: Arc<Tls>,
    tasks: Tasks,
    clock: Clock,
    resolver: Arc<dyn Resolve>,
    pools: Arc<Mutex<HashMap<PoolId, Arc<Pool>>>>,
    sweeping: std::sync::Once,
}

/// One origin's connections.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    max_idle: usize,
    idle_age: Duration,
    clock: Clock,
    addresses: Addresses,
    tls: Option<Arc<ClientConfig>>,
}

struct Idle {
    sender: SendRequest<Outgoing>,
    since_us: u64,
}

/// How a connection is to be had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Send {
    /// Names, TCP and TLS together may take this long.
    pub(crate) connect_timeout: Duration,
    /// Not one that has been used.
    pub(crate) fresh: bool,
}

/// A connection that is one call's own.
pub(crate) struct Lease {
    sender: SendRequest<Outgoing>,
    reused: bool,
    pool: Arc<Pool>,
}

/// Why there is no answer. Says nothing of hosts or headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// No address, no TCP connection or no TLS, or not in time.
    #[error("no connection")]
    Connect,
    /// A reused connection ended before any byte of an answer: it had died of rest.
    #[error("a resting connection had been closed")]
    Stale,
    /// A new connection ended before any byte of an answer.
    #[error("the connection broke")]
    Reset,
    /// What came is no HTTP/1.1 answer, or its head is too large.
    #[error("not an HTTP answer")]
    Protocol,
}

impl SendError {
    /// For the attempt loop.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Connect => Outcome::of(Class::Connect),
            Self::Stale => Outcome { stale: true, ..Outcome::of(Class::Reset) },
            Self::Reset => Outcome::of(Class::Reset),
            Self::Protocol => Outcome::of(Class::BadResponse),
        }
    }
}

impl Upstreams {
    /// Empty pools. Connections run in `tasks`.
    pub(crate) fn new(settings: PoolSettings, tls: Arc<Tls>, tasks: Tasks, clock: Clock) -> Self {
        Self::with_resolver(settings, tls, tasks, clock, Arc::new(SystemResolver))
    }

    /// As [`new`](Self::new), with names from `resolver`.
    pub(crate) fn with_resolver(settings: PoolSettings, tls: Arc<Tls>, tasks: Tasks, clock: Clock, resolver: Arc<dyn Resolve>) -> Self {
        Self { settings, tls, tasks, clock, resolver, pools: Arc::default(), sweeping: std::sync::Once::new() }
    }

    /// A connection to `destination`: the one that rested last, else a new one.
    ///
    /// # Errors
    /// [`SendError::Connect`].
    pub(crate) async fn lease(&self, destination: &Destination, how: Send) -> Result<Lease, SendError> {
        let pool = match destination.pool.get() {
            Some(pool) => pool,
            None => self.pool(destination)?,
        };
        if !how.fresh {
            while let Some(mut sender) = pool.take() {
                // Its last answer has been read; the connection's own task may still have to notice.
                if sender.ready().await.is_ok() {
                    return Ok(Lease { sender, reused: true, pool: Arc::clone(pool) });
                }
            }
        }
        let opened = tokio::time::timeout(how.connect_timeout, self.open(pool, destination)).await;
        let sender = opened.ok().flatten().ok_or(SendError::Connect)?;
        Ok(Lease { sender, reused: false, pool: Arc::clone(pool) })
    }

    async fn open(&self, pool: &Pool, destination: &Destination) -> Option<SendRequest<Outgoing>> {
        let addresses = pool.addresses.now().await.ok()?;
        let stream = connect::connect(&addresses).await.ok()?;
        match (&pool.tls, &destination.server_name) {
            (Some(config), Some(name)) => {
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                self.drive(connector.connect(name.clone(), stream).await.ok()?).await
            }
            _ => self.drive(stream).await,
        }
    }

    async fn drive<S: AsyncRead + AsyncWrite + std::marker::Send + Unpin + 'static>(&self, stream: S) -> Option<SendRequest<Outgoing>> {
        let (sender, connection) = http1::Builder::new().max_buf_size(READ_BUFFER).handshake(TokioIo::new(stream)).await.ok()?;
        self.tasks.background("provider connection", async move {
            let _ = connection.with_upgrades().await;
        });
        Some(sender)
    }

    fn pool<'a>(&self, destination: &'a Destination) -> Result<&'a Arc<Pool>, SendError> {
        let mut pools = lock(&self.pools);
        let pool = if let Some(pool) = pools.get(&destination.id) {
            Arc::clone(pool)
        } else {
            let id = &destination.id;
            let tls = match destination.server_name {
                Some(_) => Some(self.tls.config(id.ca_pem.as_deref()).map_err(|_| SendError::Connect)?),
                None => None,
            };
            let pool = Arc::new(Pool {
                idle: Mutex::default(),
                max_idle: self.settings.max_idle,
                idle_age: self.settings.idle_age,
                clock: self.clock,
                addresses: Addresses::new(Arc::clone(&self.resolver), self.clock, &id.origin.host, id.origin.port),
                tls,
            });
            pools.insert(id.clone(), Arc::clone(&pool));
            pool
        };
        drop(pools);
        self.sweeping.call_once(|| self.tasks.background("idle connections", sweep(Arc::downgrade(&self.pools))));
        Ok(destination.pool.get_or_init(|| pool))
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstreams")
    }
}

/// Closes what has rested too long, and forgets origins that no destination and no connection needs any more.
async fn sweep(pools: Weak<Mutex<HashMap<PoolId, Arc<Pool>>>>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pools) = pools.upgrade() else { return };
        lock(&pools).retain(|_, pool| {
            let left = pool.expire();
            left > 0 || Arc::strong_count(pool) > 1
        });
    }
}

impl Pool {
    /// The connection that rested last, if any is young enough.
    fn take(&self) -> Option<SendRequest<Outgoing>> {
        let oldest = self.oldest();
        let idle = lock(&self.idle).pop()?;
        if idle.since_us < oldest {
            // The younger ones are gone: what is below has rested even longer.
            lock(&self.idle).clear();
            return None;
        }
        Some(idle.sender)
    }

    fn put(&self, sender: SendRequest<Outgoing>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = lock(&self.idle);
        if idle.len() < self.max_idle {
            idle.push(Idle { sender, since_us: self.clock.now_us() });
        }
    }

    fn expire(&self) -> usize {
        let oldest = self.oldest();
        let mut idle = lock(&self.idle);
        idle.retain(|connection| connection.since_us >= oldest);
        idle.len()
    }

    fn oldest(&self) -> u64 {
        self.clock.now_us().saturating_sub(u64::try_from(self.idle_age.as_micros()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Lease {
    /// Sends the request and waits for the head of its answer. Dropped before, it closes the connection: the provider sees the hang-up.
    ///
    /// # Errors
    /// Where there is no answer.
    pub(crate) async fn send(mut self, request: Request<Outgoing>) -> Result<Response<Body>, SendError> {
        match self.sender.send_request(request).await {
            Ok(response) => {
                let back = Some((self.pool, self.sender));
                Ok(response.map(|incoming| Body { incoming, back }))
            }
            Err(error) if error.is_parse() || error.is_parse_too_large() => Err(SendError::Protocol),
            Err(_) if self.reused => Err(SendError::Stale),
            Err(_) => Err(SendError::Reset),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("reused", &self.reused).finish_non_exhaustive()
    }
}

/// An answer's body. Read to its end it gives its connection back; dropped before, it closes it.
pub(crate) struct Body {
    incoming: Incoming,
    back: Option<(Arc<Pool>, SendRequest<Outgoing>)>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        if let (Poll::Ready(None), Some((pool, sender))) = (&frame, self.back.take_if(|_| matches!(frame, Poll::Ready(None)))) {
            pool.put(sender);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
