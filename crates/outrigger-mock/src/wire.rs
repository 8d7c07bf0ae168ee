//! The socket under a connection, and the switch that breaks it.
//!
//! Decides that a fault happens only once the bytes before it are on the wire: hyper flushes the socket after every write, and that
//! flush is where a requested cut strikes. It must never break a connection that nobody asked to break.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::realtime::Session;
use crate::registry::Provider;

/// How a connection is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// RST: the peer sees "connection reset".
    Reset,
    /// FIN: the peer sees an early end.
    Close,
}

/// What a connection is doing, for the idle clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before its first call, or inside one.
    Busy,
    /// Between calls; closes after so long, if a time is given.
    Idle(Option<Duration>),
}

/// One accepted connection, shared by its socket, its calls and their bodies.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Counts up over the life of the mock, from 1.
    pub(crate) id: u64,
    calls: AtomicU64,
    cut: Mutex<Option<Break>>,
    phase: watch::Sender<Phase>,
    providers: Mutex<Vec<Arc<Provider>>>,
    session: Mutex<Option<Session>>,
}

impl Connection {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id,
            calls: AtomicU64::new(0),
            cut: Mutex::new(None),
            phase: watch::Sender::new(Phase::Busy),
            providers: Mutex::default(),
            session: Mutex::new(None),
        }
    }

    /// A call arrived for this provider; says whether the connection carried one before.
    pub(crate) fn begin(&self, provider: &Arc<Provider>) -> bool {
        self.phase.send_replace(Phase::Busy);
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if !providers.iter().any(|known| Arc::ptr_eq(known, provider)) {
            provider.connection_opened();
            providers.push(Arc::clone(provider));
        }
        self.calls.fetch_add(1, Ordering::Relaxed) > 0
    }

    /// The call's answer has been handed over whole.
    pub(crate) fn rest(&self, idle_close: Option<Duration>) {
        self.phase.send_replace(Phase::Idle(idle_close));
    }

    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Asks for the connection to be broken as soon as what was written so far has left.
    pub(crate) fn cut(&self, how: Break) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
    }

    fn asked(&self) -> Option<Break> {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the websocket session that this connection becomes when HTTP is done with it.
    pub(crate) fn hand_over(&self, session: Session) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    pub(crate) fn take_session(&self) -> Option<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        for provider in providers.drain(..) {
            provider.connection_closed();
        }
    }
}

/// A socket that obeys its [`Connection`].
pub(crate) struct Wire {
    socket: TokioIo<TcpStream>,
    connection: Arc<Connection>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, connection: Arc<Connection>) -> Self {
        Self {
            socket: TokioIo::new(socket),
            connection,
        }
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.asked().is_some() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "broken by the script")));
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.connection.asked() == Some(Break::Reset) {
            // With no time to linger, closing sends RST. A socket that is gone already needs none.
            let _ = self.socket.inner().set_zero_linger();
        }
    }
}
