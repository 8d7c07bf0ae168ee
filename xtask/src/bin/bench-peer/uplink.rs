//! One connection from the proxy to the scripted upstream: finds where a request ends, and for whom it asks.
//! It must never look into a body whose sender does not matter: 400 KB are counted, not read.

use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};
use mio::net::TcpStream;

use crate::prompt;

const MAX_KEPT: usize = 1 << 20;

/// A connection of the proxy.
pub(crate) struct Uplink {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// Of the body still to come; absent while the head is incomplete.
    left: Option<usize>,
    kept: Vec<u8>,
    unsent: Vec<u8>,
}

/// A complete request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The client connection that it was sent on, where the body was kept and says so.
    pub(crate) peer: Option<usize>,
    /// Does it ask for usage in the stream?
    pub(crate) include_usage: bool,
}

impl Uplink {
    /// A fresh connection.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            left: None,
            kept: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// Takes the next bytes; a request when it is complete. With `keep` its body is looked into.
    ///
    /// # Errors
    /// Not HTTP/1.1 with a `content-length`, or a second request before the first one's answer.
    pub(crate) fn feed(&mut self, bytes: &[u8], keep: bool) -> anyhow::Result<Option<Asked>> {
        if self.left.is_none() && self.kept.is_empty() {
            // Nearly always the whole request is here, and nothing needs to be copied.
            let Some((head, length)) = parse_head(bytes)? else {
                self.kept.extend_from_slice(bytes);
                return Ok(None);
            };
            return self.body(bytes.get(head..).unwrap_or_default(), length, keep);
        }
        if let Some(left) = self.left {
            return self.body(bytes, left, keep);
        }
        self.kept.extend_from_slice(bytes);
        ensure!(self.kept.len() <= MAX_KEPT, "a request head over {MAX_KEPT} bytes");
        let Some((head, length)) = parse_head(&self.kept)? else {
            return Ok(None);
        };
        let kept = std::mem::take(&mut self.kept);
        self.body(kept.get(head..).unwrap_or_default(), length, keep)
    }

    fn body(&mut self, bytes: &[u8], left: usize, keep: bool) -> anyhow::Result<Option<Asked>> {
        ensure!(bytes.len() <= left, "bytes behind the end of a request");
        if bytes.len() < left {
            self.left = Some(left - bytes.len());
            if keep {
                self.kept.extend_from_slice(bytes);
            }
            return Ok(None);
        }
        self.left = None;
        if !keep {
            return Ok(Some(Asked {
                peer: None,
                include_usage: false,
            }));
        }
        let asked = if self.kept.is_empty() {
            asked(bytes)
        } else {
            self.kept.extend_from_slice(bytes);
            asked(&self.kept)
        };
        self.kept.clear();
        Ok(Some(asked))
    }

    /// Writes `bytes`, or keeps what the socket does not take until [`Self::flush`].
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let written = match self.stream.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent.extend_from_slice(bytes.get(written..).unwrap_or_default());
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.send(&unsent)
    }
}

fn asked(body: &[u8]) -> Asked {
    Asked {
        peer: prompt::peer(body),
        include_usage: memchr::memmem::find(body, b"\"include_usage\":true").is_some(),
    }
}

/// Length of the head and of the body behind it, once the head is complete.
fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).context("a request head that is none")? else {
        return Ok(None);
    };
    let mut length = 0;
    for header in request.headers.iter() {
        ensure!(
            !header.name.eq_ignore_ascii_case("transfer-encoding"),
            "the proxy dropped the request's content-length"
        );
        if header.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(header.value)?.parse().context("content-length")?;
        }
    }
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 48\r\n\r\n{\"a\":\"peer-000017 x\",\"b\":{\"include_usage\":true}}";

    fn uplink() -> (Uplink, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (here, _) = listener.accept().unwrap();
        (Uplink::new(TcpStream::from_std(here)), there)
    }

    #[test]
    fn a_request_reads_the_same_at_every_split() {
        let (mut uplink, _there) = uplink();
        for split in 1..REQUEST.len() {
            let (first, second) = REQUEST.split_at(split);
            assert_eq!(uplink.feed(first, true).unwrap(), None, "split at {split}");
            let asked = Asked {
                peer: Some(17),
                include_usage: true,
            };
            assert_eq!(uplink.feed(second, true).unwrap(), Some(asked), "split at {split}");
        }
    }

    #[test]
    fn a_body_that_nobody_asks_about_is_not_kept() {
        let (mut uplink, _there) = uplink();
        assert_eq!(uplink.feed(&REQUEST[..80], false).unwrap(), None);
        assert!(uplink.kept.is_empty());
        assert!(uplink.feed(&REQUEST[80..], false).unwrap().is_some());
    }
}
