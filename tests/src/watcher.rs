//! Somebody who watches an object at an API server as a sidecar does, and writes down when it changes.

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

/// How watchers reach the API server: one configuration for all of them.
#[derive(Clone, Debug)]
pub struct Watching {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: String,
}

/// A running watch; ends with its drop.
#[derive(Debug)]
pub struct Watcher {
    changes: Arc<Mutex<Vec<Instant>>>,
    _task: JoinSet<()>,
}

impl Watching {
    /// The server at `address`, certified by `ca_pem`.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn new(address: SocketAddr, ca_pem: &str, token: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address,
            tls: Arc::new(tls),
            token: token.to_owned(),
        })
    }

    /// Watches the ConfigMap of a namespace's snapshot over a connection of its own. Returns once the watch is open.
    ///
    /// # Errors
    /// It is refused, or there is nobody.
    pub async fn open(&self, namespace: &str) -> anyhow::Result<Watcher> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _ = connection.await;
        });
        let object = outrigger_snapshot::CONFIG_MAP_NAME;
        let path =
            format!("/api/v1/namespaces/{namespace}/configmaps?fieldSelector=metadata.name%3D{object}&watch=true&timeoutSeconds=600");
        let request = Request::get(format!("https://{}{path}", self.address))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Empty::<Bytes>::new())?;
        let mut response = sender.send_request(request).await?;
        anyhow::ensure!(response.status() == 200, "the API server answers {}", response.status());
        let changes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&changes);
        task.spawn(async move {
            let _open = sender;
            let mut line = Vec::new();
            while let Some(Ok(frame)) = response.frame().await {
                for byte in frame.data_ref().into_iter().flatten() {
                    line.push(*byte);
                    if *byte == b'\n' {
                        if line.starts_with(b"{\"type\":\"MODIFIED\"") {
                            seen.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                        }
                        line.clear();
                    }
                }
            }
        });
        Ok(Watcher { changes, _task: task })
    }
}

impl Watcher {
    /// When the object changed, oldest first.
    pub fn changes(&self) -> Vec<Instant> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The address in a URL such as `https://127.0.0.1:6443`.
///
/// # Errors
/// It has none.
pub fn address_in(url: &str) -> anyhow::Result<SocketAddr> {
    url.strip_prefix("https://").context("no https URL")?.parse().context("no address")
}
