//! Where a provider's requests go, prepared once per snapshot.

use super::{pool::Pool, tls::TlsError};
use http::HeaderValue;
use outrigger_core::{Origin, Scheme};
use rustls::pki_types::ServerName;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// An origin with what every request to it needs.
pub(crate) struct Destination {
    pub(super) id: PoolId,
    pub(super) server_name: Option<ServerName<'static>>,
    authority: HeaderValue,
    /// The pool, once a request has looked it up.
    pub(super) pool: OnceLock<Arc<Pool>>,
}

/// What connections may be shared by: the origin, and whom its certificate may come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PoolId {
    pub(super) origin: Origin,
    pub(super) ca_pem: Option<Arc<str>>,
}

impl Destination {
    /// Prepares `origin`, whose certificate may also come from one of `ca_pem`'s.
    ///
    /// # Errors
    /// Where the host is no valid name.
    pub(crate) fn new(origin: &Origin, ca_pem: Option<&str>) -> Result<Self, TlsError> {
        let bad = || TlsError::BadName(origin.host.clone());
        let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
        let (server_name, default_port) = match origin.scheme {
            Scheme::Http => (None, 80),
            Scheme::Https => (Some(ServerName::try_from(origin.host.clone()).map_err(|_| bad())?), 443),
        };
        let authority = if origin.port == default_port { host } else { format!("{host}:{}", origin.port) };
        Ok(Self {
            id: PoolId { origin: origin.clone(), ca_pem: ca_pem.map(Into::into) },
            server_name,
            authority: HeaderValue::from_str(&authority).map_err(|_| bad())?,
            pool: OnceLock::new(),
        })
    }

    /// The `host` header.
    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(&self.id.origin).finish()
    }
}
