//! TLS and names, against a peer with a certificate authority of the test's own.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A peer that shakes hands, with the PEM of who vouches for it.
struct TlsPeer {
    peer: Peer,
    acceptor: TlsAcceptor,
    ca_pem: String,
}

impl TlsPeer {
    /// Certified for `name`.
    async fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            peer: Peer::new().await,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            ca_pem: ca.pem(),
        }
    }

    fn origin(&self) -> Origin {
        origin(Scheme::Https, "127.0.0.1", self.peer.address().port())
    }

    async fn accept(&self) -> std::io::Result<Line<TlsStream<TcpStream>>> {
        let tcp = self.peer.accept().await.stream;
        Ok(Line::new(self.acceptor.accept(tcp).await?))
    }
}

#[tokio::test]
async fn a_given_authority_is_trusted_and_http_1_is_agreed_on() {
    let (pools, peer) = (pools(PoolSettings::default()), TlsPeer::new("127.0.0.1").await);
    let to = pools.destination(&peer.origin(), Some(&peer.ca_pem)).unwrap();
    let serve = async {
        let mut line = peer.accept().await.unwrap();
        line.serve("one").await;
        line.serve("two").await;
        line
    };
    let calls = async {
        assert_eq!(call(&pools, &to).await, (false, "one".to_owned()));
        assert_eq!(call(&pools, &to).await, (true, "two".to_owned()));
    };
    let (line, ()) = tokio::join!(serve, calls);
    assert_eq!(line.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn a_second_connection_resumes_the_session() {
    let (pools, peer) = (pools(PoolSettings::default()), TlsPeer::new("127.0.0.1").await);
    let serve = async {
        let mut first = peer.accept().await.unwrap();
        first.serve("one").await;
        let mut second = peer.accept().await.unwrap();
        second.serve("two").await;
        (first, second)
    };
    let calls = async {
        let to = pools.destination(&peer.origin(), Some(&peer.ca_pem)).unwrap();
        text(pools.send(&to, get(), OPTIONS).await.unwrap()).await;
        // Another destination, as after a reload: the memory is the origin's.
        drop(to);
        let to = pools.destination(&peer.origin(), Some(&peer.ca_pem)).unwrap();
        text(pools.send(&to, get(), FRESH).await.unwrap()).await;
    };
    let ((first, second), ()) = tokio::join!(serve, calls);
    assert_eq!(first.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(second.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[tokio::test]
async fn an_unknown_authority_or_a_foreign_name_is_a_tls_fault() {
    let stranger = TlsPeer::new("127.0.0.1").await;
    let misnamed = TlsPeer::new("api.example").await;
    let pools = pools(PoolSettings::default());
    for (peer, ca_pem) in [
        (&stranger, None),
        (&stranger, Some(&misnamed.ca_pem)),
        (&misnamed, Some(&misnamed.ca_pem)),
    ] {
        let to = pools.destination(&peer.origin(), ca_pem.map(String::as_str)).unwrap();
        let (accepted, kind) = tokio::join!(peer.accept(), kind_of(&pools, &to, OPTIONS));
        assert!(accepted.is_err());
        assert_eq!(kind, SendErrorKind::Connect(ConnectFault::Tls));
    }
    assert_eq!(pools.counts().open, 0);
}

#[tokio::test]
async fn another_authority_for_the_same_origin_shares_no_connection() {
    let (pools, peer) = (pools(PoolSettings::default()), TlsPeer::new("127.0.0.1").await);
    let trusting = pools.destination(&peer.origin(), Some(&peer.ca_pem)).unwrap();
    let wary = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await.unwrap();
        line.serve("secret").await;
        assert!(peer.accept().await.is_err());
        line
    };
    let calls = async {
        call(&pools, &trusting).await;
        assert_eq!(kind_of(&pools, &wary, OPTIONS).await, SendErrorKind::Connect(ConnectFault::Tls));
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn certificates_from_a_file_are_trusted_beside_the_public_ones() {
    let peer = TlsPeer::new("127.0.0.1").await;
    let folder = std::env::temp_dir().join(format!("outrigger-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("roots.pem");
    // One certificate that nobody understands among them, as system bundles have.
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, format!("{odd}{}", peer.ca_pem)).unwrap();
    let tls = Tls::new(Some(&file)).unwrap();
    std::fs::write(&file, "nothing of the kind").unwrap();
    assert!(matches!(Tls::new(Some(&file)), Err(TlsError::Empty)));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(Tls::new(Some(&file)), Err(TlsError::Unreadable { .. })));

    let pools: Pools = Upstreams::new(PoolSettings::default(), Arc::new(tls), Tasks::new(), Clock::start());
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async { peer.accept().await.unwrap().serve("ok").await };
    assert_eq!(tokio::join!(serve, call(&pools, &to)).1, (false, "ok".to_owned()));
}

#[tokio::test]
async fn a_destination_that_cannot_work_says_why() {
    let pools = pools(PoolSettings::default());
    let https = |host: &str| origin(Scheme::Https, host, 443);
    let bad_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (origin, ca_pem, expected) in [
        (https("a b"), None, "`a b` is not a host name"),
        (https("api.example"), Some(""), "no certificate in it"),
        (https("api.example"), Some(bad_pem), "not a list of PEM certificates"),
    ] {
        let error = pools.destination(&origin, ca_pem).err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(
        pools.destination(&origin(Scheme::Http, "api.example", 80), Some("")).is_ok(),
        "no TLS, no certificates"
    );
}

#[tokio::test]
async fn the_host_header_leaves_out_the_schemes_own_port() {
    let pools = pools(PoolSettings::default());
    for (scheme, host, port, expected) in [
        (Scheme::Https, "api.example", 443, "api.example"),
        (Scheme::Https, "api.example", 80, "api.example:80"),
        (Scheme::Http, "api.example", 80, "api.example"),
        (Scheme::Http, "::1", 80, "[::1]"),
        (Scheme::Https, "::1", 8443, "[::1]:8443"),
    ] {
        let to = pools.destination(&origin(scheme, host, port), None).unwrap();
        assert_eq!(to.host(), expected);
    }
}
