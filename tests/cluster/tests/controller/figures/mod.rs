//! What is about seconds and mebibytes: from an edit to the calls that obey it. `cargo xtask run figures` builds the binaries that ship and runs
//! these; each prints what it measured beside what was asked.

mod reach;
mod rotation;
mod scale;
mod silence;

use crate::fleet::Fleet;
use k8s_openapi::jiff::Timestamp;
use outrigger_cluster::Cluster;
use outrigger_mock::Mock;
use outrigger_tests::{Sidecar, route};
use std::time::Duration;

/// A fleet whose sidecars log and look as they do in a pod.
async fn fleet<'c>(cluster: &'c Cluster, namespace: &'static str, size: usize, manifests: impl FnOnce(&Mock) -> Vec<String>) -> Fleet<'c> {
    let mut fleet = Fleet::start(cluster, namespace, 0, manifests).await;
    for _ in 0..size {
        let sidecar = in_pod(fleet.pod()).start().await;
        fleet.sidecars.push(sidecar);
    }
    if size > 0 {
        watching(&fleet).await;
    }
    fleet
}

/// Waits until every sidecar has heard of an edit by its watch.
async fn watching(fleet: &Fleet<'_>) {
    // Made and changed: for its first change of a kind kubectl fetches the schema, which takes it most of a second.
    for to in ["b", "a"] {
        fleet.apply(&[route("ready", &[to])]);
        fleet.served_by("ready", to).await;
    }
}

fn in_pod(sidecar: Sidecar) -> Sidecar {
    sidecar.with("log-level", "info").with("mount-look", "1s")
}

/// When each snapshot came into force, by the sidecar's own log: nobody has to ask it, which would be a load of its own.
fn in_force(sidecar: &Sidecar) -> Vec<Timestamp> {
    let log = sidecar.log();
    let lines = log.lines().filter(|line| line.contains("a snapshot is in force"));
    lines.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// Waits for the next snapshot after the first `before`, and says how long after `start` it was in force.
async fn next_in_force(sidecar: &Sidecar, before: usize, start: Timestamp) -> Duration {
    for _ in 0..12_000 {
        if let Some(at) = in_force(sidecar).get(before) {
            return Duration::try_from(at.duration_since(start)).unwrap_or_default();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no snapshot came:\n{}", sidecar.log());
}
