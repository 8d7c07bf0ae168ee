//! Listeners: every port is open before anything is served, on both loopback families where the host has both.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// How long an accept loop rests when the process has no descriptor left: nothing but an ended connection helps.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// How often a free port is looked for that both families have.
const TRIES: usize = 16;

/// One address, or one port on both loopback addresses.
#[derive(Debug)]
pub struct Listener {
    first: TcpListener,
    second: Option<TcpListener>,
}

impl Listener {
    /// Opens `address`; port 0 is the system's choice. An IPv4 loopback address is opened on `[::1]` too, at the same port, where the host
    /// has IPv6. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// Where the port is taken, or may not be opened.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        if address.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return Ok(Self { first: bind(address)?, second: None });
        }
        let mut last = None;
        for _ in 0..TRIES {
            let first = bind(address)?;
            let twin = SocketAddr::from((Ipv6Addr::LOCALHOST, first.local_addr()?.port()));
            match bind(twin) {
                Ok(second) => return Ok(Self { first, second: Some(second) }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 => last = Some(error),
                // A host without IPv6, or somebody else's port there: what was asked for is open.
                Err(_) => return Ok(Self { first, second: None }),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    /// The address that was asked for, with its real port.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.first.local_addr()
    }

    /// The next connection, without Nagle's delay. A failed accept is tried again: none of its causes is the listener's end.
    pub async fn accept(&self) -> TcpStream {
        loop {
            let accepted = match &self.second {
                None => self.first.accept().await,
                Some(second) => tokio::select! {
                    accepted = self.first.accept() => accepted,
                    accepted = second.accept() => accepted,
                },
            };
            match accepted {
                Ok((stream, _)) => {
                    if stream.set_nodelay(true).is_ok() {
                        return stream;
                    }
                }
                Err(error) if is_the_connections(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// Whether only the one connection is lost.
fn is_the_connections(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
    )
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_port_is_open_on_both_loopback_addresses() {
        let listener = Listener::open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let four = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let (four, accepted) = tokio::join!(four, listener.accept());
        assert_eq!(accepted.peer_addr().unwrap(), four.unwrap().local_addr().unwrap());
        assert!(accepted.nodelay().unwrap());
        if listener.second.is_some() {
            let six = TcpStream::connect((Ipv6Addr::LOCALHOST, port));
            let (six, accepted) = tokio::join!(six, listener.accept());
            assert_eq!(accepted.peer_addr().unwrap(), six.unwrap().local_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let listener = Listener::open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let taken = Listener::open(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
