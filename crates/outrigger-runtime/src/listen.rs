//! Listening sockets: an address and its twin of the other IP version, at one port. All of them are bound before any accepts, so that a
//! conflict shows before anything is served; a failing accept never turns into a busy loop.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: i32 = 1_024;
/// Tries to find a port that is free on both IP versions.
const PORT_TRIES: usize = 32;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One or two bound sockets that accept as one.
pub struct Listeners {
    sockets: Vec<TcpListener>,
    port: u16,
    turn: usize,
    pause: Pause,
}

impl Listeners {
    /// Binds `address` and, for the loopback and the unspecified address, its twin: `127.0.0.1` with `::1`, `0.0.0.0` with `::`. Port 0
    /// becomes one port of the system's choice on both. A host without IPv6 gets IPv4 alone.
    ///
    /// # Errors
    /// Where `address` cannot be bound, or the port is taken on the twin: its callers would then reach somebody else.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match Self::bind_at(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
                done => return done,
            }
        }
    }

    fn bind_at(address: SocketAddr) -> io::Result<Self> {
        let first = socket(address)?;
        let port = first.local_addr()?.port();
        let mut sockets = vec![first];
        if let Some(twin) = twin(address.ip()) {
            match socket(SocketAddr::new(twin, port)) {
                Ok(second) => sockets.push(second),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(error) => tracing::debug!(%twin, %error, "no second address to listen on"),
            }
        }
        Ok(Self {
            sockets,
            port,
            turn: 0,
            pause: Pause::default(),
        })
    }

    /// The port, the same on every address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every address that is listened on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// The next connection, `TCP_NODELAY` set. Errors of single connections are passed over; where the system has run out of something
    /// (descriptors, memory) it waits and tries again, 10 ms at first and at most 1 s. Nothing is lost if dropped.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, peer) = {
            let Self { sockets, turn, pause, .. } = self;
            accept_with(pause, |cx| accept_any(sockets, turn, cx)).await
        };
        // Only fails on a connection that is already gone, which its first read will tell.
        let _ = stream.set_nodelay(true);
        (stream, peer)
    }
}

fn accept_any(sockets: &[TcpListener], turn: &mut usize, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    // In turn: a flood on one address must not starve the other.
    *turn = turn.wrapping_add(1);
    for n in 0..sockets.len() {
        let Some(socket) = sockets.get(turn.wrapping_add(n) % sockets.len()) else {
            break;
        };
        if let Poll::Ready(accepted) = socket.poll_accept(cx) {
            return Poll::Ready(accepted);
        }
    }
    Poll::Pending
}

async fn accept_with<T>(pause: &mut Pause, mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> T {
    loop {
        if let Some(wait) = pause.due {
            tokio::time::sleep(wait).await;
            pause.due = None;
        }
        match std::future::poll_fn(&mut accept).await {
            Ok(accepted) => {
                pause.last = None;
                return accepted;
            }
            Err(error) => pause.after(&error),
        }
    }
}

/// How long to wait after failures. Outlives a dropped `accept`, so that a select loop around it stays as slow.
#[derive(Default)]
struct Pause {
    last: Option<Duration>,
    due: Option<Duration>,
}

impl Pause {
    fn after(&mut self, error: &io::Error) {
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return;
        }
        let pause = self.last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        if self.last.is_none_or(|last| last < LONGEST_PAUSE) {
            tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept connections");
        }
        self.last = Some(pause);
        self.due = Some(pause);
    }
}

fn twin(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Some(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(Ipv6Addr::UNSPECIFIED.into()),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process takes its port back although old connections linger.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `::` must leave IPv4 to its twin, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use std::collections::VecDeque;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
    }

    #[tokio::test]
    async fn both_loopback_addresses_answer_at_one_port() {
        let mut listeners = Listeners::bind(loopback(0)).unwrap();
        let addresses = listeners.addresses();
        assert!(addresses.iter().all(|address| address.port() == listeners.port()));
        assert_eq!(addresses[0], loopback(listeners.port()));
        for address in addresses {
            let (client, (accepted, peer)) = tokio::join!(TcpStream::connect(address), listeners.accept());
            assert_eq!(client.unwrap().local_addr().unwrap(), peer);
            assert!(accepted.nodelay().unwrap());
        }
    }

    #[tokio::test]
    async fn all_addresses_answer_at_one_port() {
        let listeners = Listeners::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let addresses = listeners.addresses();
        assert!(addresses.iter().all(|address| address.ip().is_unspecified()));
        assert!(TcpStream::connect(loopback(listeners.port())).await.is_ok());
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let listeners = Listeners::bind(loopback(0)).unwrap();
        let error = Listeners::bind(loopback(listeners.port())).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_port_taken_on_the_twin_alone_is_an_error_too() {
        let listeners = Listeners::bind(loopback(0)).unwrap();
        if listeners.addresses().len() < 2 {
            return; // A host without IPv6 has no twin.
        }
        let port = listeners.port();
        let mut sockets = listeners.sockets;
        drop(sockets.remove(0));
        let error = Listeners::bind(loopback(port)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test(start_paused = true)]
    async fn a_system_out_of_descriptors_is_asked_less_and_less_often() {
        let clock = Clock::start();
        let exhausted = || io::Error::from_raw_os_error(24);
        let mut answers: VecDeque<io::Result<u8>> = (0..10).map(|_| Err(exhausted())).collect();
        answers.push_back(Ok(1));
        answers.push_back(Err(exhausted()));
        answers.push_back(Ok(2));
        let mut pause = Pause::default();
        let mut accept = |_: &mut Context<'_>| answers.pop_front().map_or(Poll::Pending, Poll::Ready);
        assert_eq!(accept_with(&mut pause, &mut accept).await, 1);
        // 10 + 20 + … + 640 ms, then 1 s three times.
        assert_eq!(clock.now_us(), (1_270 + 3_000) * 1_000);
        assert_eq!(accept_with(&mut pause, &mut accept).await, 2);
        assert_eq!(clock.now_us(), (1_270 + 3_000 + 10) * 1_000, "a success starts it over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_gone_before_its_turn_delays_nobody() {
        let clock = Clock::start();
        let mut answers = VecDeque::from([Err(io::ErrorKind::ConnectionAborted.into()), Ok(1)]);
        let mut pause = Pause::default();
        assert_eq!(
            accept_with(&mut pause, |_| answers.pop_front().map_or(Poll::Pending, Poll::Ready)).await,
            1
        );
        assert_eq!(clock.now_us(), 0);
    }
}
