//! An upgraded connection, such as a realtime websocket: bytes both ways until either side ends or both are silent for too long.

use crate::{app::App, budget::Held, passthrough::SILENCE};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use outrigger_core::Tick;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Joins the two sides once both have switched.
pub(crate) fn open(app: &Arc<App>, client: OnUpgrade, provider: OnUpgrade, held: Held) {
    let app = Arc::clone(app);
    let tasks = app.tasks.clone();
    tasks.spawn("tunnel", async move {
        let _held = held;
        let (Ok(client), Ok(provider)) = tokio::join!(client, provider) else {
            return;
        };
        let last = Arc::new(AtomicU64::new(app.now().0));
        let mut client = Watched {
            io: TokioIo::new(client),
            app: Arc::clone(&app),
            last: Arc::clone(&last),
        };
        let mut provider = TokioIo::new(provider);
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut provider) => {}
            () = silence(&app, &last) => {}
        }
    });
}

/// Ends once nothing has passed for [`SILENCE`].
async fn silence(app: &App, last: &AtomicU64) {
    loop {
        let until = Tick(last.load(Ordering::Relaxed)).after(SILENCE);
        if app.now() >= until {
            return;
        }
        tokio::time::sleep_until(app.clock.instant_at(until.0)).await;
    }
}

/// One side, with a note of when something last passed: what is read here is written there, so one side tells of both.
struct Watched<T> {
    io: T,
    app: Arc<App>,
    last: Arc<AtomicU64>,
}

impl<T> Watched<T> {
    fn note(&self) {
        self.last.store(self.app.now().0, Ordering::Relaxed);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.note();
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        self.note();
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
