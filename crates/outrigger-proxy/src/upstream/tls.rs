//! TLS towards providers: rustls with aws-lc, the public roots, a file of further roots, and a `ProviderKey`'s own.

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{path::Path, sync::Arc};

/// Whom certificates may come from.
#[derive(Debug)]
pub(crate) struct Tls {
    roots: RootCertStore,
    public: Arc<ClientConfig>,
}

/// Why a destination cannot be reached over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The host is no valid name.
    #[error("{0:?} is not a valid host name")]
    BadName(String),
    /// A certificate file or text holds no usable certificate.
    #[error("no usable certificate in {0}")]
    NoCertificate(String),
    /// A certificate file cannot be read.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl Tls {
    /// The public roots, and those of the PEM file `further`.
    ///
    /// # Errors
    /// Where the file cannot be read or holds no certificate.
    pub(crate) fn new(further: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = further {
            let named = file.display().to_string();
            let pem = std::fs::read(file).map_err(|source| TlsError::Unreadable { file: named.clone(), source })?;
            add(&mut roots, &pem, &named)?;
        }
        let public = config(roots.clone())?;
        Ok(Self { roots, public })
    }

    /// The configuration for a destination; sessions are resumed among all that share one.
    pub(super) fn config(&self, ca_pem: Option<&str>) -> Result<Arc<ClientConfig>, TlsError> {
        let Some(pem) = ca_pem else { return Ok(Arc::clone(&self.public)) };
        let mut roots = self.roots.clone();
        add(&mut roots, pem.as_bytes(), "the caBundle")?;
        config(roots)
    }
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn add(roots: &mut RootCertStore, pem: &[u8], named: &str) -> Result<(), TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(TlsError::NoCertificate(named.to_owned())) } else { Ok(()) }
}
