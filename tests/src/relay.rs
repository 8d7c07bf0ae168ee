//! A relay that can fall silent without closing anything: a network that loses every packet.

use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Forwards connections; ends with its drop.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    silent: Arc<watch::Sender<bool>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// A relay to `target`.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let silent = Arc::new(watch::Sender::new(false));
        let mut tasks = JoinSet::new();
        let ear = Arc::clone(&silent);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let ear = ear.subscribe();
                // A connection that begins in silence stays in it.
                let mute = *ear.borrow();
                connections.spawn(async move {
                    if mute {
                        return std::future::pending().await;
                    }
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::join!(forward(near_in, far_out, ear.clone()), forward(far_in, near_out, ear));
                });
            }
        });
        Self {
            address,
            silent,
            _tasks: tasks,
        }
    }

    /// Nothing that is on its way arrives any more, and nobody is told. Connections that begin once it is over work again; those that
    /// have met it do not.
    pub fn silence(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

async fn silence(silent: &mut watch::Receiver<bool>) {
    let _ = silent.wait_for(|silent| *silent).await;
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut silent: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = tokio::select! {
            biased;
            () = silence(&mut silent) => return std::future::pending().await,
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            let _ = to.shutdown().await;
            return;
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
