//! One connection to the API server: HTTP/2 over TLS, trusting the cluster's own certificates alone, with the pod's token. Every step has
//! its time, and a peer that has died without a word is noticed by its missing answer to a ping. The token must go nowhere but into the
//! header of a request to that server.

use super::config::Server;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioIo, TokioTimer};
use outrigger_runtime::Tasks;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long each step of a conversation may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// To a connection; to TLS; to the head of an answer; to the whole of a list.
    pub(super) step: Duration,
    /// Between pings, and then to the answer.
    pub(super) ping: Duration,
}

/// What ends a conversation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// A file of the pod's service account.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// What is in it.
    #[error("{0} is not what it should be")]
    Malformed(String),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// A step took too long.
    #[error("no {0} in time")]
    Slow(&'static str),
    /// No TLS, or none with HTTP/2.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// The connection broke, or its peer has died.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// An answer that is none to build on.
    #[error("the API server answers {}{}", .0.as_u16(), advice(*.0))]
    Status(StatusCode),
    /// More than any ConfigMap.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// No list, no event.
    #[error("the answer is not what was asked for")]
    Unexpected,
    /// The server has no more use for the connection.
    #[error("the API server has closed the connection")]
    Closed,
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => ": is the token for this server?",
        StatusCode::FORBIDDEN => ": this namespace has no RoleBinding to the ClusterRole outrigger-sidecar; the mounted snapshot serves",
        _ => "",
    }
}

impl Trouble {
    /// The server has spoken, and will not change its mind in a second.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status) if status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS && *status != StatusCode::GONE)
    }
}

/// Where the API server is and how it knows us.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) server: Server,
    /// Folder of `token` and `ca.crt`; both are read anew each time, for they are replaced while the process runs.
    pub(super) folder: PathBuf,
    pub(super) clocks: Clocks,
    pub(super) tasks: Tasks,
}

/// An open connection. It works while [`driven`](Driver).
pub(super) struct Session {
    sender: http2::SendRequest<Empty<Bytes>>,
    api: Api,
}

/// The connection's own work, to be polled beside the session; ends when it breaks.
pub(super) type Driver = http2::Connection<TokioIo<TlsStream<TcpStream>>, Empty<Bytes>, Inside>;

/// hyper's helpers, as tasks of ours.
#[derive(Clone)]
pub(super) struct Inside(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Inside {
    fn execute(&self, helper: F) {
        self.0.background("api connection", helper);
    }
}

impl Api {
    pub(super) async fn connect(&self) -> Result<(Session, Driver), Trouble> {
        let Clocks { step, ping } = self.clocks;
        let server = &self.server;
        let dial = timeout(step, TcpStream::connect((server.host.as_str(), server.port)));
        let stream = dial.await.map_err(|_| Trouble::Slow("connection"))?.map_err(Trouble::Connect)?;
        // Small requests and pings must not wait for one another. Fails only on a connection that is already gone.
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(server.host.clone()).map_err(|_| Trouble::Malformed(format!("the host name {}", server.host)))?;
        let tls = TlsConnector::from(self.trust()?).connect(name, stream);
        let tls = timeout(step, tls)
            .await
            .map_err(|_| Trouble::Slow("TLS"))?
            .map_err(|error| Trouble::Tls(error.to_string()))?;
        if tls.get_ref().1.alpn_protocol() != Some(H2) {
            return Err(Trouble::Tls("the server does not speak HTTP/2".to_owned()));
        }
        let mut http = http2::Builder::new(Inside(self.tasks.clone()));
        http.timer(TokioTimer::new())
            .keep_alive_interval(ping)
            .keep_alive_timeout(ping)
            .keep_alive_while_idle(true)
            .max_header_list_size(16 << 10);
        let shake = timeout(step, http.handshake(TokioIo::new(tls)));
        let (sender, driver) = shake.await.map_err(|_| Trouble::Slow("HTTP/2"))??;
        Ok((Session { sender, api: self.clone() }, driver))
    }

    fn trust(&self) -> Result<Arc<ClientConfig>, Trouble> {
        let path = self.folder.join("ca.crt");
        let malformed = || Trouble::Malformed(path.display().to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&read(&path)?) {
            let certificate = certificate.map_err(|_| malformed())?;
            roots.add(certificate).map_err(|_| malformed())?;
        }
        if roots.is_empty() {
            return Err(malformed());
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Trouble::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(Arc::new(config))
    }

    fn token(&self) -> Result<HeaderValue, Trouble> {
        let path = self.folder.join("token");
        let bytes = read(&path)?;
        let malformed = || Trouble::Malformed(path.display().to_string());
        let token = std::str::from_utf8(&bytes).map_err(|_| malformed())?.trim();
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| malformed())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

const H2: &[u8] = b"h2";

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(path).map_err(|error| Trouble::File {
        path: path.display().to_string(),
        error,
    })
}

impl Session {
    /// The head of a good answer to a GET; its body follows. Redirects are not followed.
    pub(super) async fn get(&mut self, path: &str) -> Result<Response<Incoming>, Trouble> {
        let server = &self.api.server;
        let host = if server.host.contains(':') {
            format!("[{}]", server.host)
        } else {
            server.host.clone()
        };
        let request = Request::get(format!("https://{host}:{}{path}", server.port))
            .header(header::AUTHORIZATION, self.api.token()?)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("outrigger-proxy/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|_| Trouble::Malformed(format!("the path {path}")))?;
        let head = timeout(self.api.clocks.step, async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        });
        let response = head.await.map_err(|_| Trouble::Slow("answer"))??;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(Trouble::Status(status)),
        }
    }
}
