//! Edits while it runs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_tests::{Plane, chat, mock, provider, route, route_with};
use serde_json::json;

#[tokio::test]
async fn an_edit_takes_effect_and_a_broken_one_keeps_what_was_good_and_says_so() {
    let mock = mock();
    let plane = Plane::start(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["a"])]).await;
    assert_eq!(
        plane
            .post("/v1/chat/completions", &chat("m", "hi"))
            .await
            .header("x-outrigger-provider"),
        "a"
    );

    plane.rewrite(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["b"])]);
    plane
        .admin_until("/metrics", |page| page.text().contains("outrigger_snapshot_generation 2"))
        .await;
    assert_eq!(
        plane
            .post("/v1/chat/completions", &chat("m", "hi"))
            .await
            .header("x-outrigger-provider"),
        "b"
    );

    let typo = route("m", &["a"]).replace("targets:", "tagrets:");
    plane.rewrite(&[provider(&mock, "a"), provider(&mock, "b"), typo]);
    plane
        .admin_until("/metrics", |page| {
            page.text().contains(r#"outrigger_snapshot_rejected_total{reason="invalid"} 1"#)
        })
        .await;
    assert_eq!(
        plane
            .post("/v1/chat/completions", &chat("m", "hi"))
            .await
            .header("x-outrigger-provider"),
        "b"
    );
    let log = plane.log();
    assert!(
        log.contains("tagrets") && log.contains("targets"),
        "the typo is named with what was meant: {log}"
    );
    assert!(log.contains("last good"), "{log}");
}

#[tokio::test]
async fn connections_and_breaker_state_survive_a_reload() {
    let mock = mock();
    mock.set("a", serde_json::from_value(json!({ "status": 500 })).unwrap());
    let manifests = |note: &str| vec![provider(&mock, "a"), provider(&mock, "b"), route_with("m", &["a", "b"], note)];
    let plane = Plane::start(&manifests("")).await;
    let mut connection = plane.connect().await;
    for _ in 0..20 {
        let answer = connection
            .send(outrigger_tests::post("/v1/chat/completions", &chat("m", "hi")))
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
    }
    let before = plane.admin("/targets").await.json();
    assert_ne!(before[0]["health"]["state"], "closed", "{before}");
    plane.rewrite(&manifests("  attempts: { max: 3 }"));
    plane
        .admin_until("/metrics", |page| page.text().contains("outrigger_snapshot_generation 2"))
        .await;
    let after = plane.admin("/targets").await.json();
    assert_ne!(
        after[0]["health"]["state"], "closed",
        "what was learnt outlives the snapshot: {after}"
    );
    connection
        .send(outrigger_tests::post("/v1/chat/completions", &chat("m", "hi")))
        .await
        .unwrap();
    assert_eq!(mock.connections("b").opened, 1, "a reload reopens nothing");
}

#[tokio::test]
async fn two_routes_that_claim_one_model_are_both_named_and_the_older_serves() {
    let mock = mock();
    let second = route("m", &["b"]).replace("metadata: { name: m }", "metadata: { name: w }");
    let plane = Plane::start(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["a"]), second]).await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.header("x-outrigger-route"), "default/m/all");
    let log = plane.log();
    assert!(log.contains("default/m") && log.contains("default/w"), "{log}");
}
