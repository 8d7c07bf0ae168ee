//! Rotation of every key under load, with mounts that come when a kubelet would bring them.

use super::{fleet, in_pod};
use crate::{
    fleet::Fleet,
    rig::{cluster, until},
};
use k8s_openapi::api::core::v1::ConfigMap;
use outrigger_cluster::Cluster;
use outrigger_snapshot::{KeyState, Sealed, version};
use outrigger_tests::{KEY, Load, Shot, behave, figure, provider, route};
use serde_json::json;
use std::{
    collections::BTreeSet,
    process::Child,
    time::{Duration, Instant},
};
use tempfile::NamedTempFile;

const KEYS: usize = 20;
const SIDECARS: usize = 5;
/// Of all sidecars together, a second.
const RATE: u32 = 500;

fn name(number: usize) -> String {
    format!("k{number}")
}

/// One route over all keys, so that each of them serves.
fn spread() -> String {
    let targets: Vec<String> = (0..KEYS)
        .map(|number| format!("{{ keyRef: {{ name: {} }}, model: m }}", name(number)))
        .collect();
    format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{ name: all }}\nspec:\n  models: [all]\n  rules: [{{ name: all, targets: [{}] }}]\n",
        targets[..16].join(", ")
    )
}

async fn running<'c>(cluster: &'c Cluster, namespace: &'static str) -> Fleet<'c> {
    let mut fleet = fleet(cluster, namespace, 0, |mock| {
        let keys = (0..KEYS).map(|number| provider(mock, &name(number)));
        // Each key alone, too: where it fails, nobody helps.
        let routes = (0..KEYS).map(|number| route(&format!("m{number}"), &[&name(number)]));
        keys.chain(routes).chain([spread()]).collect()
    })
    .await;
    until("every key is published", || {
        fleet.view().published().filter(|(_, document)| document.keys.len() == KEYS)
    });
    for _ in 0..SIDECARS {
        let sidecar = in_pod(fleet.pod()).start().await;
        fleet.sidecars.push(sidecar);
    }
    fleet.served_by("m0", "k0").await;
    fleet
}

/// Replaces every Secret's bytes at once.
fn rotate(fleet: &Fleet<'_>, bytes: &str) {
    let secrets: Vec<String> = (0..KEYS)
        .map(|number| {
            let annotations = format!("outrigger.dev/origins: \"http://{}\"", fleet.mock.addr);
            let metadata = format!("{{ name: {}-keys, annotations: {{ {annotations} }} }}", name(number));
            format!("apiVersion: v1\nkind: Secret\nmetadata: {metadata}\nstringData: {{ main: {bytes} }}\n")
        })
        .collect();
    fleet.apply(&secrets);
}

fn accept(fleet: &Fleet<'_>, keys: &[&str]) {
    for number in 0..KEYS {
        behave(&fleet.mock, &name(number), json!({ "keys": keys }));
    }
}

/// Everything that is published of a namespace, written down as it comes.
struct Publications {
    child: Child,
    file: NamedTempFile,
}

impl Publications {
    fn of(fleet: &Fleet<'_>) -> Self {
        let file = NamedTempFile::new().unwrap();
        let mut kubectl = fleet.cluster.kubectl();
        kubectl.args([
            "get",
            "configmap",
            "outrigger-snapshot",
            "-n",
            fleet.namespace,
            "--watch",
            "-o",
            "json",
        ]);
        let child = kubectl.stdout(file.reopen().unwrap()).spawn().unwrap();
        Self { child, file }
    }

    /// How many there were, and in how many of them a version other than `bytes` serves although `bytes` had served before.
    fn stale(mut self, fleet: &Fleet<'_>, bytes: &str) -> (usize, usize) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let text = std::fs::read_to_string(self.file.path()).unwrap();
        let mac = fleet.view().ring().unwrap().mac.unwrap();
        let wanted = version(bytes.as_bytes());
        let (mut seen, mut stale, mut served) = (0, 0, BTreeSet::new());
        for map in serde_json::Deserializer::from_str(&text)
            .into_iter::<ConfigMap>()
            .map_while(Result::ok)
        {
            let sealed = Sealed::from_data(&map.data.unwrap()).unwrap();
            let document = outrigger_snapshot::open(&sealed, fleet.namespace, &mac).unwrap();
            seen += 1;
            for key in document.keys.iter().filter(|key| key.state == KeyState::Active) {
                if key.version == wanted {
                    served.insert(key.id.clone());
                } else if served.contains(&key.id) {
                    stale += 1;
                }
            }
        }
        (seen, stale)
    }
}

/// Waits until `bytes` is the serving version of every key.
fn active(fleet: &Fleet<'_>, bytes: &str) {
    let wanted = version(bytes.as_bytes());
    until("every key is active", || {
        let (_, document) = fleet.view().published()?;
        let serving = document
            .keys
            .iter()
            .filter(|key| key.version == wanted && key.state == KeyState::Active);
        (serving.count() == KEYS).then_some(())
    });
}

/// Brings the mounts up to date, each after a time of its own of up to five seconds; returns when each was.
async fn kubelets(fleet: &Fleet<'_>) -> Vec<Instant> {
    // Fixed shares of the five seconds, out of order.
    let delays = [3_100, 200, 4_900, 1_700, 2_600].map(Duration::from_millis);
    let start = tokio::time::Instant::now();
    let mut order: Vec<usize> = (0..SIDECARS).collect();
    order.sort_by_key(|&at| delays[at]);
    let mut synced = vec![Instant::now(); SIDECARS];
    for at in order {
        tokio::time::sleep_until(start + delays[at]).await;
        fleet.mount(&fleet.sidecars[at]);
        synced[at] = Instant::now();
    }
    synced
}

fn loads(fleet: &Fleet<'_>) -> Vec<Load> {
    let addresses: Vec<_> = fleet.sidecars.iter().map(|sidecar| sidecar.data).collect();
    let each = RATE / u32::try_from(SIDECARS).unwrap();
    // Nine tenths over all keys, and one key alone.
    vec![
        Load::start(&addresses, "all", each - each / 10),
        Load::start(&addresses, "m7", each / 10),
    ]
}

async fn stop(loads: Vec<Load>) -> Vec<Vec<Shot>> {
    let mut shots = Vec::new();
    for load in loads {
        shots.push(load.stop().await);
    }
    shots
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn every_key_rotates_under_load_without_a_failed_call() {
    let fleet = running(cluster(), "rotates").await;
    accept(&fleet, &[KEY, "sk-next"]);
    let loads = loads(&fleet);
    let publications = Publications::of(&fleet);
    tokio::time::sleep(Duration::from_secs(2)).await;
    rotate(&fleet, "sk-next");
    // A kubelet brings what is there when it looks: first the state in which the new bytes come, later the last one.
    kubelets(&fleet).await;
    active(&fleet, "sk-next");
    kubelets(&fleet).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    accept(&fleet, &["sk-next"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let shots: Vec<Shot> = stop(loads).await.concat();
    let failed = shots.iter().filter(|shot| shot.status != 200).count();
    figure(
        "calls that failed over a rotation of 20 keys",
        format!("{failed} of {}", shots.len()),
        "0",
        failed == 0,
    );
    let (seen, stale) = publications.stale(&fleet, "sk-next");
    assert!(seen > 1);
    figure(
        "keys published as serving with what had been replaced",
        format!("{stale} in {seen} documents"),
        "0",
        stale == 0,
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure: cargo xtask run figures"]
async fn a_provider_that_kills_the_old_key_at_the_edit_costs_only_until_the_new_bytes_are_there() {
    let fleet = running(cluster(), "killed").await;
    fleet.apply(&[provider(&fleet.mock, "spare"), route("helped", &["k3", "spare"])]);
    until("the spare is published", || {
        fleet.view().published().filter(|(_, document)| document.keys.len() == KEYS + 1)
    });
    fleet.sync();
    fleet.served_by("helped", "k3").await;
    let addresses: Vec<_> = fleet.sidecars.iter().map(|sidecar| sidecar.data).collect();
    let (alone, helped) = (Load::start(&addresses, "m7", 20), Load::start(&addresses, "helped", 20));
    tokio::time::sleep(Duration::from_secs(2)).await;
    accept(&fleet, &["sk-next"]);
    rotate(&fleet, "sk-next");
    active(&fleet, "sk-next");
    let synced = kubelets(&fleet).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (alone, helped) = (alone.stop().await, helped.stop().await);
    let failed = |shots: &[Shot]| shots.iter().filter(|shot| shot.status != 200).copied().collect::<Vec<Shot>>();
    let count = failed(&helped).len();
    figure(
        "calls that failed where another target serves",
        format!("{count} of {}", helped.len()),
        "0",
        count == 0,
    );
    let late = failed(&alone)
        .iter()
        .map(|shot| shot.at.saturating_duration_since(synced[shot.to]))
        .max()
        .unwrap_or_default();
    let count = failed(&alone).len();
    let shown = format!("the last of {count} of {} failed {} ms after", alone.len(), late.as_millis());
    figure(
        "calls with the killed key alone, after the new bytes are on disk",
        shown,
        "2 s",
        late <= Duration::from_secs(2),
    );
}
