//! The controller's process against a real API server, with the controller's own rights.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    unreachable_pub,
    missing_docs,
    reason = "a test panics where it fails, and looks at the clock to fail at all"
)]

mod binding;
mod figures;
mod fleet;
mod injection;
mod rig;
mod together;
mod upgrade;

use k8s_openapi::api::core::v1::ConfigMap;
use outrigger_cluster::{Cluster, Options, run};
use outrigger_snapshot::version;
use rig::{Controller, Provider, View, cluster, definitions, kubectl, manifests, prepare, until};
use serde_json::{Value, json};

#[test]
fn objects_become_a_snapshot_and_a_secret_and_say_so() {
    let (cluster, namespace) = (cluster(), "published");
    let provider = Provider::start();
    provider.knows("sk-canary-published");
    let controller = Controller::start(cluster, &[namespace], "one");
    cluster.apply(&manifests(namespace, &provider, "sk-canary-published")).unwrap();
    let view = View { cluster, namespace };
    until("all is well", || {
        let wanted = [
            ("modelroute", "triage", "Accepted", "True Accepted"),
            ("modelroute", "triage", "ResolvedRefs", "True ResolvedRefs"),
            ("modelroute", "triage", "Programmed", "True Programmed"),
            ("providerkey", "local", "Programmed", "True Programmed"),
            ("providerkey", "local", "KeyValid", "True KeyAccepted"),
        ];
        let seen =
            |(kind, name, condition, state): (&str, &str, &str, &str)| view.condition(kind, name, condition).as_deref() == Some(state);
        wanted.into_iter().all(seen).then_some(())
    });
    let (generation, document) = view.published().unwrap();
    assert_eq!(document.table.routes[0].name, "triage");
    assert_eq!(document.table.providers[0].origin.port, provider.at.port());
    let ring = view.ring().unwrap();
    assert_eq!((ring.entries.len(), ring.broken), (1, 0));
    assert!(ring.entries.values().all(|entry| entry.key.expose() == "sk-canary-published"));
    let route: Value = view.object("modelroute", "triage").unwrap();
    assert_eq!(route["status"]["publishedGeneration"].as_u64(), Some(generation));

    // Owned by the chart's role, and readable for the namespace's pods.
    let role = kubectl(cluster, "get clusterrole outrigger-sidecar -o jsonpath={.metadata.uid}");
    for (kind, name) in [
        ("configmap", "outrigger-snapshot"),
        ("secret", "outrigger-keys"),
        ("rolebinding", "outrigger-sidecar"),
    ] {
        let object: Value = view.object(kind, name).unwrap();
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], role.as_str(), "{kind}");
    }
    let may = [
        "auth",
        "can-i",
        "watch",
        "configmaps/outrigger-snapshot",
        "-n",
        namespace,
        "--as",
        "system:serviceaccount:published:default",
    ];
    let group = ["--as-group", "system:serviceaccounts:published"];
    assert_eq!(run(cluster.kubectl().args(may).args(group)).unwrap(), "yes\n");

    // An edit of nothing writes nothing: what was done is the last word.
    assert!(controller.page("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = controller.page("/metrics");
    assert!(
        metrics.contains(&format!(
            "outrigger_controller_published_generation{{namespace=\"published\"}} {generation}\n"
        )),
        "{metrics}"
    );
    assert!(
        metrics.contains("outrigger_controller_key_states{namespace=\"published\",state=\"active\"} 1\n"),
        "{metrics}"
    );
    for words in [
        controller.log(),
        metrics,
        kubectl(cluster, "get configmaps,modelroutes,providerkeys,events -n published -o yaml"),
    ] {
        assert!(!words.contains("canary") && !words.contains("upstream-words"), "{words}");
    }
}

#[test]
fn a_key_without_bytes_is_told_in_a_condition_and_an_event_and_a_namespace_without_routes_is_cleared() {
    let (cluster, namespace) = (cluster(), "without-bytes");
    let _controller = Controller::start(cluster, &[namespace], "one");
    let provider = Provider::start();
    cluster
        .apply(&manifests(namespace, &provider, "sk-canary").replace("key: a }", "key: b }"))
        .unwrap();
    let view = View { cluster, namespace };
    let seen = || {
        view.condition("providerkey", "local", "ResolvedRefs")
            .filter(|seen| seen == "False SecretKeyNotFound")
    };
    until("the condition", seen);
    until("an Event", || {
        let events = kubectl(cluster, "get events -n without-bytes -o jsonpath={.items[*].reason}");
        (events.contains("SecretKeyNotFound") && events.contains("NoTargets")).then_some(())
    });
    kubectl(cluster, "delete modelroute triage -n without-bytes");
    until("nothing of ours is left", || {
        let left = [
            "configmap/outrigger-snapshot",
            "secret/outrigger-keys",
            "rolebinding/outrigger-sidecar",
        ];
        let mut get = cluster.kubectl();
        let found = run(get.args(["get", "-n", namespace, "--ignore-not-found", "-o", "name"]).args(left)).unwrap();
        found.is_empty().then_some(())
    });
}

#[test]
fn a_foreign_edit_is_mended() {
    let (cluster, namespace) = (cluster(), "mended");
    let provider = Provider::start();
    let _controller = Controller::start(cluster, &[namespace], "one");
    cluster.apply(&manifests(namespace, &provider, "sk-canary")).unwrap();
    let view = View { cluster, namespace };
    let (mut generation, document) = until("it is published", || view.published());
    let surplus = || {
        let map: ConfigMap = view.object("configmap", "outrigger-snapshot")?;
        let secret: k8s_openapi::api::core::v1::Secret = view.object("secret", "outrigger-keys")?;
        Some(map.data?.contains_key("surplus") || secret.data?.contains_key("surplus"))
    };
    let edit = |kind: &str, name: &str, patch: &Value| {
        run(cluster
            .kubectl()
            .args(["patch", kind, name, "-n", namespace, "--type=merge", "-p", &patch.to_string()]))
        .unwrap();
    };
    let foreign = [
        json!({ "data": { "table": "H4sIAAAAAAAA", "surplus": "x" } }),
        json!({ "data": { "generation": u64::MAX.to_string() } }),
        json!({ "data": null }),
    ];
    for patch in foreign {
        edit("configmap", "outrigger-snapshot", &patch);
        let mended = until(&patch.to_string(), || view.published().filter(|(now, _)| *now > generation));
        assert_eq!(mended.1, document, "{patch}");
        generation = mended.0;
    }
    kubectl(cluster, "delete configmap outrigger-snapshot -n mended");
    let mended = until("a new ConfigMap", || view.published().filter(|(now, _)| *now > generation));
    assert_eq!(mended.1, document);
    generation = mended.0;
    // What does not touch the document needs no new one.
    edit("secret", "outrigger-keys", &json!({ "data": { "surplus": "eA==" } }));
    until("the surplus is gone", || surplus().filter(|surplus| !surplus));
    kubectl(cluster, "delete secret outrigger-keys -n mended");
    let anew = until("a new Secret", || view.published().filter(|(now, _)| *now > generation));
    assert_eq!(anew.1, document);
}

#[test]
fn a_changed_secret_rotates_a_refused_one_does_not_and_a_revoked_one_is_gone() {
    let (cluster, namespace) = (cluster(), "rotated");
    let provider = Provider::start();
    let _controller = Controller::start(cluster, &[namespace], "one");
    provider.knows("sk-canary-one");
    provider.knows("sk-canary-two");
    cluster.apply(&manifests(namespace, &provider, "sk-canary-one")).unwrap();
    let view = View { cluster, namespace };
    let [one, two, bad] = ["sk-canary-one", "sk-canary-two", "sk-canary-bad"].map(|key| version(key.as_bytes()));
    let store = |key: &str| {
        let patch = json!({ "stringData": { "a": key } }).to_string();
        run(cluster.kubectl().args(["patch", "secret", "keys", "-n", namespace, "-p", &patch])).unwrap();
    };
    let becomes = |wanted: &[String]| until(&wanted.join(", "), || (view.states() == wanted).then_some(()));
    becomes(&[format!("{one} Active")]);

    store("sk-canary-two");
    becomes(&[format!("{two} Active"), format!("{one} Draining")]);
    assert_eq!(
        view.ring().unwrap().entries.len(),
        2,
        "the old bytes are there for those who are late"
    );

    store("sk-canary-bad");
    until("the refusal", || {
        view.condition("providerkey", "local", "KeyValid")
            .filter(|seen| seen == "False KeyRefused")
    });
    assert_eq!(view.states(), [format!("{two} Active"), format!("{one} Draining")]);
    let key: Value = view.object("providerkey", "local").unwrap();
    let rows: Vec<String> = key["status"]["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["version"].as_str().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [format!("{two} Active"), format!("{one} Draining"), format!("{bad} Refused")]);
    assert!(!key.to_string().contains("upstream-words"));

    let patch = json!({ "spec": { "rotation": { "revokedVersions": [two] } } }).to_string();
    run(cluster
        .kubectl()
        .args(["patch", "providerkey", "local", "-n", namespace, "--type=merge", "-p", &patch]))
    .unwrap();
    until("the revocation", || view.states().contains(&format!("{two} Revoked")).then_some(()));
    until("its bytes are gone", || {
        let entries = view.ring()?.entries;
        entries.values().all(|entry| entry.key.expose() != "sk-canary-two").then_some(())
    });
    assert!(view.states().contains(&format!("{one} Active")), "{:?}", view.states());
}

#[test]
fn one_of_two_replicas_writes_and_the_other_takes_over() {
    let (cluster, namespace) = (cluster(), "replicated");
    let provider = Provider::start();
    let replicas = [
        Controller::start(cluster, &[namespace], "one"),
        Controller::start(cluster, &[namespace], "two"),
    ];
    cluster.apply(&manifests(namespace, &provider, "sk-canary")).unwrap();
    let view = View { cluster, namespace };
    let (generation, _) = until("it is published", || view.published());
    until("both know everything", || {
        replicas
            .iter()
            .all(|each| each.page("/readyz").starts_with("HTTP/1.1 200"))
            .then_some(())
    });
    assert_eq!(replicas.iter().filter(|each| each.leads()).count(), 1);
    let holder = kubectl(
        cluster,
        "get lease replicated -n outrigger-system -o jsonpath={.spec.holderIdentity}",
    );
    let [one, two] = replicas;
    let (leader, other) = if one.leads() { (one, two) } else { (two, one) };
    leader.stop();
    until("the other leads", || other.leads().then_some(()));
    let now = kubectl(
        cluster,
        "get lease replicated -n outrigger-system -o jsonpath={.spec.holderIdentity}",
    );
    assert_ne!(now, holder);
    assert_eq!(view.published().unwrap().0, generation, "taking over changes nothing");
    let patch = json!({ "spec": { "models": ["triage", "other"] } }).to_string();
    run(cluster
        .kubectl()
        .args(["patch", "modelroute", "triage", "-n", namespace, "--type=merge", "-p", &patch]))
    .unwrap();
    until("the edit", || {
        view.published()
            .filter(|(now, document)| *now > generation && document.table.routes[0].models.len() == 2)
    });
}

#[test]
fn an_object_stored_under_a_laxer_definition_harms_no_other_and_says_so() {
    let cluster = Cluster::start(&Options::default()).unwrap();
    let lax = definitions().into_iter().map(|definition| {
        let mut definition: Value = serde_json::from_str(&definition).unwrap();
        let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        *schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        definition.to_string()
    });
    prepare(&cluster, &lax.collect::<Vec<_>>());
    let namespace = "lax";
    let provider = Provider::start();
    cluster.apply(&manifests(namespace, &provider, "sk-canary")).unwrap();
    let bad = |kind: &str, spec: &str| {
        format!("{{ apiVersion: outrigger.dev/v1alpha1, kind: {kind}, metadata: {{ name: bad, namespace: lax }}, spec: {spec} }}\n")
    };
    cluster.apply(&bad("ModelRoute", "{ models: triage, rules: 7 }")).unwrap();
    cluster.apply(&bad("ProviderKey", "{ provider: [openai] }")).unwrap();
    let _controller = Controller::start(&cluster, &[namespace], "one");
    let view = View {
        cluster: &cluster,
        namespace,
    };
    let (_, document) = until("the good one is published", || view.published());
    assert_eq!(
        document.table.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(),
        ["triage"]
    );
    for kind in ["modelroute", "providerkey"] {
        until("the bad one says so", || {
            view.condition(kind, "bad", "Accepted").filter(|seen| seen == "False Unreadable")
        });
    }
    // One that was good stays as it was when it goes bad.
    let patch = json!({ "spec": { "rules": 7 } }).to_string();
    run(cluster
        .kubectl()
        .args(["patch", "modelroute", "triage", "-n", namespace, "--type=merge", "-p", &patch]))
    .unwrap();
    until("it says so", || {
        view.condition("modelroute", "triage", "Accepted")
            .filter(|seen| seen == "False Unreadable")
    });
    assert_eq!(view.published().unwrap().1.table.routes, document.table.routes);
}
