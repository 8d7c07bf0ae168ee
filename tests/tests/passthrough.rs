//! Endpoints that are not read, only forwarded.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use bytes::Bytes;
use http::Method;
use outrigger_tests::{KEY, Plane, anthropic_provider, mock, provider_with, request};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PATHS: &str = "  passthrough: { paths: [/files, \"/files/*\", \"/audio/*\", /realtime] }";

#[tokio::test]
async fn a_named_path_is_forwarded_with_the_providers_key_and_nothing_of_the_client() {
    let mock = mock();
    let plane = Plane::start(&[provider_with(&mock, "a", PATHS), anthropic_provider(&mock, "c")]).await;
    let body = "--x\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\ncontent-type: text/plain\r\n\r\nhello\r\n--x--\r\n";
    let mut upload = request(Method::POST, "/v1/files?after=1", Bytes::from(body));
    upload
        .headers_mut()
        .insert("content-type", "multipart/form-data; boundary=x".parse().unwrap());
    upload.headers_mut().insert("cookie", "a=b".parse().unwrap());
    let answer = plane.send(upload).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["id"].as_str().unwrap().starts_with("file-"));
    let calls = mock.calls("a");
    assert!(calls[0].path.ends_with("/files?after=1"));
    assert_eq!(
        calls[0].headers.get("authorization").map(String::as_str),
        Some(&*format!("Bearer {KEY}"))
    );
    assert!(!calls[0].headers.contains_key("cookie"));
    assert_eq!(
        calls[0].headers.get("content-type").map(String::as_str),
        Some("multipart/form-data; boundary=x")
    );
    let metrics = plane.admin("/metrics").await.text();
    assert!(metrics.contains(r#"endpoint="passthrough",outcome="ok""#), "{metrics}");
}

#[tokio::test]
async fn our_credentials_failing_in_a_pass_through_is_not_the_callers_affair_either() {
    let mock = mock();
    mock.set("a", serde_json::from_value(json!({ "keys": ["sk-other"] })).unwrap());
    let plane = Plane::start(&[provider_with(&mock, "a", PATHS)]).await;
    let answer = plane.send(request(Method::GET, "/v1/files", Bytes::new())).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (503, Some("upstream_credentials")),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn an_upload_far_over_the_cap_of_routed_calls_passes_in_little_memory() {
    let mock = mock();
    let plane = Plane::start_with(&[provider_with(&mock, "a", PATHS)], &["--memory-limit", "64Mi"]).await;
    let mut upload = request(Method::POST, "/v1/files", Bytes::from(vec![b'x'; 48 << 20]));
    upload
        .headers_mut()
        .insert("content-type", "application/octet-stream".parse().unwrap());
    let answer = plane.send(upload).await;
    assert!(answer.status < 500, "{}", answer.text());
    assert_eq!(mock.calls("a")[0].bytes, 48 << 20);
}

#[tokio::test]
async fn a_websocket_is_joined_end_to_end() {
    let mock = mock();
    let plane = Plane::start(&[provider_with(&mock, "a", PATHS)]).await;
    let mut stream = tokio::net::TcpStream::connect(plane.data).await.unwrap();
    let head = "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer sk-outrigger\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("session.created") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&seen);
    assert!(text.starts_with("HTTP/1.1 101"), "{text}");
    assert!(
        text.to_ascii_lowercase()
            .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{text}"
    );
    // A masked text frame with `{}` as its mask of zeroes leaves it.
    let event = br#"{"type":"session.update"}"#;
    let mut frame = vec![0x81, 0x80 | u8::try_from(event.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(event);
    stream.write_all(&frame).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("session.updated") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0);
        seen.extend_from_slice(&buffer[..read]);
    }
}
