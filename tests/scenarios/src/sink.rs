//! A place that nothing may reach: it counts what does, down to the connection and the byte, and answers nobody.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{io::AsyncReadExt as _, net::TcpListener, task::JoinSet};

/// Ends when it is dropped.
pub(crate) struct Sink {
    pub(crate) addr: SocketAddr,
    seen: Arc<Seen>,
    _accepts: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    bytes: AtomicUsize,
}

impl Sink {
    /// On a free port.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
        let mut accepts = JoinSet::new();
        let counted = Arc::clone(&seen);
        accepts.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((mut connection, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::Relaxed);
                // One read, then it hangs up: whoever came goes elsewhere.
                let read = connection.read(&mut buffer).await.unwrap_or(0);
                counted.bytes.fetch_add(read, Ordering::Relaxed);
            }
        });
        Ok(Self {
            addr,
            seen,
            _accepts: accepts,
        })
    }

    /// Connections and bytes so far.
    pub(crate) fn seen(&self) -> (usize, usize) {
        (
            self.seen.connections.load(Ordering::Relaxed),
            self.seen.bytes.load(Ordering::Relaxed),
        )
    }
}
