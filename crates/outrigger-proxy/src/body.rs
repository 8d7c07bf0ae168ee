//! The two body types: what goes to a provider, and what goes to a client.

use crate::{passthrough::OpaqueStream, pipeline::stream::ReplyStream};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    collections::VecDeque,
    fmt,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll},
};

/// A body towards a provider.
pub(crate) enum Outgoing {
    /// Slices of the client's own bytes with small pieces between them; they leave in one write. Absent once they have left.
    Slices(Option<Pieces>),
    /// A client's body forwarded as it comes.
    Opaque(Incoming),
}

impl Outgoing {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self::Slices(None)
    }

    /// A body that is known to its end.
    pub(crate) fn of(slices: Vec<Bytes>) -> Self {
        Self::Slices(Some(Pieces::of(slices.into())).filter(Pieces::has_remaining))
    }

    /// Its bytes as far as they are known.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Slices(slices) => slices.as_ref().map_or(0, |pieces| pieces.left as u64),
            Self::Opaque(incoming) => incoming.size_hint().lower(),
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Prompts do not belong into logs.
        f.write_str("Outgoing(…)")
    }
}

impl Body for Outgoing {
    type Data = Pieces;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Pieces>, hyper::Error>>> {
        match self.get_mut() {
            Self::Slices(slices) => Poll::Ready(slices.take().map(|pieces| Ok(Frame::data(pieces)))),
            Self::Opaque(incoming) => {
                let frame = Pin::new(incoming).poll_frame(cx);
                frame.map_ok(|frame| frame.map_data(|bytes| Pieces::of([bytes].into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Slices(slices) => slices.is_none(),
            Self::Opaque(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Slices(_) => SizeHint::with_exact(self.length()),
            Self::Opaque(incoming) => incoming.size_hint(),
        }
    }
}

/// Bytes in several pieces that are written together: pieces handed over one by one would be written as they fill a buffer, and a long
/// prompt with a short end behind it would take two writes.
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    /// Bytes in all of them.
    left: usize,
}

impl Pieces {
    fn of(mut pieces: VecDeque<Bytes>) -> Self {
        // While bytes are left the first piece has some of them.
        pieces.retain(|piece| !piece.is_empty());
        let left = pieces.iter().map(Bytes::len).sum();
        Self { pieces, left }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let pairs = out.iter_mut().zip(&self.pieces);
        pairs.map(|(slot, piece)| *slot = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, count: usize) {
        let mut count = count.min(self.left);
        self.left -= count;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
    }
}

/// A body towards a client.
pub(crate) enum Reply {
    /// Complete.
    Whole(Option<Bytes>),
    /// Committed, its end still to come; it owns the ledger.
    Stream(Box<ReplyStream>),
    /// Forwarded as it comes.
    Opaque(Box<OpaqueStream>),
}

/// The client's connection has to be cut: the answer broke and there is no way to say so inside it.
#[derive(Debug, thiserror::Error)]
#[error("the provider's answer broke off")]
pub(crate) struct Broken;

impl Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.poll_next(cx).map(|next| next.map(|result| result.map(Frame::data))),
            Self::Opaque(stream) => stream.poll_next(cx).map(|next| next.map(|result| result.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(_) | Self::Opaque(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) | Self::Opaque(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    proptest::proptest! {
        #[test]
        fn pieces_are_one_text_however_they_are_taken(texts in proptest::collection::vec("[a-z]{0,5}", 0..6), steps in proptest::collection::vec(0..8_usize, 0..12)) {
            let mut pieces = Pieces::of(texts.iter().map(|text| Bytes::from(text.clone())).collect());
            let (whole, mut at) = (texts.concat(), 0);
            for step in steps {
                let mut slots = [IoSlice::new(&[]); 8];
                let filled = pieces.chunks_vectored(&mut slots);
                let seen: Vec<u8> = slots[..filled].iter().flat_map(|slot| slot.to_vec()).collect();
                assert_eq!(seen, whole.as_bytes()[at..]);
                assert_eq!(pieces.remaining(), whole.len() - at);
                assert!(whole.as_bytes()[at..].starts_with(pieces.chunk()));
                assert_eq!(pieces.chunk().is_empty(), at == whole.len());
                pieces.advance(step);
                at = (at + step).min(whole.len());
            }
        }
    }

    #[tokio::test]
    async fn a_body_in_slices_leaves_as_one_frame() {
        let mut body = Outgoing::of(vec![Bytes::from("{\"model\":"), Bytes::from("\"m\""), Bytes::from("}")]);
        assert_eq!(body.size_hint().exact(), Some(13));
        let mut frame = body.frame().await.unwrap().unwrap().into_data().ok().unwrap();
        assert_eq!(frame.copy_to_bytes(13), "{\"model\":\"m\"}");
        assert!(body.is_end_stream() && Outgoing::of(Vec::new()).is_end_stream());
    }
}
