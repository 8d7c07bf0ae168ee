//! Why a request got no answer, as far as a connection can tell. It never carries a header, a path or a byte of a body.

use std::borrow::Cow;
use std::io;

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// What to do about it depends on this alone.
    pub kind: SendErrorKind,
    /// For logs: says what happened, without secrets.
    pub message: Cow<'static, str>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendErrorKind {
    /// No connection came about; nothing was sent.
    Connect(ConnectFault),
    /// A connection that had served before ended without a byte of an answer: most likely it was closed while the request was under way.
    Stale,
    /// The connection broke before the answer's head was complete.
    Reset,
    /// What came back is not HTTP/1.1, or its head is larger than the cap.
    Protocol,
    /// The request's own body failed while it was read.
    Body,
    /// The origin has as many connections as it may have; nothing was sent.
    Full,
}

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// The name does not resolve.
    Dns,
    /// Nobody listens there.
    Refused,
    /// The handshake failed: certificate, name or protocol.
    Tls,
    /// It took longer than the connect timeout, name resolution and handshake included.
    Timeout,
    /// No route, no address, no descriptor.
    Io,
}

impl SendError {
    pub(super) fn connect(fault: ConnectFault, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: SendErrorKind::Connect(fault),
            message: message.into(),
        }
    }

    pub(super) fn tcp(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::connect(ConnectFault::Refused, "connection refused")
        } else if error.kind() == io::ErrorKind::TimedOut {
            Self::connect(ConnectFault::Timeout, "the connection timed out")
        } else {
            Self::connect(ConnectFault::Io, format!("no connection: {error}"))
        }
    }

    pub(super) fn full(cap: usize) -> Self {
        Self {
            kind: SendErrorKind::Full,
            message: format!("all {cap} connections to this origin are in use").into(),
        }
    }

    pub(super) fn ended() -> Self {
        Self {
            kind: SendErrorKind::Reset,
            message: "the connection ended before the answer's head".into(),
        }
    }

    /// What hyper's error means. `reused`: the connection had served before; `heard`: a byte came back since the request went out.
    pub(super) fn exchange(error: &hyper::Error, reused: bool, heard: bool) -> Self {
        let (kind, message) = if error.is_user() {
            (SendErrorKind::Body, "the request's body failed")
        } else if error.is_parse_too_large() {
            (SendErrorKind::Protocol, "the head of the answer is larger than the cap")
        } else if error.is_parse() {
            (SendErrorKind::Protocol, "the answer is not HTTP/1.1")
        } else if heard {
            (SendErrorKind::Reset, "the connection broke inside the head of the answer")
        } else if reused {
            (SendErrorKind::Stale, "a reused connection was closed before any byte of an answer")
        } else {
            (SendErrorKind::Reset, "the connection was closed before any byte of an answer")
        };
        Self {
            kind,
            message: message.into(),
        }
    }
}
