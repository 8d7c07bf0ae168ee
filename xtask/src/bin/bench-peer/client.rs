//! One connection of the load to the proxy. It must never wait: what the socket does not take is sent when it can.

use std::io::{self, IoSlice, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use crate::reader::Reader;

/// A client connection, with at most one request in progress.
pub(crate) struct Client {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// The answer in progress.
    pub(crate) reader: Reader,
    /// When the request in progress began, or should have.
    pub(crate) since: Option<Instant>,
    own: Vec<u8>,
    unsent: usize,
}

impl Client {
    /// Connects; `own` is the first piece of each request.
    pub(crate) fn connect(proxy: SocketAddr, own: Vec<u8>) -> io::Result<Self> {
        let stream = TcpStream::connect(proxy)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            reader: Reader::default(),
            since: None,
            own,
            unsent: 0,
        })
    }

    /// Begins a request; `shared` is the second piece.
    pub(crate) fn ask(&mut self, shared: &[u8], since: Instant) -> io::Result<()> {
        self.since = Some(since);
        self.reader = Reader::default();
        self.unsent = self.own.len() + shared.len();
        self.flush(shared)
    }

    /// Writes what is left of the request.
    pub(crate) fn flush(&mut self, shared: &[u8]) -> io::Result<()> {
        while self.unsent > 0 {
            let sent = self.own.len() + shared.len() - self.unsent;
            let own = self.own.get(sent..).unwrap_or_default();
            let shared = shared.get(sent.saturating_sub(self.own.len())..).unwrap_or_default();
            match self.stream.write_vectored(&[IoSlice::new(own), IoSlice::new(shared)]) {
                Ok(written) => self.unsent -= written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // NotConnected: the handshake is still under way.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
