//! One client connection: hyper's HTTP/1.1 server around the pipeline, with limits on clients that are idle, slow to send a head, or
//! slow to read. The limits are checked every few seconds, not to the second: they protect the process, they time nothing.

use crate::{
    app::App,
    body::{Broken, Reply},
    pipeline,
    timer::Timer,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{
    Request,
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use outrigger_core::Tick;
use outrigger_runtime::{Clock, Draining};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, task::coop::unconstrained};

/// How often the limits are looked at.
const GLANCE: Duration = Duration::from_secs(5);
/// The largest head of a request, bytes.
const MAX_HEAD: usize = 16 << 10;

/// Serves a connection until it ends, or until its current request has ended once the process drains.
pub(crate) async fn serve(app: Arc<App>, stream: TcpStream, mut draining: Draining) {
    let watch = Arc::new(Watch::new(app.clock));
    let io = ClientIo {
        io: TokioIo::new(stream),
        watch: Arc::clone(&watch),
    };
    let timer = Arc::new(Timer::new(app.clock));
    // The pipeline's own future, with nothing around it: each layer would hold it twice over and copy it once more.
    let service = service_fn(|request: Request<Incoming>| {
        watch.begin();
        pipeline::accept::serve(Arc::clone(&app), Arc::clone(&timer), Arc::clone(&watch), request)
    });
    let read_buffer = app.read_buffers.take();
    let mut connection = pin!(
        http1::Builder::new()
            .pipeline_flush(true)
            .writev(false)
            .max_buf_size(read_buffer.size())
            .max_header_size(MAX_HEAD)
            .serve_connection(io, service)
            .with_upgrades()
    );
    let ear = draining.clone();
    let mut graceful = pin!(draining.graceful());
    let mut stopping = false;
    loop {
        let mut glance = pin!(tokio::time::sleep_until(app.clock.instant_at(app.now().after(GLANCE).0)));
        // The connection is polled for each piece of an answer, always by the same task. The others know whom to wake once they have been
        // polled, and are asked again when they have something to say. Not under the scheduler's budget: out of it they would not know.
        let mut told = false;
        let next = std::future::poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::End);
            }
            if !stopping && (!told || ear.moved()) && pin!(unconstrained(graceful.as_mut())).poll(cx).is_ready() {
                return Poll::Ready(Next::Stop);
            }
            if (!told || glance.is_elapsed()) && pin!(unconstrained(glance.as_mut())).poll(cx).is_ready() {
                return Poll::Ready(Next::Judge);
            }
            told = true;
            Poll::Pending
        });
        let stops = match next.await {
            Next::End => return,
            Next::Stop => true,
            Next::Judge => match watch.judge(&app) {
                Patience::Fine => false,
                Patience::Idle => true,
                Patience::Out => return,
            },
        };
        if stops {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// What happens next to a connection.
enum Next {
    /// It ended.
    End,
    /// The process drains.
    Stop,
    /// Its limits are looked at.
    Judge,
}

/// What a connection is to be done with.
#[derive(Debug, PartialEq, Eq)]
enum Patience {
    /// Nothing.
    Fine,
    /// It rests: end it in good order.
    Idle,
    /// The client sends no head, or does not read its answer: cut it.
    Out,
}

/// When things last moved on a connection. Microseconds of the process's clock; 0 = not so.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Clock,
    /// Since when no call is under way.
    resting_since: AtomicU64,
    /// Since when a head has been coming.
    head_since: AtomicU64,
    /// Since when the client has not taken what we write.
    blocked_since: AtomicU64,
}

impl Watch {
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            resting_since: AtomicU64::new(clock.now_us().max(1)),
            head_since: AtomicU64::new(clock.now_us().max(1)),
            blocked_since: AtomicU64::new(0),
        }
    }

    /// A head is complete: a call is under way.
    fn begin(&self) {
        self.resting_since.store(0, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// Its answer has left.
    fn end(&self) {
        self.resting_since.store(self.clock.now_us().max(1), Ordering::Relaxed);
    }

    fn read(&self) {
        if self.resting_since.load(Ordering::Relaxed) != 0 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.clock.now_us().max(1), Ordering::Relaxed);
        }
    }

    fn wrote(&self, all: bool) {
        if all {
            self.blocked_since.store(0, Ordering::Relaxed);
        } else if self.blocked_since.load(Ordering::Relaxed) == 0 {
            self.blocked_since.store(self.clock.now_us().max(1), Ordering::Relaxed);
        }
    }

    fn judge(&self, app: &App) -> Patience {
        let now = app.now();
        let longer = |since: &AtomicU64, limit: Duration| match since.load(Ordering::Relaxed) {
            0 => false,
            since => now.since(Tick(since)) >= limit,
        };
        if longer(&self.blocked_since, app.settings.stall) || longer(&self.head_since, app.settings.head) {
            return Patience::Out;
        }
        if longer(&self.resting_since, app.settings.idle) {
            Patience::Idle
        } else {
            Patience::Fine
        }
    }
}

/// The socket, with a note of what moves.
struct ClientIo {
    io: TokioIo<TcpStream>,
    watch: Arc<Watch>,
}

impl Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.watch.read();
        }
        read
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch.wrote(wrote.is_ready());
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch.wrote(wrote.is_ready());
        wrote
    }
}

/// A response body that notes its end.
pub(crate) struct Ending {
    pub(crate) body: Reply,
    pub(crate) watch: Arc<Watch>,
}

impl Body for Ending {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.watch.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_does_not_come_is_cut_and_a_rest_is_ended_in_good_order() {
        let clock = Clock::start();
        let watch = Watch::new(clock);
        watch.begin();
        assert_eq!(
            (
                watch.resting_since.load(Ordering::Relaxed),
                watch.head_since.load(Ordering::Relaxed)
            ),
            (0, 0)
        );
        watch.read();
        assert_eq!(watch.head_since.load(Ordering::Relaxed), 0, "a body is no head");
        watch.end();
        assert_eq!(watch.head_since.load(Ordering::Relaxed), 0, "rest is no slow head");
        watch.read();
        assert_ne!(watch.head_since.load(Ordering::Relaxed), 0);
    }
}
