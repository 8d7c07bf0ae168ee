//! What a stopped API server and a silent network cost.

use super::{fleet, in_force, in_pod, next_in_force, watching};
use crate::{
    fleet::answered,
    rig::{cluster, definitions, prepare, until},
};
use k8s_openapi::jiff::Timestamp;
use outrigger_cluster::{Cluster, Options, run_with_input};
use outrigger_tests::{Relay, Sidecar, Times, address_in, figure, provider, route};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn an_edit_after_a_minute_without_an_api_server_is_in_force_within_35_seconds() {
    let mut cluster = Cluster::start(&Options::default()).unwrap();
    prepare(&cluster, &definitions());
    let (mock, controller, sidecars) = {
        let fleet = fleet(&cluster, "stopped", 3, |mock| {
            vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a"]), route("other", &["b"])]
        })
        .await;
        fleet.served_by("m", "a").await;
        (fleet.mock, fleet.controller, fleet.sidecars)
    };
    cluster.pause_api().unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    cluster.resume_api().unwrap();
    let before: Vec<usize> = sidecars.iter().map(|sidecar| in_force(sidecar).len()).collect();
    let start = Timestamp::now();
    until("the edit is taken", || {
        let mut kubectl = cluster.kubectl();
        run_with_input(kubectl.args(["apply", "-n", "stopped", "-f", "-"]), &route("m", &["b"])).ok()
    });
    let mut times = Vec::new();
    for (sidecar, before) in sidecars.iter().zip(before) {
        times.push(next_in_force(sidecar, before, start).await);
        answered(sidecar, "m", "b").await;
    }
    let times = Times::new(times);
    let most = times.quantile(1_000);
    figure(
        "an edit after 60 s of SIGSTOP, in force",
        &times,
        "35 s",
        most <= Duration::from_secs(35),
    );
    drop((mock, controller));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn an_edit_during_a_silent_network_is_in_force_within_35_seconds() {
    let mut fleet = fleet(cluster(), "silent", 0, |mock| {
        vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a"]), route("other", &["b"])]
    })
    .await;
    let relay = Relay::start(address_in(&fleet.cluster.url()).unwrap()).await;
    let sidecar: Sidecar = in_pod(fleet.pod())
        .with("api-server", &format!("https://{}", relay.address))
        .start()
        .await;
    fleet.sidecars.push(sidecar);
    watching(&fleet).await;
    let sidecar = &fleet.sidecars[0];
    let mut times = Vec::new();
    for to in ["b", "a", "b"] {
        // The connection is lost without a word; whoever dials anew gets through.
        relay.silence(true);
        let (before, start) = (in_force(sidecar).len(), Timestamp::now());
        fleet.apply(&[route("m", &[to])]);
        relay.silence(false);
        times.push(next_in_force(sidecar, before, start).await);
        answered(sidecar, "m", to).await;
    }
    let times = Times::new(times);
    let most = times.quantile(1_000);
    figure(
        "an edit behind a silent relay, in force",
        &times,
        "35 s",
        most <= Duration::from_secs(35),
    );
}
