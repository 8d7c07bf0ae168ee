//! Over real connections: what is answered, what is turned away, and that certificates change under way.

use super::*;
use crate::{
    cluster::Cluster,
    inject::SidecarSettings,
    metrics::Injections,
    tell::Teller,
    webhook::{
        certificates::{Pair, make},
        claim::Claims,
    },
};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use kube::Client;
use outrigger_runtime::{Clock, Drain, Metrics, Tasks};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::json;
use std::net::SocketAddr;
use tokio_rustls::TlsConnector;

struct Rig {
    at: SocketAddr,
    credentials: Arc<Credentials>,
    metrics: Metrics,
    tasks: Tasks,
    drain: Drain,
}

/// A webhook of a process that knows nothing of its cluster yet, so that it asks nobody.
fn rig() -> Rig {
    let (metrics, tasks, clock) = (Metrics::new("outrigger"), Tasks::new(), Clock::start());
    let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = Client::try_from(nowhere).unwrap();
    let sidecar = SidecarSettings {
        image: "outrigger-proxy:1".to_owned(),
        pull_policy: "Never".to_owned(),
        user: None,
        cpu: "10m".to_owned(),
        memory: "32Mi".to_owned(),
        memory_limit: "256Mi".to_owned(),
    };
    let shared = Arc::new(Shared {
        sidecar,
        cluster: Arc::new(Cluster::new(1)),
        counts: Injections::new(&metrics),
        claims: Claims::new(client.clone()),
        teller: Arc::new(Teller::new(client, "one".to_owned())),
        tasks: tasks.clone(),
        clock,
    });
    let listeners = Listeners::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], listeners.port()));
    let credentials: Arc<Credentials> = Arc::default();
    let (drain, draining) = Drain::new();
    tasks.background("webhook", serve(listeners, Arc::clone(&credentials), shared, draining));
    Rig {
        at,
        credentials,
        metrics,
        tasks,
        drain,
    }
}

impl Rig {
    fn pair(&self) -> Pair {
        let pair = make(&["127.0.0.1".to_owned()], Clock::start().unix_ms(), Duration::from_hours(1)).unwrap();
        self.credentials.set(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
        pair
    }

    /// A connection that trusts one authority.
    async fn connect(&self, trusted: &Pair) -> Option<SendRequest<Full<Bytes>>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(trusted.authority.as_bytes()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.at).await.unwrap();
        let name = ServerName::from(self.at.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        self.tasks.background("client", async move {
            let _ = connection.await;
        });
        Some(sender)
    }
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: impl Into<Bytes>) -> (u16, String) {
    let request = Request::post(path).header("host", "x").body(Full::new(body.into())).unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn review(pod: &Value) -> String {
    let request = json!({"uid": "u-1", "kind": {"kind": "Pod"}, "namespace": "shop", "object": pod});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}

#[tokio::test]
async fn a_review_is_answered_and_anything_else_turned_away() {
    let rig = rig();
    let pair = rig.pair();
    let mut sender = rig.connect(&pair).await.unwrap();
    let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "app"}]}});
    for (path, body, status, part) in [
        ("/inject", review(&pod), 200, r#""response":{"uid":"u-1","allowed":true}"#),
        ("/inject/namespace", review(&pod), 200, r#""patchType":"JSONPatch""#),
        (
            "/inject/namespace",
            review(&json!({"spec": {"hostNetwork": true}})),
            200,
            r#""allowed":false"#,
        ),
        ("/other", review(&pod), 404, "POST an AdmissionReview to /inject"),
        ("/inject", "no".to_owned(), 400, "this is no JSON"),
        ("/inject", "{}".to_owned(), 400, "this is no AdmissionReview"),
    ] {
        let (answered, text) = post(&mut sender, path, body).await;
        assert!(answered == status && text.contains(part), "{path}: {answered} {text}");
    }
    let page = rig.metrics.encode().unwrap();
    for (outcome, count) in [("left", 1), ("injected", 1), ("denied", 1), ("bad", 2)] {
        let line = format!("outrigger_webhook_reviews_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(page.contains(&line), "{line}{page}");
    }
}

#[tokio::test]
async fn a_review_of_more_than_three_mebibytes_is_refused() {
    let rig = rig();
    let pair = rig.pair();
    let pod = |size: usize| json!({"metadata": {"labels": {"a": "x".repeat(size)}}, "spec": {"containers": []}});
    let (status, _) = post(&mut rig.connect(&pair).await.unwrap(), "/inject", review(&pod(LARGEST - 1_000))).await;
    assert_eq!(status, 200);
    let (status, text) = post(&mut rig.connect(&pair).await.unwrap(), "/inject", review(&pod(LARGEST))).await;
    assert_eq!(
        (status, text.as_str()),
        (413, "the review did not come whole, or has more than 3 MiB")
    );
}

#[tokio::test]
async fn a_new_certificate_serves_the_next_connection_and_the_old_one_goes_on() {
    let rig = rig();
    let first = rig.pair();
    let mut old = rig.connect(&first).await.unwrap();
    let second = rig.pair();
    assert!(rig.connect(&first).await.is_none(), "it is no longer shown");
    let mut new = rig.connect(&second).await.unwrap();
    for sender in [&mut old, &mut new] {
        assert_eq!(post(sender, "/inject", "{}").await.0, 400);
    }
    assert!(rig.credentials.set(b"", b"").is_err());
    assert!(rig.connect(&second).await.is_some(), "what cannot be used changes nothing");
}

#[tokio::test]
async fn without_a_certificate_nobody_is_answered() {
    let rig = rig();
    let stranger = make(&["127.0.0.1".to_owned()], Clock::start().unix_ms(), Duration::from_hours(1)).unwrap();
    assert!(!rig.credentials.there() && rig.connect(&stranger).await.is_none());
}

#[tokio::test]
async fn a_process_that_ends_answers_those_who_do_not_know_yet() {
    let rig = rig();
    let pair = rig.pair();
    let asking = async {
        let mut ear = rig.drain.draining();
        ear.graceful().await;
        // Everybody has heard of it, and the end waits.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ear.in_flight(), 1);
        let mut sender = rig.connect(&pair).await.unwrap();
        assert_eq!(post(&mut sender, "/inject", "{}").await.0, 400);
        rig.drain.force();
    };
    tokio::join!(rig.drain.drain(Duration::from_mins(1)), asking);
}
