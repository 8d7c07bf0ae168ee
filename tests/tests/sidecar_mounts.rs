//! A sidecar that has nothing but its mounts: no API server, no controller.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_mock::Mock;
use outrigger_snapshot::{Document, KeyState, MacKey, ca_digest, seal};
use outrigger_tests::{KEY, Published, Sidecar, chat, mock, provider, published, route};
use std::collections::BTreeMap;

const NEW_KEY: &str = "sk-test-provider-key-rotated";

/// The key that the last call to a provider carried.
fn last_key(mock: &Mock, provider: &str) -> String {
    let calls = mock.calls(provider);
    calls
        .last()
        .map(|call| call.headers["authorization"].trim_start_matches("Bearer ").to_owned())
        .unwrap_or_default()
}

async fn answered_by(sidecar: &Sidecar, model: &str) -> String {
    let answer = sidecar.post("/v1/chat/completions", &chat(model, "hi")).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), sidecar.log());
    answer.header("x-outrigger-provider").to_owned()
}

#[tokio::test]
async fn it_boots_from_its_mounts_and_serves_on_both_loopback_addresses() {
    let mock = mock();
    let one = published(&[provider(&mock, "a"), route("m", &["a"])]);
    let sidecar = Sidecar::new().mounted(&one, 1_700_000_000_000).start().await;
    // In force before the ports are told: the first call finds it.
    assert_eq!(answered_by(&sidecar, "m").await, "a");
    assert_eq!(last_key(&mock, "a"), KEY);
    assert_eq!(sidecar.page("/startz").await.status, 200);
    let metrics = sidecar.page("/metrics").await.text();
    for line in [
        "outrigger_snapshot_generation 1700000000000",
        "outrigger_snapshot_source{source=\"mount\"} 1",
        "outrigger_snapshot_pending_seconds 0.0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    let six = std::net::SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), sidecar.data.port());
    // A machine without IPv6 has but one.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert!(tokio::net::TcpStream::connect(six).await.is_ok());
    }
}

#[tokio::test]
async fn without_a_snapshot_it_is_ready_but_not_started_until_the_hold_is_over() {
    let held = Sidecar::new().with("hold-application", "10m").start().await;
    assert_eq!(held.page("/startz").await.status, 503);
    assert_eq!(held.page("/readyz").await.status, 200);
    let answer = held.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.text().contains("apply a ModelRoute"), "{}", answer.text());

    let let_go = Sidecar::new().with("hold-application", "0s").start().await;
    while let_go.page("/startz").await.status != 200 {
        tokio::task::yield_now().await;
    }

    let mock = mock();
    let one = published(&[provider(&mock, "a"), route("m", &["a"])]);
    held.keys.swap(&one.secret());
    held.snapshot.swap(&one.data(1));
    held.generation(1).await;
    assert_eq!(held.page("/startz").await.status, 200);
    assert_eq!(answered_by(&held, "m").await, "a");
}

#[tokio::test]
async fn an_edit_and_a_rotation_arrive_by_swaps_of_the_mounts_in_any_order() {
    let mock = mock();
    let mut state = published(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["a"])]);
    let sidecar = Sidecar::new().mounted(&state, 1).start().await;
    assert_eq!(answered_by(&sidecar, "m").await, "a");

    // The document is first: the old version goes on until the new bytes are there.
    state.rotate("a", NEW_KEY, KeyState::Active);
    state.set_first("a", KeyState::Draining);
    sidecar.snapshot.swap(&state.data(2));
    sidecar.generation(2).await;
    answered_by(&sidecar, "m").await;
    assert_eq!(last_key(&mock, "a"), KEY);
    sidecar.keys.swap(&state.secret());
    // The document has not changed, so no number tells; the calls do.
    while last_key(&mock, "a") != NEW_KEY {
        assert_eq!(answered_by(&sidecar, "m").await, "a");
    }

    // The bytes are first: nothing happens until a document prefers them.
    let mut next = published(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["b"])]);
    next.rotate("b", NEW_KEY, KeyState::Next);
    sidecar.keys.swap(&next.secret());
    sidecar.snapshot.swap(&next.data(3));
    sidecar.generation(3).await;
    assert_eq!(answered_by(&sidecar, "m").await, "b");
    assert_eq!(last_key(&mock, "b"), KEY);
    next.document.keys[0].state = KeyState::Active;
    sidecar.snapshot.swap(&next.data(4));
    sidecar.generation(4).await;
    answered_by(&sidecar, "m").await;
    assert_eq!(last_key(&mock, "b"), NEW_KEY);
}

#[tokio::test]
async fn a_version_that_the_provider_refuses_gives_way_to_the_one_that_stands_by_without_a_failed_call() {
    let mock = mock();
    let mut state = published(&[provider(&mock, "a"), route("m", &["a"])]);
    state.rotate("a", NEW_KEY, KeyState::Active);
    state.set_first("a", KeyState::Draining);
    mock.set("a", serde_json::from_value(serde_json::json!({ "keys": [KEY] })).unwrap());
    let sidecar = Sidecar::new().mounted(&state, 1).start().await;
    let answer = sidecar.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.header("x-outrigger-attempts").contains("outcome=auth"),
        "{:?}",
        answer.headers
    );
    assert_eq!(last_key(&mock, "a"), KEY);
    answered_by(&sidecar, "m").await;
    assert_eq!(mock.calls("a").len(), 3, "the refused version is not tried again");
}

#[tokio::test]
async fn a_config_map_that_somebody_has_changed_changes_nothing_and_is_told_and_no_key_goes_astray() {
    let (mock, foreign) = (mock(), mock());
    let good = published(&[provider(&mock, "a"), route("m", &["a"])]);
    let sidecar = Sidecar::new().mounted(&good, 10).start().await;
    assert_eq!(answered_by(&sidecar, "m").await, "a");

    let change = |edit: &dyn Fn(&mut Published)| {
        let mut changed = good.clone();
        edit(&mut changed);
        changed.document
    };
    let keyless = published(&[provider(&foreign, "evil"), route("m", &["evil"])]);
    let documents: Vec<Document> = vec![
        change(&|changed| changed.origin("a").host = "localhost".into()),
        change(&|changed| changed.origin("a").scheme = outrigger_core::Scheme::Https),
        change(&|changed| changed.origin("a").port = foreign.addr.port()),
        change(&|changed| changed.document.table.providers[0].ca_pem = Some("-----BEGIN CERTIFICATE-----".into())),
        change(&|changed| {
            let mut provider = keyless.document.table.providers[0].clone();
            provider.auth = outrigger_core::Auth::None;
            provider.ring.clear();
            changed.document.table.providers[0] = provider;
        }),
    ];
    // Whoever may edit ConfigMaps has the old MAC to copy, and a key of their own.
    let own = MacKey::from_bytes(&[66; 32]).unwrap();
    let mut refused = 0;
    for document in &documents {
        let mut copied = seal(document, 11, &own).unwrap().to_data();
        let signed = copied.clone();
        copied.insert("mac".into(), good.data(10)["mac"].clone());
        for data in [copied, signed] {
            sidecar.snapshot.swap(&data);
            refused += 1;
            sidecar.rejected("mac", refused).await;
            assert_eq!(answered_by(&sidecar, "m").await, "a");
        }
    }
    for (name, value) in [
        ("generation", u64::MAX.to_string()),
        ("schemaVersion", "2".into()),
        ("mac", "0".repeat(64)),
    ] {
        let mut data = good.data(10);
        data.insert(name.into(), value);
        sidecar.snapshot.swap(&data);
        refused += 1;
        sidecar.rejected("mac", refused).await;
    }
    let mut cut = good.data(10);
    let half = cut["table"][..cut["table"].len() / 2 - 1].to_owned();
    cut.insert("table".into(), half);
    sidecar.snapshot.swap(&cut);
    sidecar.rejected("malformed", 1).await;
    // Deleted: the last good one stays. Made again with an old number: it is still in force, and no news.
    sidecar.snapshot.swap(&BTreeMap::<String, String>::new());
    sidecar.read(17).await;
    sidecar.snapshot.swap(&good.data(9));
    sidecar.read(18).await;
    sidecar.snapshot.swap(&good.data(12));
    sidecar.generation(12).await;

    assert_eq!(answered_by(&sidecar, "m").await, "a");
    assert_eq!(
        foreign.calls("evil").len() + foreign.calls("a").len(),
        0,
        "nothing reached the foreign origin"
    );
    assert_eq!(foreign.connections("a").opened + foreign.connections("evil").opened, 0);
    let log = sidecar.log();
    assert!(log.contains("a snapshot is refused") && log.contains("reason=\"mac\""), "{log}");
    assert!(!log.contains(KEY), "a key in the log");
}

/// The controller's own signature is no licence either: bytes are bound.
#[tokio::test]
async fn an_authentic_document_cannot_send_a_key_to_an_origin_that_it_is_not_bound_to() {
    let (mock, foreign) = (mock(), mock());
    let good = published(&[provider(&mock, "a"), route("m", &["a"])]);
    let mut redirected = good.clone();
    redirected.origin("a").port = foreign.addr.port();
    let sidecar = Sidecar::new().mounted(&good, 1).start().await;
    sidecar.snapshot.swap(&redirected.data(2));
    sidecar.generation(2).await;
    // The route goes on where its key may go.
    assert_eq!(answered_by(&sidecar, "m").await, "a");
    assert_eq!(mock.calls("a").len(), 1);
    assert_eq!(foreign.calls("a").len(), 0);
    let metrics = sidecar.page("/metrics").await.text();
    assert!(!metrics.contains("outrigger_snapshot_pending_seconds 0.0\n"), "{metrics}");
    // Other certificates are another place.
    let mut other_ca = good.clone();
    other_ca.entries[0].2.ca_digest = Some(ca_digest("PEM"));
    let fresh = Sidecar::new().mounted(&other_ca, 1).start().await;
    let answer = fresh.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(mock.calls("a").len(), 1);
}

#[tokio::test]
async fn a_newer_document_is_refused_with_advice_and_a_restarted_sidecar_comes_up_from_the_mount() {
    let mock = mock();
    let good = published(&[provider(&mock, "a"), route("m", &["a"])]);
    let sidecar = Sidecar::new().mounted(&good, 1).start().await;
    let newer: BTreeMap<String, String> = serde_json::from_str(include_str!("data/schema-99.json")).unwrap();
    sidecar.snapshot.swap(&newer);
    sidecar.rejected("schema", 1).await;
    assert!(sidecar.log().contains("update the sidecar"), "{}", sidecar.log());
    assert_eq!(answered_by(&sidecar, "m").await, "a");
    sidecar.snapshot.swap(&good.data(2));
    sidecar.generation(2).await;
    let sidecar = sidecar.start().await;
    assert_eq!(answered_by(&sidecar, "m").await, "a");
}

#[tokio::test]
async fn a_revoked_version_is_not_used_although_its_bytes_are_there_and_an_old_document_comes_back() {
    let mock = mock();
    let good = published(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["a"]), route("w", &["b"])]);
    let sidecar = Sidecar::new().mounted(&good, 1).start().await;
    let mut revoking = good.clone();
    revoking.set_first("a", KeyState::Revoked);
    sidecar.snapshot.swap(&revoking.data(2));
    sidecar.generation(2).await;
    let answer = sidecar.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answered_by(&sidecar, "w").await, "b");
    // Without a watch a higher number is all that it takes; what is revoked stays so.
    sidecar.snapshot.swap(&good.data(3));
    sidecar.generation(3).await;
    let answer = sidecar.post("/v1/chat/completions", &chat("m", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(mock.calls("a").len(), 0);
}

#[tokio::test]
async fn a_setting_that_is_none_ends_it_with_words() {
    let output = std::process::Command::new(outrigger_tests::binary("outrigger-proxy").unwrap())
        .env_clear()
        .args(["--namespace", "shop", "--listen", "everywhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: --listen everywhere: write an address such as 127.0.0.1:5567\n");
}
