//! A namespace with thousands of routes: what it takes of the controller and of a sidecar.

use super::{fleet, in_pod};
use crate::rig::{cluster, kubectl, until};
use k8s_openapi::api::core::v1::ConfigMap;
use outrigger_cluster::run_with_input;
use outrigger_tests::{figure, memory, provider, route};
use std::time::Duration;

const ROUTES: usize = 2_000;
const KEYS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn two_thousand_routes_and_a_hundred_keys_fit() {
    let mut fleet = fleet(cluster(), "scale", 0, |mock| vec![provider(mock, "k0"), route("m0", &["k0"])]).await;
    let sidecar = in_pod(fleet.pod()).start().await;
    fleet.sidecars.push(sidecar);
    fleet.served_by("m0", "k0").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let controller = fleet.controller.as_ref().unwrap().pid();
    let (empty, before) = (memory(controller, "VmRSS:"), memory(fleet.sidecars[0].pid(), "VmRSS:"));

    let keys = (1..KEYS).map(|number| provider(&fleet.mock, &format!("k{number}")));
    let routes = (1..ROUTES).map(|number| {
        route(
            &format!("m{number}"),
            &[&format!("k{}", number % KEYS), &format!("k{}", (number + 1) % KEYS)],
        )
    });
    let manifests: Vec<String> = keys.chain(routes).collect();
    for part in manifests.chunks(250) {
        let mut create = fleet.cluster.kubectl();
        create.args(["create", "-n", "scale", "-f", "-"]);
        run_with_input(&mut create, &part.join("\n---\n")).unwrap();
    }
    let last = format!("m{}", ROUTES - 1);
    until("all are published", || {
        fleet
            .view()
            .published()
            .filter(|(_, document)| document.table.routes.len() == ROUTES)
    });
    fleet.sync();
    fleet.served_by(&last, &format!("k{}", (ROUTES - 1) % KEYS)).await;
    // A few more edits: what the last one replaced must not stay.
    for number in 0..5 {
        fleet.apply(&[route(&last, &[&format!("k{number}"), "k50"])]);
        fleet.served_by(&last, &format!("k{number}")).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let map: ConfigMap = fleet.view().object("configmap", "outrigger-snapshot").unwrap();
    let size: usize = map.data.unwrap().values().map(String::len).sum();
    let (now, after) = (memory(controller, "VmRSS:"), memory(fleet.sidecars[0].pid(), "VmRSS:"));
    let most = memory(controller, "VmHWM:");
    let peak = memory(fleet.sidecars[0].pid(), "VmHWM:");
    let turns = fleet.controller.as_ref().unwrap().page("/metrics");
    for line in turns
        .lines()
        .filter(|line| line.contains("reconcile_duration_seconds_sum") || line.contains("reconcile_duration_seconds_count"))
    {
        println!("       {line}");
    }
    println!(
        "       controller {empty:.1} MiB with one route, {now:.1} MiB now, {most:.1} MiB at most; sidecar {before:.1}, {after:.1}, {peak:.1} MiB"
    );
    let kib = size / 1_024;
    figure("snapshot of 2,000 routes and 100 keys", format!("{kib} KiB"), "256 KiB", kib <= 256);
    figure("controller's memory", format!("{now:.1} MiB"), "80 MiB", now <= 80.0);
    let growth = after - before;
    figure("sidecar's growth", format!("{growth:.1} MiB"), "10 MiB", growth <= 10.0);
    kubectl(fleet.cluster, "delete modelroutes --all -n scale --wait=false");
}
