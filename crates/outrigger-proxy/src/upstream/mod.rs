//! Connections to providers: HTTP/1.1 over TCP or TLS, pooled per origin. Decides which connection a request takes, and tells how an
//! attempt ended in terms that a retry can be decided on; it never retries a request of which a byte may have left, never follows a
//! redirect, and never lets a connection outlive interest in its answer.
//!
//! ```text
//! Upstreams ──destination(origin, ca)──► Destination       once per snapshot; the pool behind it outlives snapshots
//!     │ send(&destination, request)                         or checkout(&destination), then lease.send(request)
//!     ▼
//! Lease ── request ──► Sent { response, reused }
//!                        └─ body: at its end the connection goes back; dropped before, the connection closes
//! ```
//!
//! There are never more connections to an origin than requests were in flight at once: a connection is opened only by a request that
//! found none idle, and nothing opens one ahead.

mod body;
mod connect;
mod dns;
mod error;
mod pool;
mod tls;

#[cfg(test)]
mod tests;

pub use body::AnswerBody;
pub use dns::{Lookup, Resolve, SystemResolver};
pub use error::{ConnectFault, SendError, SendErrorKind};
pub use pool::Lease;
pub use tls::{Tls, TlsError};

use connect::Handshake;
use dns::Addresses;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use hyper::client::conn::http1;
use outrigger_core::{Origin, Scheme};
use outrigger_runtime::{Clock, Tasks};
use pool::{Connection, Limits, Place, Pool};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What a request's body must be.
pub trait RequestBody: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static {}

impl<B> RequestBody for B where B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static {}

/// Bounds of every pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Idle connections kept per origin; more are closed as they come back.
    pub max_idle_per_origin: usize,
    /// A connection idle for longer is closed. Below the keep-alive of most providers; for the others there is [`SendErrorKind::Stale`].
    pub idle_age: Duration,
    /// Connections per origin, those in use and those being opened included; beyond it a request fails at once.
    pub max_connections_per_origin: usize,
    /// Largest head of an answer, and largest read at once, in bytes; at least 8,192.
    pub max_head: usize,
    /// Whether head and body go out in one vectored write (true) or are copied together first.
    pub writev: bool,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_idle_per_origin: 64,
            idle_age: Duration::from_secs(45),
            max_connections_per_origin: 4_096,
            max_head: 64 * 1024,
            writev: true,
        }
    }
}

/// All pools of a process. Clones are handles to the same.
pub struct Upstreams<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    settings: PoolSettings,
    tls: Arc<Tls>,
    resolver: Arc<dyn Resolve>,
    tasks: Tasks,
    clock: Clock,
    http: http1::Builder,
    pools: Mutex<HashMap<Key, Arc<Pool<B>>>>,
}

/// Whom we talk to and whom we trust about it: equal keys may share connections.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    origin: Origin,
    ca_pem: Option<Arc<str>>,
}

/// An origin that requests can be sent to. Keeps the origin's pool alive; cheap to clone.
pub struct Destination<B> {
    pool: Arc<Pool<B>>,
}

/// An origin that no request can be sent to.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// Neither a DNS name nor an address.
    #[error("`{0}` is not a host name")]
    Host(String),
    /// The certificates to trust cannot be used.
    #[error(transparent)]
    Trust(#[from] TlsError),
}

/// How to send one request.
#[derive(Clone, Copy, Debug)]
pub struct SendOptions {
    /// The longest time to a new connection: name lookup, TCP and TLS.
    pub connect_timeout: Duration,
    /// Take a new connection even where one is idle: for the retry after [`SendErrorKind::Stale`].
    pub fresh: bool,
}

/// An answer's head, and its body to come.
pub struct Sent<B> {
    /// The answer as received.
    pub response: Response<AnswerBody<B>>,
    /// Came over a connection that had served before.
    pub reused: bool,
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// That exist or are being opened, idle ones included.
    pub open: usize,
    /// That wait for a request.
    pub idle: usize,
    /// Opened since the start, by origins that are still known.
    pub opened: u64,
}

impl<B: RequestBody> Upstreams<B> {
    /// Empty pools, with the system's resolver. Starts the task that closes idle connections.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(settings: PoolSettings, tls: Arc<Tls>, tasks: Tasks, clock: Clock) -> Self {
        Self::with_resolver(settings, tls, Arc::new(SystemResolver), tasks, clock)
    }

    /// As [`new`](Self::new), with another resolver.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn with_resolver(settings: PoolSettings, tls: Arc<Tls>, resolver: Arc<dyn Resolve>, tasks: Tasks, clock: Clock) -> Self {
        let mut http = http1::Builder::new();
        http.max_buf_size(settings.max_head.max(8_192)).writev(settings.writev);
        let shared = Arc::new(Shared {
            settings,
            tls,
            resolver,
            tasks,
            clock,
            http,
            pools: Mutex::new(HashMap::new()),
        });
        let housekeeping = reap(Arc::downgrade(&shared), settings.idle_age);
        shared.tasks.background("idle connections", housekeeping);
        Self { shared }
    }

    /// The destination of `origin`, trusting `ca_pem` beside the shared roots. Equal arguments share one pool, however often and by
    /// whichever snapshot they are asked for.
    ///
    /// # Errors
    /// [`DestinationError`]: nothing of this destination can work; others are not affected.
    pub fn destination(&self, origin: &Origin, ca_pem: Option<&str>) -> Result<Destination<B>, DestinationError> {
        let ca_pem = ca_pem.filter(|_| origin.scheme == Scheme::Https);
        let key = Key {
            origin: origin.clone(),
            ca_pem: ca_pem.map(Arc::from),
        };
        let mut pools = self.shared.pools();
        if let Some(pool) = pools.get(&key) {
            return Ok(Destination { pool: pool.clone() });
        }
        let pool = Arc::new(self.shared.pool(origin, ca_pem)?);
        pools.insert(key, pool.clone());
        Ok(Destination { pool })
    }

    /// Sends `request` and waits for the head of the answer. The request's URI is origin-form, its version HTTP/1.1; `host` is set here.
    /// A request that found its connection closed before anything was written moves to another one by itself. Dropped, it closes the
    /// connection.
    ///
    /// # Errors
    /// [`SendError`], whose kind says what may be done about it.
    pub async fn send(&self, to: &Destination<B>, request: Request<B>, options: SendOptions) -> Result<Sent<B>, SendError> {
        let mut request = request;
        loop {
            let lease = self.checkout(to, options).await?;
            let reused = lease.reused;
            match lease.exchange(request).await {
                Ok(sent) => return Ok(sent),
                Err((_, Some(unsent))) if reused => request = *unsent,
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// The first half of [`send`](Self::send): a connection, so that the caller can tell waiting for one from waiting for the answer.
    /// Dropped unused it is closed.
    ///
    /// # Errors
    /// [`SendErrorKind::Connect`] and [`SendErrorKind::Full`].
    pub async fn checkout(&self, to: &Destination<B>, options: SendOptions) -> Result<Lease<B>, SendError> {
        match to.pool.place(options.fresh)? {
            Place::Reused(lease) => Ok(lease),
            // Boxed: a handshake's state is large and the common request never gets here.
            Place::New(lease) => Box::pin(self.shared.connect(lease, options.connect_timeout)).await,
        }
    }

    /// Whom these connections trust, for connections of another kind.
    pub fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.shared.tls)
    }

    /// How many connections there are now, over all origins.
    pub fn counts(&self) -> Counts {
        let pools = self.shared.pools();
        pools.values().fold(Counts::default(), |sum, pool| {
            let (open, idle) = pool.counts();
            Counts {
                open: sum.open + open,
                idle: sum.idle + idle,
                opened: sum.opened + pool.opened.load(Ordering::Relaxed),
            }
        })
    }
}

impl<B: RequestBody> Lease<B> {
    /// Whether the connection has served before.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// The second half of [`Upstreams::send`]. The request is on its way when this returns; the future waits for the answer.
    ///
    /// # Errors
    /// [`SendError`] of any kind but `Connect` and `Full`.
    pub fn send(self, request: Request<B>) -> impl Future<Output = Result<Sent<B>, SendError>> {
        let exchange = self.exchange(request);
        async move { exchange.await.map_err(|(error, _)| error) }
    }

    // No async function: it would hold the request, which is large, twice over and for as long as the answer takes.
    fn exchange(mut self, mut request: Request<B>) -> impl Future<Output = Result<Sent<B>, Unsent<B>>> {
        request.headers_mut().insert(header::HOST, self.pool().host.clone());
        let reused = self.reused;
        // A checked-out lease always has one; without one nothing was sent.
        let posted = match self.connection() {
            Some(connection) => Ok(connection.post(request)),
            None => Err((SendError::full(0), Some(Box::new(request)))),
        };
        async move {
            let answer = posted?;
            let Some(connection) = self.connection() else {
                return Err((SendError::full(0), None));
            };
            let (head, incoming) = connection.answer(answer, reused).await?.into_parts();
            Ok(Sent {
                response: Response::from_parts(head, AnswerBody::new(incoming, self)),
                reused,
            })
        }
    }
}

/// Why there is no answer, and the request itself if none of it has been sent.
type Unsent<B> = (SendError, Option<Box<Request<B>>>);

impl<B: RequestBody> Shared<B> {
    fn pool(&self, origin: &Origin, ca_pem: Option<&str>) -> Result<Pool<B>, DestinationError> {
        let no_host = || DestinationError::Host(origin.host.clone());
        let handshake = match origin.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(Handshake {
                config: self.tls.config(ca_pem)?,
                name: ServerName::try_from(origin.host.clone()).map_err(|_| no_host())?,
            }),
        };
        let host = HeaderValue::try_from(origin.authority()).map_err(|_| no_host())?;
        let addresses = Addresses::new(&origin.host, origin.port, self.resolver.clone(), self.tasks.clone(), self.clock);
        let limits = Limits {
            idle: self.settings.max_idle_per_origin,
            idle_age_us: u64::try_from(self.settings.idle_age.as_micros()).unwrap_or(u64::MAX),
            open: self.settings.max_connections_per_origin,
        };
        Ok(Pool::new(origin.clone(), host, addresses, handshake, limits, self.clock))
    }

    async fn connect(&self, mut lease: Lease<B>, limit: Duration) -> Result<Lease<B>, SendError> {
        let pool = lease.pool();
        let transport = connect::open(&pool.addresses, pool.handshake.as_ref(), limit).await?;
        lease.fill(Connection::over(transport, &self.http).await?);
        Ok(lease)
    }
}

impl<B> Shared<B> {
    fn pools(&self) -> MutexGuard<'_, HashMap<Key, Arc<Pool<B>>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes idle connections whose time is over; forgets origins that no destination names and that have no connection left.
    fn reap(&self) {
        self.pools().retain(|_, pool| !pool.reap() || Arc::strong_count(pool) > 1);
    }
}

async fn reap<B>(shared: Weak<Shared<B>>, idle_age: Duration) {
    let period = (idle_age / 4).clamp(Duration::from_millis(250), Duration::from_secs(5));
    loop {
        tokio::time::sleep(period).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.reap();
    }
}

impl<B> Destination<B> {
    /// Where it is.
    pub fn origin(&self) -> &Origin {
        &self.pool.origin
    }

    /// The value of the `host` header that requests to it carry.
    pub fn host(&self) -> &HeaderValue {
        &self.pool.host
    }
}

impl<B> fmt::Debug for Destination<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(&self.pool.origin).finish()
    }
}

impl<B> Clone for Destination<B> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone() }
    }
}

impl<B> Clone for Upstreams<B> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}
