//! One new connection: the addresses of both families in turn, the next one started while the one before is still trying.

use std::{io, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, task::JoinSet};

/// How long one address has before the next is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address that answers.
pub(super) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return open(*only).await;
    }
    let mut trying = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let mut left = addresses.iter();
    loop {
        match left.next() {
            Some(address) => {
                trying.spawn(open(*address));
            }
            None if trying.is_empty() => return Err(last),
            None => {}
        }
        let ended = if left.len() == 0 {
            trying.join_next().await
        } else {
            // No answer in time is no failure: the next one starts beside it.
            tokio::time::timeout(HEAD_START, trying.join_next()).await.unwrap_or(None)
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last = error,
            Some(Err(_)) | None => {}
        }
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_dead_address_before_a_live_one_costs_nothing_but_its_turn() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stream = connect(&[dead, live.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        assert!(connect(&[dead]).await.is_err());
        assert!(connect(&[dead, dead]).await.is_err());
        assert!(connect(&[]).await.is_err());
    }
}
