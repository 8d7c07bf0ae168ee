//! The connections of one origin: which one a request gets and where it goes afterwards. Last in, first out, so that a quiet hour lets
//! the rest age away. A connection never serves two requests at a time, and never exists without its handle.

use super::connect::{Handshake, Listening, Transport};
use super::dns::Addresses;
use super::error::SendError;
use super::{RequestBody, Unsent};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use outrigger_core::Origin;
use outrigger_runtime::Clock;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

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
                let Some(idle) = state.idle.get_mut(at) else { break };
                let usable = idle.since_us >= oldest_us && idle.connection.ready();
                let connection = state.idle.remove(at).connection;
                if usable {
                    return Ok(Place::Reused(Lease::of(self, Some(connection))));
                }
                state.open -= 1;
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
        state.idle.retain_mut(|idle| {
            idle.connection.rest();
            !idle.connection.gone() && idle.since_us >= oldest_us
        });
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
        let Some(mut connection) = self.connection.take() else { return };
        // Not ready either where the answer came before the request was complete: nobody would write the rest of it.
        if !connection.ready() {
            return;
        }
        connection.bell.rings_for_nobody();
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

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection with what moves its bytes. Nobody else does: it moves while its lease waits for something, and rests in the pool, so that an
/// answer costs one wake-up and not two. Dropped, it closes the socket: a provider that is still at work sees the end at once.
pub(super) struct Connection<B> {
    send: SendRequest<B>,
    /// Absent once the connection has ended.
    driver: Option<Driver>,
    bell: Arc<Bell>,
    /// The bell, as the driver rings it.
    rope: Waker,
    /// The driver waits, and nothing but a ring can give it more to do.
    settled: bool,
    heard: Arc<AtomicBool>,
}

/// Times that a driver which asks to be polled again is, before others get their turn.
const ROUNDS: usize = 4;

impl<B> Connection<B> {
    fn gone(&self) -> bool {
        self.driver.is_none() || self.send.is_closed()
    }

    /// Whether the next request may be written. What is left of the last one gets a chance to move.
    fn ready(&mut self) -> bool {
        if !self.send.is_ready() {
            self.rest();
        }
        self.send.is_ready()
    }

    /// Moves what can be moved while nobody waits for it: so an idle connection learns that it was closed.
    fn rest(&mut self) {
        self.settled = false;
        step(&mut self.driver, Waker::noop());
    }

    /// Moves the connection until `wanted`, which it alone can bring about, is there. `None` = it has ended without.
    ///
    /// What `wanted` waits for happens in here, so nothing has to wake it: it is polled deaf. It is asked again more often than anything can
    /// have happened: each time that hyper has written a piece of an answer it asks for the next one twice.
    pub(super) fn drive<T>(&mut self, cx: &mut Context<'_>, mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<Option<T>> {
        let Self {
            driver,
            bell,
            rope,
            settled,
            ..
        } = self;
        let mut deaf = Context::from_waker(Waker::noop());
        bell.rings_for(cx.waker());
        if *settled && !bell.rang() {
            return Poll::Pending;
        }
        *settled = false;
        for _ in 0..ROUNDS {
            let hushed = bell.hush();
            if let Poll::Ready(wanted) = wanted(&mut deaf) {
                return Poll::Ready(Some(wanted));
            }
            step(driver, rope);
            if let Poll::Ready(wanted) = wanted(&mut deaf) {
                return Poll::Ready(Some(wanted));
            }
            if driver.is_none() {
                return Poll::Ready(None);
            }
            if !hushed.rang() {
                *settled = true;
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polls a driver; one that is done is gone.
fn step(driver: &mut Option<Driver>, waker: &Waker) {
    if let Some(running) = driver
        && running.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    {
        *driver = None;
    }
}

impl<B: RequestBody> Connection<B> {
    /// Speaks HTTP over `transport`.
    pub(super) async fn over(transport: Transport, http: &http1::Builder) -> Result<Self, SendError> {
        let heard = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Listening {
            transport,
            heard: heard.clone(),
        });
        let (send, connection) = http
            .handshake(io)
            .await
            .map_err(|error| SendError::exchange(&error, false, false))?;
        let bell = Arc::new(Bell::default());
        Ok(Self {
            send,
            // An error reaches the request through its own channel; an idle connection that breaks is nobody's loss.
            driver: Some(Box::pin(async move { drop(connection.with_upgrades().await) })),
            rope: Waker::from(bell.clone()),
            bell,
            settled: false,
            heard,
        })
    }

    /// Hands a request over to be written. What comes back waits for its answer, and is to be moved by [`answer`](Self::answer).
    pub(super) fn post(&mut self, request: Request<B>) -> impl Future<Output = Answered<B>> + use<B> {
        self.heard.store(false, Ordering::Relaxed);
        self.settled = false;
        let _hushed = self.bell.hush();
        // Not under the scheduler's budget: who is out of it would be woken, and this is polled deaf.
        tokio::task::coop::unconstrained(self.send.try_send_request(request))
    }

    /// Moves the connection until what was [`post`](Self::post)ed has its answer.
    pub(super) async fn answer(
        &mut self,
        posted: impl Future<Output = Answered<B>>,
        reused: bool,
    ) -> Result<Response<Incoming>, Unsent<B>> {
        let mut posted = pin!(posted);
        let answer = std::future::poll_fn(|cx| self.drive(cx, |cx| posted.as_mut().poll(cx))).await;
        match answer {
            Some(Ok(response)) => Ok(response),
            Some(Err(mut failed)) => {
                let unsent = failed.take_message();
                let heard = unsent.is_none() && self.heard.load(Ordering::Relaxed);
                Err((SendError::exchange(failed.error(), reused, heard), unsent.map(Box::new)))
            }
            None => Err((SendError::ended(), None)),
        }
    }
}

/// What hyper says of a request.
type Answered<B> = Result<Response<Incoming>, TrySendError<Request<B>>>;

/// Wakes whoever waits for a connection, when its socket or its request's body moves. While the connection is being moved anyway a ring is
/// only noted: most come from what is being done, and a wake-up for each would double the work.
#[derive(Default)]
struct Bell {
    task: Mutex<Option<Waker>>,
    state: AtomicU8,
}

const RINGS: u8 = 0;
const HUSHED: u8 = 1;
const RANG: u8 = 2;

/// A bell that only notes; dropped, it rings again, unless it has noted something that nobody has asked about.
struct Hushed<'a>(&'a Bell);

impl Bell {
    fn rings_for(&self, task: &Waker) {
        let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.as_ref().is_some_and(|known| known.will_wake(task)) {
            *known = Some(task.clone());
        }
    }

    /// Nobody waits for an idle connection, and whoever did last must not be kept by it.
    fn rings_for_nobody(&self) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether it has rung, and woken somebody, since it was hushed last.
    fn rang(&self) -> bool {
        self.state.load(Ordering::SeqCst) == RANG
    }

    fn hush(&self) -> Hushed<'_> {
        self.state.store(HUSHED, Ordering::SeqCst);
        Hushed(self)
    }
}

impl Hushed<'_> {
    /// Lets it ring again; whether it would have rung since.
    fn rang(self) -> bool {
        self.0.state.swap(RINGS, Ordering::SeqCst) == RANG
    }
}

impl Drop for Hushed<'_> {
    fn drop(&mut self) {
        let _ = self.0.state.compare_exchange(HUSHED, RINGS, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // From another thread a ring may come at any time: it is noted before `rang` asks, or it wakes. Whom it has woken it need not wake
        // again: he has not looked yet.
        if self.state.swap(RANG, Ordering::SeqCst) == RINGS
            && let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner)
        {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_bell_wakes_once_and_keeps_what_rang_until_it_is_asked() {
        let (bell, task) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        let rope = Waker::from(bell.clone());
        let woken = || task.0.load(Ordering::Relaxed);
        bell.rings_for(&Waker::from(task.clone()));
        assert!(!bell.rang());
        rope.wake_by_ref();
        rope.wake_by_ref();
        assert_eq!((bell.rang(), woken()), (true, 1));
        // Whoever hushes it looks for himself: only what rings from then on counts.
        assert!(!bell.hush().rang());
        let hushed = bell.hush();
        rope.wake_by_ref();
        assert!(hushed.rang());
        assert_eq!((bell.rang(), woken()), (false, 1));
        // Noted and not asked about: it stays known, and rings for the next one that waits.
        let hushed = bell.hush();
        rope.wake_by_ref();
        drop(hushed);
        assert_eq!((bell.rang(), woken()), (true, 1));
        drop(bell.hush());
        rope.wake_by_ref();
        assert_eq!(woken(), 2);
    }
}
