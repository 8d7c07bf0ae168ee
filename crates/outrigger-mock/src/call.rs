//! What is remembered of a call that a provider received.
//!
//! Decides how a body is kept. It must never keep more of one than [`BODY_KEPT`].

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

/// Longest body that is kept; of longer ones only the length is known.
pub(crate) const BODY_KEPT: usize = 64 * 1024;

/// One call as a provider received it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Number of the call at its provider, from 1; clearing the calls does not start it over.
    pub number: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query, without the provider's name.
    pub path: String,
    /// Headers by lower-case name; several values of one name are joined with `, `. Credentials included: this is a mock.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON as JSON, other text as a string, multipart as `{"multipart": […]}`, nothing as null; what is too long or no text
    /// as `{"bytes": N}`.
    pub body: Value,
    /// The body's bytes, if they were kept (bodies up to 64 KiB).
    #[serde(skip)]
    pub raw: Bytes,
    /// Length of the body in bytes, as far as it arrived.
    pub bytes: usize,
    /// When the call had arrived, in milliseconds since the mock started.
    pub at_ms: u64,
    /// The client hung up before the answer was complete.
    pub aborted: bool,
    /// The answer was handed over whole, or broken off by the script.
    pub done: bool,
    /// The connection it came on; ids count up from 1.
    pub connection: u64,
    /// The connection had carried a call before.
    pub reused: bool,
    /// What a strict provider had to complain about; empty when all is well.
    pub complaints: Vec<String>,
}

/// A body as it is stored: parsed only when somebody looks at it.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Kept(Bytes),
    Described(Value),
    Length(usize),
}

impl Body {
    pub(crate) fn of(bytes: &Bytes, room: usize) -> Self {
        // A copy, as the bytes may be a slice of a larger buffer that would be kept alive with them.
        if bytes.len() <= BODY_KEPT.min(room) {
            Self::Kept(Bytes::copy_from_slice(bytes))
        } else {
            Self::Length(bytes.len())
        }
    }

    pub(crate) fn kept(&self) -> usize {
        match self {
            Self::Kept(bytes) => bytes.len(),
            Self::Described(_) | Self::Length(_) => 0,
        }
    }

    pub(crate) fn raw(&self) -> Bytes {
        match self {
            Self::Kept(bytes) => bytes.clone(),
            Self::Described(_) | Self::Length(_) => Bytes::new(),
        }
    }

    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Kept(bytes) if bytes.is_empty() => Value::Null,
            Self::Kept(bytes) => serde_json::from_slice(bytes).unwrap_or_else(|_| match std::str::from_utf8(bytes) {
                Ok(text) => Value::String(text.to_owned()),
                Err(_) => json!({"bytes": bytes.len()}),
            }),
            Self::Described(value) => value.clone(),
            Self::Length(bytes) => json!({"bytes": bytes}),
        }
    }
}

/// Headers as one map.
pub(crate) fn header_map(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.as_str().to_owned())
            .and_modify(|known| {
                known.push_str(", ");
                known.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    map
}
