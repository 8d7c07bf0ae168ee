//! The upstream's half of the load: takes the proxy's connections and answers by the script. It must never answer faster than the script
//! says: one piece, one write.

use std::io::{self, Read as _};
use std::time::Instant;

use anyhow::Context as _;
use mio::Token;
use mio::net::TcpStream;

use super::{BOTH, Load, READ, Relay};
use crate::answer::Script;
use crate::sample::now;
use crate::uplink::{Asked, Uplink};

impl Load<'_> {
    /// Takes the connections that wait.
    pub(super) fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept a connection"),
            };
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.uplinks.push(None);
                self.uplinks.len() - 1
            });
            self.poll
                .registry()
                .register(&mut stream, Token(1 + self.spec.connections + slot), BOTH)?;
            self.put(slot, stream);
        }
    }

    fn put(&mut self, slot: usize, stream: TcpStream) {
        if let Some(place) = self.uplinks.get_mut(slot) {
            *place = Some(Uplink::new(stream));
        }
    }

    /// Reads what a connection of the proxy has brought, and answers complete requests.
    pub(super) fn uplink_ready(&mut self, slot: usize, to_end: bool) -> anyhow::Result<()> {
        let keep = matches!(self.script, Script::Stream { .. });
        loop {
            let Some(uplink) = self.uplinks.get_mut(slot).and_then(Option::as_mut) else {
                return Ok(());
            };
            let read = uplink.flush().and_then(|()| uplink.stream.read(&mut self.scratch));
            let length = match read {
                Ok(length) if length > 0 => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The proxy closed it; a request that this hurts fails at the client.
                Ok(_) | Err(_) => {
                    self.uplinks.get_mut(slot).map(Option::take);
                    self.free.push(slot);
                    return Ok(());
                }
            };
            let bytes = self.scratch.get(..length).unwrap_or_default();
            if let Some(asked) = uplink.feed(bytes, keep).context("towards the upstream")? {
                self.reply(slot, asked)?;
            }
            if length < READ && !to_end {
                return Ok(());
            }
        }
    }

    fn reply(&mut self, slot: usize, asked: Asked) -> anyhow::Result<()> {
        if let Script::Unary { bytes, .. } = &self.script {
            if let Some(uplink) = self.uplinks.get_mut(slot).and_then(Option::as_mut) {
                // A connection that broke meanwhile is noticed by its next event.
                let _ = uplink.send(bytes);
            }
            return Ok(());
        }
        let peer = asked.peer.context("a request that names no connection reached the upstream")?;
        let relay = self
            .relays
            .get_mut(peer)
            .context("a request that names an unknown connection reached the upstream")?;
        *relay = Relay {
            slot,
            include_usage: asked.include_usage,
            sent: std::mem::take(&mut relay.sent),
            seen: 0,
        };
        relay.sent.clear();
        self.send_piece(peer, now());
        Ok(())
    }

    /// Sends the next piece of a stream, if there is one; `due` is when it should leave.
    pub(super) fn send_piece(&mut self, peer: usize, due: Instant) {
        let Script::Stream { plain, with_usage } = &self.script else {
            return;
        };
        let Some(relay) = self.relays.get_mut(peer) else { return };
        let pieces = if relay.include_usage { with_usage } else { plain };
        let Some(piece) = pieces.get(relay.sent.len()) else { return };
        relay.sent.push(now());
        if let Some(uplink) = self.uplinks.get_mut(relay.slot).and_then(Option::as_mut) {
            let _ = uplink.send(piece);
        }
        if let Some(pace) = self.pace
            && relay.sent.len() < pieces.len()
        {
            self.paced.push_back((due + pace, peer, relay.sent.len()));
        }
    }
}
