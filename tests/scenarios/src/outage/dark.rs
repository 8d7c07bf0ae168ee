//! An address that no longer takes connections: a listener whose queue is full, so that the kernel lets further ones wait without a word.

use anyhow::{Context as _, bail};
use socket2::{Domain, Socket, Type};
use std::{net::SocketAddr, time::Duration};

/// Ends when it is dropped.
pub(super) struct Dark {
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Dark {
    /// Takes the address, which must be free.
    ///
    /// # Errors
    /// It is not free, or this system takes connections all the same.
    pub(super) fn at(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = || Socket::new(Domain::for_address(address), Type::STREAM, None);
        let listener = socket()?;
        listener.set_reuse_address(true)?;
        listener.bind(&address.into()).context("the dark address")?;
        listener.listen(0)?;
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let filler = socket()?;
            let taken = filler.connect_timeout(&address.into(), Duration::from_millis(20)).is_ok();
            waiting.push(filler);
            if !taken {
                return Ok(Self {
                    _listener: listener,
                    _waiting: waiting,
                });
            }
        }
        bail!("a full queue takes connections here")
    }
}

#[cfg(test)]
mod tests {
    use super::Dark;
    use std::{
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    #[test]
    fn a_dark_address_neither_takes_nor_refuses_a_connection() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dark = Dark::at(address).unwrap();
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(dark);
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(500)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
