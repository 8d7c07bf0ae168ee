//! From addresses to a byte stream: race the addresses, tune the socket, shake hands. It never outlives the caller's interest: dropped
//! half-way, every socket that it had begun to open is closed.

use super::dns::Addresses;
use super::error::{ConnectFault, SendError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long an address may keep the next one waiting (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses tried per connection.
const MOST_ADDRESSES: usize = 8;
/// A peer that acknowledges nothing for this long is gone: without this a middlebox that forgot us would cost the whole response timeout.
const SILENCE: Duration = Duration::from_secs(30);

/// What TLS needs to know of an origin.
pub(super) struct Handshake {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// Opens a connection within `limit`, name lookup and handshake included.
pub(super) async fn open(addresses: &Addresses, handshake: Option<&Handshake>, limit: Duration) -> Result<Transport, SendError> {
    let mut deadline = pin!(tokio::time::sleep(limit));
    let found = within(deadline.as_mut(), "in name resolution", addresses.current()).await??;
    let tcp = within(deadline.as_mut(), "before the peer accepted", race(&found, TcpStream::connect)).await;
    let tcp = match tcp {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => {
            addresses.suspect();
            return Err(SendError::tcp(&error));
        }
        Err(timeout) => {
            addresses.suspect();
            return Err(timeout);
        }
    };
    tune(&tcp).map_err(|error| SendError::tcp(&error))?;
    let Some(handshake) = handshake else {
        return Ok(Transport::Plain(tcp));
    };
    let connector = TlsConnector::from(handshake.config.clone());
    let shake = connector.connect(handshake.name.clone(), tcp);
    match within(deadline.as_mut(), "in the TLS handshake", shake).await? {
        Ok(tls) => Ok(Transport::Tls(Box::new(tls))),
        Err(error) => Err(SendError::connect(ConnectFault::Tls, format!("TLS handshake failed: {error}"))),
    }
}

async fn within<T>(deadline: Pin<&mut Sleep>, phase: &str, work: impl Future<Output = T>) -> Result<T, SendError> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = deadline => Err(SendError::connect(ConnectFault::Timeout, format!("the connect timeout ended {phase}"))),
    }
}

/// Happy eyeballs: starts with the first address; each following one joins when the last has had its head start or has failed. The first
/// to connect wins and the others are dropped; the error is the first one's.
async fn race<T, F>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    if let &[only] = addresses {
        return connect(only).await;
    }
    let mut waiting = families_in_turn(addresses).into_iter().take(MOST_ADDRESSES);
    let mut running = JoinSet::new();
    let mut first_error = None;
    loop {
        let next = waiting.next();
        let more = next.is_some();
        if let Some(address) = next {
            running.spawn(connect(address));
        }
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => {
                    first_error.get_or_insert(error);
                }
                Some(Err(broken)) => {
                    first_error.get_or_insert(io::Error::other(broken));
                }
                None => return Err(first_error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
            },
            () = tokio::time::sleep(HEAD_START), if more => {}
        }
    }
}

/// The resolver's order, but alternating between the families, so that a broken one costs one head start and not one per address.
fn families_in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses.iter().partition(|a| a.is_ipv6() == first_v6);
    let mut second = second.into_iter();
    let mut order = Vec::with_capacity(addresses.len());
    for address in first {
        order.push(address);
        order.extend(second.next());
    }
    order.extend(second);
    order
}

fn tune(tcp: &TcpStream) -> io::Result<()> {
    // Without it each streamed answer waits for a delayed acknowledgement.
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE))?;
    Ok(())
}

/// A byte stream to a provider.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A [`Transport`] that notes when anything has come in: only a connection that stayed mute may be blamed on an idle close.
pub(super) struct Listening {
    pub(super) transport: Transport,
    pub(super) heard: Arc<AtomicBool>,
}

impl AsyncRead for Listening {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = match &mut self.transport {
            Transport::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Transport::Tls(io) => Pin::new(io).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        poll
    }
}

impl AsyncWrite for Listening {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Transport::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Transport::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(io) => io.is_write_vectored(),
            Transport::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(io) => Pin::new(io).poll_flush(cx),
            Transport::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Transport::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
