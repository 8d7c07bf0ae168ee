//! The certificate that is answered with: replaced while connections run, without a restart.

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// What to answer with; nothing at first.
#[derive(Debug, Default)]
pub(crate) struct Credentials(RwLock<Option<Arc<CertifiedKey>>>);

/// Why bytes are no certificate with its key.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it holds no certificate in PEM")]
    Certificate,
    #[error("it holds no private key in PEM")]
    Key,
    #[error("certificate and key do not belong together: {0}")]
    Pair(#[from] rustls::Error),
}

impl Credentials {
    /// Whether there is something to answer with.
    pub(crate) fn there(&self) -> bool {
        self.current().is_some()
    }

    /// From the next connection on.
    pub(super) fn set(&self, certificate: &[u8], key: &[u8]) -> Result<(), Unusable> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| Unusable::Certificate)?;
        if chain.is_empty() {
            return Err(Unusable::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::Key)?;
        let pair = Arc::new(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(pair);
        Ok(())
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// Answers with whatever `credentials` hold at the time. HTTP/1.1 alone is offered: one review is one small exchange.
pub(super) fn acceptor(credentials: Arc<Credentials>) -> Result<TlsAcceptor, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(credentials);
    Ok(TlsAcceptor::from(Arc::new(config)))
}
