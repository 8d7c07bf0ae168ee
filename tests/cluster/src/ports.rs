//! Ports from the operating system that stay ours: each is held by a socket that is bound and never listens, and the programs share it.
//! So nobody else gets a port between its choice and its use, nor while the API server is stopped. No connection reaches such a socket.

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4};

/// A port that is held for as long as this lives.
#[derive(Debug)]
pub(crate) struct Port {
    socket: Socket,
}

impl Port {
    pub(crate) fn reserve(address: Ipv4Addr) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddrV4::new(address, 0).into())?;
        Ok(Self { socket })
    }

    pub(crate) fn number(&self) -> Result<u16> {
        let address = self.socket.local_addr()?;
        Ok(address.as_socket_ipv4().context("an address that is not IPv4")?.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reserved_port_refuses_connections_and_strangers() {
        let port = Port::reserve(Ipv4Addr::LOCALHOST).unwrap();
        let address = (Ipv4Addr::LOCALHOST, port.number().unwrap());
        assert!(TcpStream::connect(address).is_err());
        assert!(TcpListener::bind(address).is_err(), "a program that does not share it");
    }

    #[test]
    fn who_shares_a_reserved_port_gets_every_connection() {
        let port = Port::reserve(Ipv4Addr::LOCALHOST).unwrap();
        let number = port.number().unwrap();
        let sharing = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        sharing.set_reuse_port(true).unwrap();
        sharing.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, number).into()).unwrap();
        sharing.listen(64).unwrap();
        let clients: Vec<_> = (0..32)
            .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, number)).unwrap())
            .collect();
        for _ in &clients {
            sharing.accept().unwrap();
        }
    }
}
