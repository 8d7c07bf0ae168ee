//! From the charts of the release before to those of this one and back, as Helm does it on a real API server: what people wrote and what sidecars
//! run on stays, fields that cannot change do not, and the rights that are there suffice for the controller that runs with them.
//!
//! `fixtures/before-webhook` holds both charts as they were before there was a webhook, packaged by `helm package` from commit d3f4206.

use crate::{
    injection::{ask, asking, has_sidecar, in_force},
    rig::{Controller, Provider, View, kubectl, manifests, until},
};
use outrigger_cluster::{Cluster, Options, run};
use outrigger_core::table::Table;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const HOME: &str = "outrigger-system";
const SHOP: &str = "shop";
/// The kinds that a release has objects of.
const KINDS: &str = "deployments,services,serviceaccounts,poddisruptionbudgets,networkpolicies,roles,rolebindings,clusterroles,\
    clusterrolebindings,mutatingwebhookconfigurations";

fn before(chart: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/before-webhook/{chart}-0.0.0.tgz"))
}

fn now(chart: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts").join(chart)
}

fn helm(cluster: &Cluster, verb: &str, release: &str, chart: Option<PathBuf>, more: &[&str]) {
    let mut command = cluster.helm();
    command.args([verb, release]).args(chart).args(["--namespace", HOME]).args(more);
    run(&mut command).unwrap();
}

/// The release's objects, each with its identity: what was made anew has another one.
fn objects(cluster: &Cluster) -> BTreeMap<String, String> {
    let listed = kubectl(cluster, &format!("get {KINDS} -A -o json -l app.kubernetes.io/instance=outrigger"));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let objects = listed["items"].as_array().unwrap().iter();
    objects
        .map(|object| {
            let name = format!(
                "{} {}/{}",
                object["kind"].as_str().unwrap(),
                text(object, "namespace"),
                text(object, "name")
            );
            (name, text(object, "uid"))
        })
        .collect()
}

/// Identities of what people wrote, and of what sidecars run on.
fn kept(cluster: &Cluster) -> BTreeMap<String, String> {
    let named = [
        "modelroute/triage",
        "providerkey/local",
        "secret/keys",
        "secret/outrigger-keys",
        "configmap/outrigger-snapshot",
        "rolebinding/outrigger-sidecar",
        "crd/modelroutes.outrigger.dev",
        "crd/providerkeys.outrigger.dev",
    ];
    let uid = |object: &str| kubectl(cluster, &format!("get {object} -n {SHOP} -o jsonpath={{.metadata.uid}}"));
    named.map(|object| (object.to_owned(), uid(object))).into()
}

/// The controller of a release, with no right beside the release's own.
fn controller(cluster: &Cluster, identity: &str, more: &[&str]) -> Controller {
    let own = ["--lease-name", "outrigger-controller", "--allowed-cidrs", "127.0.0.0/8"];
    Controller::start_with(cluster, identity, &[&own, more].concat())
}

/// Gives the route another model, and waits until that is published.
fn publishes(view: &View<'_>, model: &str) {
    let rules = json!([{"name": "all", "targets": [{"keyRef": {"name": "local"}, "model": model}]}]);
    let patch = json!({"spec": {"rules": rules}}).to_string();
    let command = ["patch", "modelroute", "triage", "-n", SHOP, "--type=merge", "-p", &patch];
    run(view.cluster.kubectl().args(command)).unwrap();
    let named = |table: &Table| serde_json::to_string(table).unwrap().contains(&format!("\"{model}\""));
    until(&format!("{model} is published"), || {
        let (_, document) = view.published()?;
        named(&document.table).then_some(())
    });
}

/// Whether the controller was refused nothing. Under the release before, today's program goes without its watch of RoleBindings.
fn quiet(controller: &Controller, before: bool) {
    let log = controller.log();
    let forbidden = log.lines().filter(|line| line.contains("orbidden"));
    let may = |line: &&str| !before || !line.contains("rolebindings") || !line.contains("cannot list");
    let missing: Vec<&str> = forbidden.filter(may).collect();
    assert!(missing.is_empty(), "a right is missing: {missing:#?}");
}

#[test]
fn the_release_before_is_upgraded_and_rolled_back_and_nothing_is_lost() {
    let cluster = Cluster::start(&Options::default()).unwrap();
    helm(
        &cluster,
        "install",
        "outrigger-crds",
        Some(before("outrigger-crds")),
        &["--create-namespace"],
    );
    helm(&cluster, "install", "outrigger", Some(before("outrigger")), &[]);
    let (provider, view) = (
        Provider::start(),
        View {
            cluster: &cluster,
            namespace: SHOP,
        },
    );
    provider.knows("sk-canary-upgrade");
    cluster.apply(&manifests(SHOP, &provider, "sk-canary-upgrade")).unwrap();
    let old = controller(&cluster, "old", &[]);
    publishes(&view, "first");
    quiet(&old, true);
    let (first, written) = (objects(&cluster), kept(&cluster));
    assert!(first.len() == 7, "{first:?}");

    // The definitions first, as the README says; the controller of before works with them.
    helm(&cluster, "upgrade", "outrigger-crds", Some(now("outrigger-crds")), &[]);
    publishes(&view, "second");
    old.stop();
    helm(&cluster, "upgrade", "outrigger", Some(now("outrigger")), &[]);
    let second = objects(&cluster);
    let new: Vec<&str> = second
        .keys()
        .filter(|name| !first.contains_key(*name))
        .map(String::as_str)
        .collect();
    assert_eq!(
        new,
        [
            "MutatingWebhookConfiguration /outrigger",
            "PodDisruptionBudget outrigger-system/outrigger-controller",
            "Service outrigger-system/outrigger-webhook",
        ]
    );
    for (name, uid) in &first {
        assert_eq!(second.get(name), Some(uid), "{name} was made anew or has gone");
    }
    assert_eq!(kept(&cluster), written);

    // The rights of this release suffice for all that its controller does.
    let webhook = [
        "--webhook",
        "127.0.0.1:0",
        "--webhook-names",
        "127.0.0.1",
        "--sidecar-image",
        "outrigger-proxy:test",
    ];
    let current = controller(&cluster, "current", &webhook);
    let url = format!("webhook.url=https://127.0.0.1:{}", current.port("webhook"));
    helm(&cluster, "upgrade", "outrigger", Some(now("outrigger")), &["--set", &url]);
    in_force(&cluster, SHOP);
    publishes(&view, "third");
    quiet(&current, false);
    assert_eq!(objects(&cluster), second);
    assert_eq!(kept(&cluster), written);
    current.stop();

    helm(&cluster, "rollback", "outrigger", None, &["1"]);
    helm(&cluster, "rollback", "outrigger-crds", None, &["1"]);
    assert_eq!(objects(&cluster), first, "what came with the upgrade has gone, and nothing else");
    assert_eq!(kept(&cluster), written);
    let (pod, _) = ask(&cluster, SHOP, &asking("after")).unwrap();
    assert!(!has_sidecar(&pod), "nobody is asked any more");
    let old = controller(&cluster, "old-again", &[]);
    publishes(&view, "fourth");
    quiet(&old, true);
    old.stop();

    helm(&cluster, "upgrade", "outrigger", Some(now("outrigger")), &[]);
    goes_away(&cluster);
}

/// Copied keys and certificates go with the release, what people wrote stays.
fn goes_away(cluster: &Cluster) {
    helm(cluster, "uninstall", "outrigger", None, &[]);
    assert_eq!(objects(cluster), BTreeMap::new());
    for (namespace, object) in [
        (SHOP, "secret/outrigger-keys"),
        (SHOP, "configmap/outrigger-snapshot"),
        (SHOP, "rolebinding/outrigger-sidecar"),
        (HOME, "secret/outrigger-webhook"),
    ] {
        kubectl(cluster, &format!("wait --for=delete --timeout=120s -n {namespace} {object}"));
    }
    let left = kubectl(
        cluster,
        &format!("get modelroute/triage providerkey/local secret/keys -n {SHOP} -o name"),
    );
    assert_eq!(left.lines().count(), 3, "{left}");
}
