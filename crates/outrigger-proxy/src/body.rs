//! The two body types: what goes to a provider, and what goes to a client.

use crate::{passthrough::OpaqueStream, pipeline::stream::ReplyStream};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// A body towards a provider.
pub(crate) enum Outgoing {
    /// Slices of the client's own bytes with small pieces between them.
    Slices(VecDeque<Bytes>),
    /// A client's body forwarded as it comes.
    Opaque(Incoming),
}

impl Outgoing {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self::Slices(VecDeque::new())
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Prompts do not belong into logs.
        f.write_str("Outgoing(…)")
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Slices(slices) => Poll::Ready(slices.pop_front().map(|slice| Ok(Frame::data(slice)))),
            Self::Opaque(incoming) => Pin::new(incoming).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Slices(slices) => slices.is_empty(),
            Self::Opaque(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Slices(slices) => SizeHint::with_exact(slices.iter().map(|slice| slice.len() as u64).sum()),
            Self::Opaque(incoming) => incoming.size_hint(),
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
