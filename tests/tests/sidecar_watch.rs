//! A sidecar that watches its ConfigMap at a scripted API server.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_mock::Mock;
use outrigger_snapshot::KeyState;
use outrigger_tests::{ApiServer, KEY, Published, Relay, Sidecar, chat, mock, provider, published, route};

/// A route `m` to one of the providers `a`, `b`; all keys are known in any case.
fn state(mock: &Mock, to: &str) -> Published {
    published(&[
        provider(mock, "a"),
        provider(mock, "b"),
        route("m", &[to]),
        route("all", &["a", "b"]),
    ])
}

async fn answered_by(sidecar: &Sidecar) -> String {
    let answer = sidecar.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), sidecar.log());
    answer.header("x-outrigger-provider").to_owned()
}

fn lists(server: &ApiServer) -> usize {
    server.requests().iter().filter(|path| !path.contains("watch=")).count()
}

#[tokio::test]
async fn an_edit_arrives_by_the_watch_and_its_number_does_not_matter() {
    let (mock, server) = (mock(), ApiServer::start().await);
    let sidecar = Sidecar::new()
        .watching(&server, server.address)
        .mounted(&state(&mock, "a"), 100)
        .start()
        .await;
    assert_eq!(answered_by(&sidecar).await, "a");
    server.watched().await;
    server.put(state(&mock, "b").data(101));
    sidecar.generation(101).await;
    assert_eq!(answered_by(&sidecar).await, "b");
    sidecar.until("outrigger_snapshot_source{source=\"watch\"} 1").await;
    server.bookmark();
    // A live watch is the truth.
    server.put(state(&mock, "a").data(7));
    sidecar.generation(7).await;
    assert_eq!(answered_by(&sidecar).await, "a");

    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|path| path.contains("fieldSelector=metadata.name%3Doutrigger-snapshot")),
        "{requests:?}"
    );
    let watch = requests.iter().find(|path| path.contains("watch=true")).unwrap();
    assert!(
        watch.contains("resourceVersion=100") && watch.contains("allowWatchBookmarks=true") && watch.contains("timeoutSeconds="),
        "{watch}"
    );
}

#[tokio::test]
async fn an_old_document_on_the_mount_does_not_beat_a_live_watch() {
    let (mock, server) = (mock(), ApiServer::start().await);
    server.put(state(&mock, "b").data(50));
    let sidecar = Sidecar::new()
        .watching(&server, server.address)
        .with("watch-patience", "0s")
        .mounted(&state(&mock, "a"), 100)
        .start()
        .await;
    sidecar.generation(50).await;
    sidecar.snapshot.swap(&state(&mock, "a").data(200));
    sidecar.read(3).await;
    // What comes by the watch after that is taken in after it.
    server.put(state(&mock, "b").data(51));
    sidecar.generation(51).await;
    assert_eq!(answered_by(&sidecar).await, "b");
    // Once the watch is dead for as long as it may be, the mount's higher number counts.
    server.refuse(Some(503));
    server.end_watches();
    sidecar.generation(200).await;
    assert_eq!(answered_by(&sidecar).await, "a");
    // And the watch again when it is back.
    server.refuse(None);
    sidecar.generation(51).await;
    assert_eq!(answered_by(&sidecar).await, "b");
}

#[tokio::test]
async fn a_watch_goes_on_from_its_bookmark_and_lists_anew_where_that_is_too_old() {
    let (mock, server) = (mock(), ApiServer::start().await);
    let sidecar = Sidecar::new()
        .watching(&server, server.address)
        .mounted(&state(&mock, "a"), 1)
        .start()
        .await;
    server.watched().await;
    server.bookmark();
    server.put(state(&mock, "a").data(2));
    sidecar.generation(2).await;
    let before = lists(&server);
    server.end_watches();
    server.watched().await;
    assert_eq!(lists(&server), before, "no new list after a watch that ended in good order");
    assert!(
        server.requests().last().unwrap().contains("resourceVersion=111"),
        "{:?}",
        server.requests()
    );

    // Told in the middle of a watch, and at its beginning.
    server.compact(true);
    server.put(state(&mock, "b").data(3));
    sidecar.generation(3).await;
    assert!(lists(&server) > before);
    server.compact(false);
    let before = lists(&server);
    server.end_watches();
    while lists(&server) == before {
        tokio::task::yield_now().await;
    }
    server.watched().await;
    server.put(state(&mock, "a").data(4));
    sidecar.generation(4).await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_and_left() {
    let (mock, server) = (mock(), ApiServer::start().await);
    let relay = Relay::start(server.address).await;
    let sidecar = Sidecar::new()
        .watching(&server, relay.address)
        .mounted(&state(&mock, "a"), 1)
        .start()
        .await;
    server.watched().await;
    server.put(state(&mock, "a").data(2));
    sidecar.generation(2).await;
    relay.silence(true);
    server.put(state(&mock, "b").data(3));
    assert_eq!(answered_by(&sidecar).await, "a", "calls do not care");
    relay.silence(false);
    // What had met the silence stays in it: only a new connection brings the edit.
    sidecar.generation(3).await;
    assert_eq!(answered_by(&sidecar).await, "b");
    assert!(sidecar.log().contains("the snapshot is not watched"), "{}", sidecar.log());
}

#[tokio::test]
async fn without_rights_and_without_a_server_the_mount_serves() {
    let (mock, server) = (mock(), ApiServer::start().await);
    server.refuse(Some(403));
    let forbidden = Sidecar::new()
        .watching(&server, server.address)
        .with("watch-patience", "0s")
        .mounted(&state(&mock, "a"), 1)
        .start()
        .await;
    // Nobody is at this port any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lonely = Sidecar::new()
        .watching(&server, gone)
        .with("watch-patience", "0s")
        .mounted(&state(&mock, "a"), 1)
        .start()
        .await;
    for sidecar in [&forbidden, &lonely] {
        assert_eq!(answered_by(sidecar).await, "a");
        sidecar.snapshot.swap(&state(&mock, "b").data(2));
        sidecar.generation(2).await;
        assert_eq!(answered_by(sidecar).await, "b");
        assert_eq!(sidecar.page("/readyz").await.status, 200);
    }
    while !forbidden.log().contains("RoleBinding") {
        tokio::task::yield_now().await;
    }
    assert!(!forbidden.log().contains(ApiServer::TOKEN), "the token in the log");
}

#[tokio::test]
async fn a_tampered_and_a_deleted_config_map_change_nothing_until_the_controller_mends_it() {
    let (mock, server) = (mock(), ApiServer::start().await);
    server.put(state(&mock, "a").data(10));
    let sidecar = Sidecar::new().watching(&server, server.address).start().await;
    sidecar.keys.swap(&state(&mock, "a").secret());
    sidecar.generation(10).await;
    server.watched().await;
    let mut tampered = state(&mock, "b").data(11);
    tampered.insert("generation".into(), u64::MAX.to_string());
    let refused = if sidecar.page("/metrics").await.text().contains("reason=\"mac\"") {
        2
    } else {
        1
    };
    server.put(tampered);
    sidecar.rejected("mac", refused).await;
    assert_eq!(answered_by(&sidecar).await, "a");
    server.delete();
    server.put(state(&mock, "b").data(1));
    sidecar.generation(1).await;
    assert_eq!(answered_by(&sidecar).await, "b");
}

#[tokio::test]
async fn a_revocation_arrives_although_another_keys_bytes_never_do_and_what_is_revoked_never_comes_back() {
    let (mock, server) = (mock(), ApiServer::start().await);
    let good = state(&mock, "a");
    server.put(good.data(1));
    let sidecar = Sidecar::new().watching(&server, server.address).mounted(&good, 1).start().await;
    server.watched().await;
    assert_eq!(answered_by(&sidecar).await, "a");

    let mut revoking = good.clone();
    revoking.set_first("a", KeyState::Revoked);
    // Of a key of `b` whose bytes nobody will mount.
    revoking.set_first("b", KeyState::Draining);
    revoking.rotate("b", "sk-never-mounted", KeyState::Active);
    server.put(revoking.data(2));
    sidecar.generation(2).await;
    let answer = sidecar.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let answer = sidecar.post("/v1/chat/completions", &chat("all", "hi")).await;
    assert_eq!(
        (answer.status, answer.header("x-outrigger-provider")),
        (200, "b"),
        "{}",
        answer.text()
    );

    let calls = mock.calls("a").len();
    server.put(good.data(3));
    sidecar.generation(3).await;
    let answer = sidecar.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(mock.calls("a").len(), calls);
    assert!(!sidecar.log().contains(KEY));
}
