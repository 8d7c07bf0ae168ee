//! One question to one provider: an authenticated listing of models, of whose answer only the status is looked at. It follows no redirect, and
//! connects nowhere but where the guard lets it, after the name was resolved.

use super::Guard;
use crate::desired::Request;
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use outrigger_core::Scheme;
use outrigger_dialect::headers;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The whole question, name and connection included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses that are tried.
const ADDRESSES: usize = 4;

/// What the provider's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It knows the key.
    Accepted,
    /// It does not.
    Refused,
    /// Its answer does not tell, nor would another one.
    Unclear,
    /// There was none.
    None,
}

/// The public roots.
pub(super) struct Roots(RootCertStore);

impl Default for Roots {
    fn default() -> Self {
        Self(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        })
    }
}

pub(super) async fn ask(request: &Request, guard: &Guard, roots: &Roots) -> Answer {
    match tokio::time::timeout(PATIENCE, status(request, guard, roots)).await {
        Ok(Ok(status)) => meaning(status),
        Ok(Err(NoStatus::Never)) => Answer::Unclear,
        Ok(Err(NoStatus::Failed)) | Err(_) => Answer::None,
    }
}

fn meaning(status: u16) -> Answer {
    match status {
        200..=299 => Answer::Accepted,
        401 | 403 => Answer::Refused,
        // Trouble that passes.
        408 | 425 | 429 | 500..=599 => Answer::None,
        _ => Answer::Unclear,
    }
}

/// Why there is no status.
enum NoStatus {
    /// It may work another time.
    Failed,
    /// It cannot work, or must not be tried.
    Never,
}

impl From<std::io::Error> for NoStatus {
    fn from(_: std::io::Error) -> Self {
        Self::Failed
    }
}

impl From<hyper::Error> for NoStatus {
    fn from(_: hyper::Error) -> Self {
        Self::Failed
    }
}

async fn status(request: &Request, guard: &Guard, roots: &Roots) -> Result<u16, NoStatus> {
    let origin = &request.provider.origin;
    let found: Vec<SocketAddr> = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await?.collect();
    let admitted: Vec<SocketAddr> = found
        .iter()
        .copied()
        .filter(|address| guard.admits(*address))
        .take(ADDRESSES)
        .collect();
    if admitted.is_empty() {
        return Err(if found.is_empty() { NoStatus::Failed } else { NoStatus::Never });
    }
    let stream = TcpStream::connect(admitted.as_slice()).await?;
    match origin.scheme {
        Scheme::Http => exchange(request, stream).await,
        Scheme::Https => {
            let config = config(roots, request.provider.ca_pem.as_deref()).ok_or(NoStatus::Never)?;
            let name = ServerName::try_from(origin.host.clone()).map_err(|_| NoStatus::Never)?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            exchange(request, stream).await
        }
    }
}

async fn exchange(request: &Request, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<u16, NoStatus> {
    let message = message(request).ok_or(NoStatus::Never)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = pin!(connection);
    let mut answer = pin!(sender.send_request(message));
    tokio::select! {
        biased;
        answer = &mut answer => return Ok(answer?.status().as_u16()),
        ended = &mut connection => ended?,
    }
    // The connection is through; whatever came of the request is there now.
    Ok(answer.await?.status().as_u16())
}

fn message(request: &Request) -> Option<http::Request<Empty<Bytes>>> {
    let provider = &request.provider;
    let mut message = http::Request::get(format!("{}/models", provider.path))
        .header(header::HOST, provider.origin.authority())
        .header(header::USER_AGENT, "outrigger-controller")
        .header(header::ACCEPT_ENCODING, "identity");
    for (name, value) in &provider.headers {
        message = message.header(name, value);
    }
    if let Some((name, value)) = headers::fixed(provider.dialect, "", None) {
        message = message.header(name, value);
    }
    let (name, value) = headers::authorize(provider.dialect, request.key.expose());
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    message.header(name, value).body(Empty::new()).ok()
}

fn config(roots: &Roots, ca_pem: Option<&str>) -> Option<ClientConfig> {
    let mut roots = roots.0.clone();
    let own = ca_pem.map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    own.map(|own| roots.add_parsable_certificates(own));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    Some(
        builder
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
