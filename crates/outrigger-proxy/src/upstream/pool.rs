//! The connections of one origin: which one a request gets and where it goes afterwards. Last in, first out, so that a quiet hour lets
//! the rest age away. A connection never serves two requests at a time, and never exists without its handle.

use super::RequestBody;
use super::connect::{Handshake, Listening, Transport};
use super::dns::Addresses;
use super::error::SendError;
use http::HeaderValue;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use outrigger_core::Origin;
use outrigger_runtime::Clock;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

pub(super) struct Pool<B> {
    pub(super) origin: Origin,
    pub(super) host: HeaderValue,
    pub(super) addresses: Addresses,
    pub(super) handshake: Option<Handshake>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    /// Connections opened since the start.
    pub(super) opened: AtomicU64,
    state: Mutex<State<B>>,
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) idle: usize,
    pub(super) idle_age_us: u64,
    pub(super) open: usize,
}

struct State<B> {
    /// Oldest first.
    idle: Vec<Idle<B>>,
    /// Connections that exist or are being made, idle ones included.
    open: usize,
}

struct Idle<B> {
    connection: Connection<B>,
    since_us: u64,
}

/// What a request gets.
pub(super) enum Place<B> {
    /// A connection that has served before.
    Reused(Lease<B>),
    /// Room for a new one.
    New(Lease<B>),
}

impl<B> Pool<B> {
    pub(super) fn new(
        origin: Origin,
        host: HeaderValue,
        addresses: Addresses,
        handshake: Option<Handshake>,
        limits: Limits,
        clock: Clock,
    ) -> Self {
        let state = Mutex::new(State { idle: Vec::new(), open: 0 });
        let opened = AtomicU64::new(0);
        Self {
            origin,
            host,
            addresses,
            handshake,
            limits,
            clock,
            opened,
            state,
        }
    }

    /// The connection used last, if one is idle and `fresh` is not asked for; else room for a new one.
    ///
    /// # Errors
    /// [`SendErrorKind::Full`](super::SendErrorKind::Full).
    pub(super) fn place(self: &Arc<Self>, fresh: bool) -> Result<Place<B>, SendError> {
        let oldest_us = self.oldest_us();
        let mut state = self.state();
        if !fresh {
            let mut at = state.idle.len();
            while at > 0 {
                at -= 1;
                let Some(idle) = state.idle.get(at) else { break };
                if idle.connection.gone() || idle.since_us < oldest_us {
                    state.idle.remove(at);
                    state.open -= 1;
                } else if idle.connection.send.is_ready() {
                    let connection = state.idle.remove(at).connection;
                    return Ok(Place::Reused(Lease::of(self, Some(connection))));
                }
                // Else its last request is still being written, long after the answer: let it.
            }
        }
        if state.open >= self.limits.open {
            if state.idle.is_empty() {
                return Err(SendError::full(self.limits.open));
            }
            state.idle.remove(0);
            state.open -= 1;
        }
        state.open += 1;
        Ok(Place::New(Lease::of(self, None)))
    }

    /// Closes what has been idle for too long or was closed by the peer. True if nothing is left.
    pub(super) fn reap(&self) -> bool {
        let oldest_us = self.oldest_us();
        let mut state = self.state();
        let before = state.idle.len();
        state.idle.retain(|idle| !idle.connection.gone() && idle.since_us >= oldest_us);
        state.open -= before - state.idle.len();
        if state.idle.is_empty() {
            state.idle.shrink_to(4);
        }
        state.open == 0
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.open, state.idle.len())
    }

    fn oldest_us(&self) -> u64 {
        self.clock.now_us().saturating_sub(self.limits.idle_age_us)
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use one connection, for one request at a time. Dropped, it closes the connection.
pub struct Lease<B> {
    pool: Arc<Pool<B>>,
    connection: Option<Connection<B>>,
    /// Holds one of the pool's places.
    counted: bool,
    pub(super) reused: bool,
}

impl<B> Lease<B> {
    fn of(pool: &Arc<Pool<B>>, connection: Option<Connection<B>>) -> Self {
        Self {
            pool: pool.clone(),
            reused: connection.is_some(),
            connection,
            counted: true,
        }
    }

    pub(super) fn pool(&self) -> &Pool<B> {
        &self.pool
    }

    pub(super) fn fill(&mut self, connection: Connection<B>) {
        self.connection = Some(connection);
        self.pool.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connection(&mut self) -> Option<&mut Connection<B>> {
        self.connection.as_mut()
    }

    /// The answer has been read to its end: back to the pool, if it is still good and there is room.
    pub(super) fn release(mut self) {
        let Some(connection) = self.connection.take() else { return };
        if connection.gone() {
            return;
        }
        let since_us = self.pool.clock.now_us();
        let mut state = self.pool.state();
        if state.idle.len() < self.pool.limits.idle {
            state.idle.push(Idle { connection, since_us });
            drop(state);
            self.counted = false;
        }
    }
}

impl<B> Drop for Lease<B> {
    fn drop(&mut self) {
        self.connection = None;
        if self.counted {
            self.pool.state().open -= 1;
        }
    }
}

/// The handle of a connection. Dropped, it ends the task that drives the connection, and that closes the socket.
pub(super) struct Connection<B> {
    send: SendRequest<B>,
    /// Never used but to be dropped.
    _life: oneshot::Sender<()>,
    heard: Arc<AtomicBool>,
}

impl<B> Connection<B> {
    fn gone(&self) -> bool {
        self.send.is_closed()
    }
}

impl<B: RequestBody> Connection<B> {
    /// Speaks HTTP over `transport`; the returned future has to run for it to do so.
    pub(super) async fn over(
        transport: Transport,
        http: &http1::Builder,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), SendError> {
        let heard = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Listening {
            transport,
            heard: heard.clone(),
        });
        let (send, connection) = http
            .handshake(io)
            .await
            .map_err(|error| SendError::exchange(&error, false, false))?;
        let (life, ears) = oneshot::channel();
        let driver = Driver {
            connection: connection.with_upgrades(),
            handle_gone: ears,
        };
        Ok((Self { send, _life: life, heard }, driver))
    }

    /// One request, one answer. In the error's place the request itself, if none of it has been sent.
    pub(super) async fn exchange(
        &mut self,
        request: http::Request<B>,
        reused: bool,
    ) -> Result<http::Response<hyper::body::Incoming>, (SendError, Option<http::Request<B>>)> {
        self.heard.store(false, Ordering::Relaxed);
        match self.send.try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut failed) => {
                let unsent = failed.take_message();
                let heard = unsent.is_none() && self.heard.load(Ordering::Relaxed);
                Err((SendError::exchange(failed.error(), reused, heard), unsent))
            }
        }
    }
}

/// Moves the bytes of one connection until it ends or its handle is gone.
struct Driver<C> {
    connection: C,
    handle_gone: oneshot::Receiver<()>,
}

impl<C: Future + Unpin> Future for Driver<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // hyper alone would finish what it is at: send the rest of a request whose answer nobody wants any more, say good-bye in TLS to
        // a peer that does not read. A provider that is still at work is to see the end at once. (A switch of protocols has handed the
        // socket on by the time its answer arrives, so that there is nothing left here to close.)
        if Pin::new(&mut self.handle_gone).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // An error reaches the request through its own channel; an idle connection that breaks is nobody's loss.
        Pin::new(&mut self.connection).poll(cx).map(drop)
    }
}
