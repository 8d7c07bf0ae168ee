//! Whom to trust. Public roots are built in, an operator's file and a provider's own certificates come on top; verification is never
//! switched off.

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// Sessions kept for resumption, per origin: one server name needs few.
const SESSIONS: usize = 8;

/// The trust that all origins share.
pub struct Tls {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operator's file cannot be read.
    #[error("cannot read the certificate file {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Not PEM, or a certificate in it that is none.
    #[error("not a list of PEM certificates: {0}")]
    Malformed(String),
    /// No certificate in it, or none that is understood.
    #[error("no certificate in it")]
    Empty,
    /// The cryptographic provider lacks what TLS 1.2 or 1.3 needs.
    #[error("no usable TLS: {0}")]
    Unsupported(rustls::Error),
}

impl Tls {
    /// The public roots, and those of `certificates`, a PEM file, where one is given.
    ///
    /// # Errors
    /// [`TlsError::Unreadable`], [`TlsError::Malformed`] or [`TlsError::Empty`] for the file.
    pub fn new(certificates: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(path) = certificates {
            let pem = std::fs::read(path).map_err(|error| TlsError::Unreadable {
                path: path.display().to_string(),
                reason: error.to_string(),
            })?;
            // Operators point this at whole system bundles, where one odd certificate must not cost the process.
            let certificates = parse(&pem)?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(TlsError::Empty);
            }
        }
        Ok(Self {
            roots: Arc::new(roots),
            provider: Arc::new(aws_lc_rs::default_provider()),
        })
    }

    /// The settings of one origin: it remembers that origin's sessions. `ca_pem` is trusted beside the shared roots.
    ///
    /// # Errors
    /// [`TlsError::Malformed`] or [`TlsError::Empty`] for `ca_pem`.
    pub(super) fn config(&self, ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match ca_pem {
            None => self.roots.clone(),
            Some(pem) => {
                let mut roots = RootCertStore::clone(&self.roots);
                for certificate in parse(pem.as_bytes())? {
                    roots.add(certificate).map_err(|error| TlsError::Malformed(error.to_string()))?;
                }
                Arc::new(roots)
            }
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unsupported)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Arc::new(config))
    }
}

fn parse(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Malformed(error.to_string()))?;
    if certificates.is_empty() {
        Err(TlsError::Empty)
    } else {
        Ok(certificates)
    }
}
