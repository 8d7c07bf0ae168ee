//! What a provider sends, chunk by chunk, in the clear. Answers are asked for uncompressed; a gzip that comes all the same is undone
//! here, so that usage and errors are seen, and any other coding is a failed attempt.

use crate::{body::Outgoing, upstream::AnswerBody};
use bytes::Bytes;
use flate2::write::GzDecoder;
use http::{Response, header};
use http_body::Body as _;
use std::{
    fmt,
    io::Write as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The body of a provider's answer.
pub(crate) struct Source {
    body: AnswerBody<Outgoing>,
    /// Boxed: rare, and larger than all else here.
    gzip: Option<Box<GzDecoder<Vec<u8>>>>,
}

/// A body that cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// Compressed in a way that nobody asked for.
    #[error("the answer has a content coding that was not asked for")]
    Coding,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(…)")
    }
}

impl Source {
    /// Splits an answer into its head and its body.
    pub(crate) fn open(response: Response<AnswerBody<Outgoing>>) -> Result<(http::response::Parts, Self), Unreadable> {
        let (head, body) = response.into_parts();
        let coding = head
            .headers
            .get(header::CONTENT_ENCODING)
            .map_or(&b"identity"[..], |value| value.as_bytes());
        let gzip = match coding {
            b"" | b"identity" => None,
            b"gzip" | b"x-gzip" => Some(Box::new(GzDecoder::new(Vec::new()))),
            _ => return Err(Unreadable::Coding),
        };
        Ok((head, Self { body, gzip }))
    }

    /// The next non-empty chunk; `None` at the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Unreadable>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(self.last().transpose());
            };
            let Ok(frame) = frame else {
                return Poll::Ready(Some(Err(Unreadable::Broken)));
            };
            let Ok(data) = frame.into_data() else { continue };
            let data = match &mut self.gzip {
                None => data,
                Some(gzip) => {
                    if gzip.write_all(&data).and_then(|()| gzip.flush()).is_err() {
                        return Poll::Ready(Some(Err(Unreadable::Coding)));
                    }
                    Bytes::from(std::mem::take(gzip.get_mut()))
                }
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }

    /// What the decoder still held; an archive that is cut short is an error.
    fn last(&mut self) -> Result<Option<Bytes>, Unreadable> {
        let Some(gzip) = self.gzip.take() else { return Ok(None) };
        let rest = gzip.finish().map_err(|_| Unreadable::Broken)?;
        Ok(Some(Bytes::from(rest)).filter(|rest| !rest.is_empty()))
    }

    /// As [`Self::poll_next`].
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Unreadable>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}
