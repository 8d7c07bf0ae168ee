//! The body of an answer, which owns its connection: reading it moves the connection, read to the end it hands the connection back,
//! dropped before it closes it. A connection is never handed back before the last byte is out of it.

use super::pool::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The bytes of an answer, as they come.
pub struct AnswerBody<B> {
    incoming: Incoming,
    lease: Option<Lease<B>>,
}

impl<B> AnswerBody<B> {
    pub(super) fn new(incoming: Incoming, lease: Lease<B>) -> Self {
        let mut body = Self {
            incoming,
            lease: Some(lease),
        };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release();
        }
    }
}

impl<B> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let incoming = &mut this.incoming;
        let frame = match this.lease.as_mut().and_then(Lease::connection) {
            Some(connection) => match ready!(connection.drive(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))) {
                Some(frame) => frame,
                // It has ended, and with it the body: only who waits for its clock is told nothing.
                None => ready!(Pin::new(incoming).poll_frame(cx)),
            },
            None => ready!(Pin::new(incoming).poll_frame(cx)),
        };
        match &frame {
            // Before the last chunk goes on, so that whoever reads it may call again at once and find the connection.
            Some(Ok(_)) if !self.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => self.release(),
            Some(Err(_)) => self.lease = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
