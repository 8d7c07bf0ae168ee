//! Listening, accepting, and the life of one connection.
//!
//! Decides when a connection that is idle ends. Connections live in one task set, so that none outlives the mock.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::realtime;
use crate::registry::Registry;
use crate::serve;
use crate::wire::{Connection, Phase, Wire};

/// Connections that wait to be accepted: enough for a load that opens them all at once.
const BACKLOG: i32 = 4096;
/// Rest after an accept that failed, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Binds the address; port 0 takes a free one.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // A provider that is started again on its old port must not wait for the old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves until `stop` fires or is dropped.
pub(crate) async fn run(listener: std::net::TcpListener, registry: Arc<Registry>, mut stop: oneshot::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, Arc::clone(&registry)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection(socket: TcpStream, registry: Arc<Registry>) {
    // Without it, small pieces of a stream wait for the client's delayed acknowledgement.
    let _ = socket.set_nodelay(true);
    let connection = Arc::new(Connection::new(registry.next_connection()));
    let mut phases = connection.phases();
    let wire = Wire::new(socket, Arc::clone(&connection));
    let service = service_fn({
        let connection = Arc::clone(&connection);
        move |request| serve::call(Arc::clone(&registry), Arc::clone(&connection), request)
    });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).half_close(false);
    let mut served = pin!(http.serve_connection(wire, service).with_upgrades());
    loop {
        let phase = *phases.borrow_and_update();
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, connection = connection.id, "a connection broke");
                }
                break;
            }
            _ = phases.changed() => {}
            () = idled(phase) => {
                // Closes without a word if no call is under way, and after the call otherwise.
                served.as_mut().graceful_shutdown();
                let _ = served.as_mut().await;
                break;
            }
        }
    }
    if let Some(session) = connection.take_session() {
        realtime::run(session, &connection).await;
    }
}

async fn idled(phase: Phase) {
    match phase {
        Phase::Idle(Some(limit)) => tokio::time::sleep(limit).await,
        Phase::Idle(None) | Phase::Busy => std::future::pending().await,
    }
}
