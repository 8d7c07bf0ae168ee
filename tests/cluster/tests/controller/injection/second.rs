//! Another webhook, which comes after ours and adds a container: ours is asked once more.

use super::{ask, asking, has_sidecar, namespace, variable};
use crate::rig::until;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use outrigger_cluster::Cluster;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

pub(super) fn a_container_that_another_webhook_adds_is_not_forgotten(cluster: &Cluster) {
    namespace(cluster, "second", &json!({"outrigger.dev/inject": "true"}));
    let (port, authority) = serve();
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        // They are asked in the order of their names.
        "metadata": {"name": "z-second"},
        "webhooks": [{
            "name": "second.test.example",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"url": format!("https://127.0.0.1:{port}/"), "caBundle": STANDARD.encode(authority)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "second"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    });
    cluster.apply(&configuration.to_string()).unwrap();
    let pod = until("both have their say", || {
        let (pod, _) = ask(cluster, "second", &asking("both")).ok()?;
        let there = pod["spec"]["containers"]
            .as_array()?
            .iter()
            .any(|container| container["name"] == "late");
        there.then_some(pod)
    });
    assert!(has_sidecar(&pod));
    for container in ["app", "late"] {
        let base = variable(&pod, container, "OPENAI_BASE_URL");
        assert_eq!(base.as_deref(), Some("http://127.0.0.1:5567/v1"), "{container}");
    }
}

/// Serves until the test program ends.
fn serve() -> (u16, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            thread::spawn(move || answer(stream.unwrap(), config));
        }
    });
    (port, certificate.pem())
}

/// One review, one answer; whoever goes away goes away.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    let tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut reader = BufReader::new(tls);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let review: Value = serde_json::from_slice(&body).ok()?;
    let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": {"name": "late", "image": "late:1"}}]);
    let response = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())},
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        response.len()
    );
    let stream = reader.get_mut();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(response.as_bytes()).ok()?;
    stream.flush().ok()
}
