//! How soon an edit is in force, and how soon a revoked key rests.

use super::{fleet, in_force, next_in_force};
use crate::{
    fleet::{Fleet, keys_seen},
    rig::{cluster, until},
};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use outrigger_snapshot::version;
use outrigger_tests::{KEY, Load, Times, Watching, address_in, figure, provider, route};
use serde_json::json;
use std::time::{Duration, Instant};

/// Edits that are measured.
const EDITS: usize = 20;

fn edit(fleet: &Fleet<'_>, number: usize) {
    fleet.apply(&[route("m", &[if number.is_multiple_of(2) { "b" } else { "a" }])]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn an_edit_is_in_force_in_fifty_sidecars_within_a_second() {
    let fleet = fleet(cluster(), "fifty", 50, |mock| {
        vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a"]), route("other", &["b"])]
    })
    .await;
    let mut times = Vec::new();
    let mut slowest = Vec::new();
    for number in 0..EDITS {
        let before: Vec<usize> = fleet.sidecars.iter().map(|sidecar| in_force(sidecar).len()).collect();
        let start = Timestamp::now();
        edit(&fleet, number);
        for (sidecar, before) in fleet.sidecars.iter().zip(before) {
            times.push(next_in_force(sidecar, before, start).await);
        }
        slowest.push(times.iter().rev().take(fleet.sidecars.len()).max().unwrap().as_millis());
        fleet.served_by("m", if number.is_multiple_of(2) { "b" } else { "a" }).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    println!("       the slowest of each edit, ms: {slowest:?}");
    let times = Times::new(times);
    let p99 = times.quantile(990);
    figure(
        "kubectl apply to in force, 50 sidecars",
        &times,
        "p99 1 s",
        p99 <= Duration::from_secs(1),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn an_edit_reaches_five_hundred_watchers_within_two_seconds() {
    let fleet = fleet(cluster(), "five-hundred", 0, |mock| {
        vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a"]), route("other", &["b"])]
    })
    .await;
    let address = address_in(&fleet.cluster.url()).unwrap();
    let token = fleet.cluster.token_of(fleet.namespace, "default").unwrap();
    let watching = Watching::new(address, &fleet.cluster.ca_pem().unwrap(), &token).unwrap();
    let mut watchers = Vec::new();
    for _ in 0..500 {
        watchers.push(watching.open(fleet.namespace).await.unwrap());
    }
    let mut times = Vec::new();
    for number in 0..EDITS {
        let before: Vec<usize> = watchers.iter().map(|watcher| watcher.changes().len()).collect();
        let start = Instant::now();
        edit(&fleet, number);
        for (watcher, before) in watchers.iter().zip(before) {
            let seen = async {
                loop {
                    if let Some(at) = watcher.changes().get(before) {
                        return *at;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let at = tokio::time::timeout(Duration::from_mins(1), seen).await.expect("a change");
            times.push(at.duration_since(start));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let times = Times::new(times);
    let p99 = times.quantile(990);
    figure("kubectl apply to 500 watchers", &times, "p99 2 s", p99 <= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn a_revoked_key_rests_within_two_seconds_although_another_keys_bytes_never_arrive() {
    let fleet = fleet(cluster(), "rests", 5, |mock| {
        vec![
            provider(mock, "a"),
            provider(mock, "b"),
            route("m", &["a", "b"]),
            route("other", &["b"]),
        ]
    })
    .await;
    // Published, and in nobody's mount, ever.
    fleet.apply(&[provider(&fleet.mock, "never"), route("pending", &["never", "b"])]);
    fleet.served_by("pending", "b").await;
    let addresses: Vec<_> = fleet.sidecars.iter().map(|sidecar| sidecar.data).collect();
    let load = Load::start(&addresses, "m", 40);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!keys_seen(&fleet.mock, "a").is_empty());

    let start = now_of(&fleet).await;
    let versions = [version(KEY.as_bytes())];
    fleet.patch(
        "providerkey",
        "a",
        &json!({ "spec": { "rotation": { "revokedVersions": versions } } }),
    );
    let before: Vec<usize> = fleet.sidecars.iter().map(|sidecar| in_force(sidecar).len()).collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let edited = Timestamp::now();
    fleet.apply(&[route("unrelated", &["b"])]);
    let mut unrelated = Vec::new();
    for (sidecar, before) in fleet.sidecars.iter().zip(before) {
        let behind = in_force(sidecar).len().max(before);
        unrelated.push(next_in_force(sidecar, behind.min(before + 1), edited).await);
    }
    fleet.served_by("unrelated", "b").await;
    let shots = load.stop().await;
    let last = fleet
        .mock
        .calls("a")
        .iter()
        .filter(|call| call.path.contains("chat"))
        .map(|call| call.at_ms)
        .max()
        .unwrap();
    let failed = shots.iter().filter(|shot| shot.status != 200).count();
    figure(
        "calls that failed over the revocation",
        format!("{failed} of {}", shots.len()),
        "0",
        failed == 0,
    );
    let rested = last.saturating_sub(start);
    figure(
        "revoked to the last call with the key",
        format!("{rested} ms"),
        "2 s",
        rested <= 2_000,
    );
    let times = Times::new(unrelated);
    let most = times.quantile(1_000);
    figure(
        "an unrelated edit meanwhile, in force",
        &times,
        "1 s",
        most <= Duration::from_secs(1),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn an_old_document_is_in_force_for_two_seconds_at_most() {
    let fleet = fleet(cluster(), "replayed", 5, |mock| {
        vec![
            provider(mock, "a"),
            provider(mock, "b"),
            route("m", &["a", "b"]),
            route("other", &["b"]),
        ]
    })
    .await;
    let map = || fleet.view().object::<ConfigMap>("configmap", "outrigger-snapshot").unwrap();
    let old = map().data.unwrap();
    let versions = [version(KEY.as_bytes())];
    fleet.patch(
        "providerkey",
        "a",
        &json!({ "spec": { "rotation": { "revokedVersions": versions } } }),
    );
    fleet.served_by("m", "b").await;
    let used = keys_seen(&fleet.mock, "a").len();
    let mut times = Vec::new();
    for _ in 0..5 {
        let before: Vec<usize> = fleet.sidecars.iter().map(|sidecar| in_force(sidecar).len()).collect();
        let generation = fleet.view().published().unwrap().0;
        fleet.patch("configmap", "outrigger-snapshot", &json!({ "data": old }));
        until("it is mended", || fleet.view().published().filter(|(now, _)| *now > generation));
        for (sidecar, before) in fleet.sidecars.iter().zip(before) {
            // The old one comes into force where it is not overtaken, and the mended one after it.
            let from = next_in_force(sidecar, before, Timestamp::UNIX_EPOCH).await;
            sidecar.generation(fleet.view().published().unwrap().0).await;
            let last = in_force(sidecar).last().unwrap().duration_since(Timestamp::UNIX_EPOCH);
            times.push(Duration::try_from(last).unwrap().saturating_sub(from));
        }
        fleet.served_by("m", "b").await;
    }
    let times = Times::new(times);
    let most = times.quantile(1_000);
    figure("a replayed document in force", &times, "2 s", most <= Duration::from_secs(2));
    let again = keys_seen(&fleet.mock, "a").len() - used;
    figure("calls with a revoked key meanwhile", again, "0", again == 0);
}

/// Now, in milliseconds since the scripted providers started.
async fn now_of(fleet: &Fleet<'_>) -> u64 {
    let mut connection = outrigger_tests::Connection::open(fleet.mock.addr).await.unwrap();
    let request = outrigger_tests::post("/marker/v1/chat/completions", &outrigger_tests::chat("m", "now"));
    connection.send(request).await.unwrap();
    until("the mark", || fleet.mock.calls("marker").last().map(|call| call.at_ms))
}
