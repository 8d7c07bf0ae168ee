//! Reads one HTTP/1.1 answer from the bytes as they come: where it ends, how much it carries, how many events are complete.
//! It must never copy a body.

use anyhow::{Context as _, bail, ensure};

const MAX_HEAD: usize = 64 << 10;
const EXCERPT: usize = 300;

/// An answer in progress.
#[derive(Default)]
pub(crate) struct Reader {
    state: State,
    head: Vec<u8>,
    /// Status code; 0 until the head is complete.
    pub(crate) status: u16,
    /// Bytes of the body so far, framing left out.
    pub(crate) payload: usize,
    /// Server-sent events that are complete.
    pub(crate) events: usize,
    /// The start of the body of a failure.
    pub(crate) excerpt: Vec<u8>,
    ends_with_newline: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Length(usize),
    ChunkSize(usize),
    ChunkExtension(usize),
    ChunkData(usize),
    /// After the data of a chunk.
    ChunkEnd,
    /// Bytes in the current trailer line.
    Trailer(usize),
    Done,
}

impl Reader {
    /// Takes the next bytes; true when the answer is complete.
    ///
    /// # Errors
    /// Not HTTP/1.1 with a known length, or bytes behind the end.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<bool> {
        if self.state != State::Head {
            return self.body(bytes);
        }
        if self.head.is_empty()
            && let Some(length) = self.parse_head(bytes)?
        {
            return self.body(bytes.get(length..).unwrap_or_default());
        }
        self.head.extend_from_slice(bytes);
        ensure!(self.head.len() <= MAX_HEAD, "a response head over {MAX_HEAD} bytes");
        let head = std::mem::take(&mut self.head);
        if let Some(length) = self.parse_head(&head)? {
            return self.body(head.get(length..).unwrap_or_default());
        }
        self.head = head;
        Ok(false)
    }

    /// The length of the head, once it is complete.
    fn parse_head(&mut self, bytes: &[u8]) -> anyhow::Result<Option<usize>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes).context("a response head that is none")? else {
            return Ok(None);
        };
        self.status = response.code.unwrap_or(0);
        self.state = State::Done;
        let mut framed = false;
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value)?;
                self.state = State::Length(text.parse().context("content-length")?);
                framed = true;
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                ensure!(header.value.eq_ignore_ascii_case(b"chunked"), "an unknown transfer-encoding");
                self.state = State::ChunkSize(0);
                framed = true;
            }
        }
        ensure!(framed, "an answer that ends with its connection");
        Ok(Some(length))
    }

    fn body(&mut self, mut bytes: &[u8]) -> anyhow::Result<bool> {
        loop {
            match self.state {
                State::Done | State::Length(0) => {
                    self.state = State::Done;
                    ensure!(bytes.is_empty(), "bytes behind the end of the answer");
                    return Ok(true);
                }
                State::Length(left) => {
                    let (taken, rest) = bytes.split_at(left.min(bytes.len()));
                    self.take(taken);
                    bytes = rest;
                    self.state = State::Length(left - taken.len());
                    if taken.is_empty() {
                        return Ok(false);
                    }
                }
                State::ChunkData(left) => {
                    let (taken, rest) = bytes.split_at(left.min(bytes.len()));
                    self.take(taken);
                    self.count_events(taken);
                    bytes = rest;
                    self.state = if left == taken.len() {
                        State::ChunkEnd
                    } else {
                        State::ChunkData(left - taken.len())
                    };
                    if taken.is_empty() {
                        return Ok(false);
                    }
                }
                framing @ (State::Head | State::ChunkSize(_) | State::ChunkExtension(_) | State::ChunkEnd | State::Trailer(_)) => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(false);
                    };
                    bytes = rest;
                    self.state = step(framing, *byte)?;
                }
            }
        }
    }

    fn take(&mut self, payload: &[u8]) {
        self.payload += payload.len();
        if self.status != 200 && self.excerpt.len() < EXCERPT {
            self.excerpt.extend(payload.iter().take(EXCERPT));
        }
    }

    fn count_events(&mut self, payload: &[u8]) {
        for at in memchr::memchr_iter(b'\n', payload) {
            let before = match at.checked_sub(1) {
                Some(before) => payload.get(before) == Some(&b'\n'),
                None => self.ends_with_newline,
            };
            self.events += usize::from(before);
        }
        if let Some(last) = payload.last() {
            self.ends_with_newline = *last == b'\n';
        }
    }
}

/// One byte of chunked framing.
fn step(state: State, byte: u8) -> anyhow::Result<State> {
    Ok(match (state, byte) {
        (State::ChunkSize(0) | State::ChunkExtension(0), b'\n') => State::Trailer(0),
        (State::ChunkSize(size) | State::ChunkExtension(size), b'\n') => State::ChunkData(size),
        (State::ChunkSize(size), b'\r' | b';' | b' ') | (State::ChunkExtension(size), _) => State::ChunkExtension(size),
        (State::ChunkSize(size), digit) => {
            let digit = char::from(digit).to_digit(16).context("a chunk size that is no number")?;
            State::ChunkSize(
                size.checked_mul(16)
                    .and_then(|size| size.checked_add(digit as usize))
                    .context("a chunk size beyond reason")?,
            )
        }
        (State::ChunkEnd, b'\r') => State::ChunkEnd,
        (State::ChunkEnd, b'\n') => State::ChunkSize(0),
        (State::Trailer(0), b'\n') => State::Done,
        (State::Trailer(_), b'\n') => State::Trailer(0),
        (State::Trailer(line), b'\r') => State::Trailer(line),
        (State::Trailer(line), _) => State::Trailer(line + 1),
        (State::ChunkEnd | State::Head | State::Length(_) | State::ChunkData(_) | State::Done, _) => bail!("a chunk longer than it says"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        8\r\ndata: a\n\r\nf;x=y\r\n\ndata: b\n\ndata:\r\n4\r\n c\n\n\r\n0\r\nx-t: 1\r\n\r\n";

    #[test]
    fn an_answer_reads_the_same_at_every_split() {
        for split in 0..=STREAM.len() {
            let (first, second) = STREAM.split_at(split);
            let mut reader = Reader::default();
            let early = reader.feed(first).unwrap();
            assert_eq!(early, split == STREAM.len(), "split at {split}");
            assert!(early || reader.feed(second).unwrap(), "split at {split}");
            assert_eq!((reader.status, reader.payload, reader.events), (200, 27, 3), "split at {split}");
        }
    }

    #[test]
    fn a_body_of_known_length_ends_there() {
        let mut reader = Reader::default();
        assert!(!reader.feed(b"HTTP/1.1 503 No\r\ncontent-length: 5\r\n\r\nab").unwrap());
        assert!(reader.feed(b"cde").unwrap());
        assert_eq!((reader.status, reader.payload, reader.excerpt.as_slice()), (503, 5, &b"abcde"[..]));
    }

    #[test]
    fn bytes_behind_the_end_are_an_error() {
        assert!(Reader::default().feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab").is_err());
    }

    #[test]
    fn an_answer_without_a_length_is_an_error() {
        assert!(Reader::default().feed(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
