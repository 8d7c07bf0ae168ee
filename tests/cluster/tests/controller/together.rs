//! Controller and sidecars together, over a real API server: what is applied is what the applications' calls do.

use crate::{
    fleet::{Fleet, answered, call, keys_seen},
    rig::{Controller, cluster, definitions, kubectl, prepare, until},
};
use k8s_openapi::api::core::v1::ConfigMap;
use outrigger_cluster::{Cluster, Options, run, run_with_input};
use outrigger_core::{Auth, Origin, Scheme, Table};
use outrigger_snapshot::{Document, KeyState, MacKey, seal, version};
use outrigger_tests::{KEY, Sidecar, behave, provider, provider_with, route};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

/// Replaces the bytes of the key of `provider`.
fn store(fleet: &Fleet<'_>, provider: &str, bytes: &str) {
    fleet.patch("secret", &format!("{provider}-keys"), &json!({ "stringData": { "main": bytes } }));
}

fn revoke(fleet: &Fleet<'_>, provider: &str, bytes: &str) {
    let versions = [version(bytes.as_bytes())];
    fleet.patch(
        "providerkey",
        provider,
        &json!({ "spec": { "rotation": { "revokedVersions": versions } } }),
    );
}

/// The state of a version of a key, as it is published.
fn state(fleet: &Fleet<'_>, bytes: &str) -> Option<KeyState> {
    let (_, document) = fleet.view().published()?;
    let wanted = version(bytes.as_bytes());
    document.keys.iter().find(|key| key.version == wanted).map(|key| key.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_is_in_force_in_every_sidecar_by_its_watch() {
    let fleet = Fleet::start(cluster(), "in-force", 3, |mock| {
        vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a"]), route("other", &["b"])]
    })
    .await;
    fleet.served_by("m", "a").await;
    // Their mounts stay as they are: this comes by the watch alone.
    fleet.apply(&[route("m", &["b"]), route("new", &["a"])]);
    fleet.served_by("m", "b").await;
    fleet.served_by("new", "a").await;
    for sidecar in &fleet.sidecars {
        sidecar.until("outrigger_snapshot_source{source=\"watch\"} 1").await;
    }
    // A key whose bytes have not come gates its own target and nothing else.
    fleet.apply(&[provider(&fleet.mock, "late"), route("fourth", &["late", "a"]), route("m", &["a"])]);
    fleet.served_by("fourth", "a").await;
    fleet.served_by("m", "a").await;
    assert!(fleet.mock.calls("late").iter().all(|call| !call.path.contains("chat")));
    fleet.sync();
    fleet.served_by("fourth", "late").await;
    for name in ["a", "b", "late"] {
        assert!(keys_seen(&fleet.mock, name).iter().all(|key| key == KEY), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_fails_no_call_and_the_old_key_is_never_published_again() {
    let fleet = Fleet::start(cluster(), "rotation-together", 2, |mock| {
        behave(mock, "a", json!({ "keys": [KEY, "sk-second"] }));
        vec![provider(mock, "a"), route("m", &["a"])]
    })
    .await;
    fleet.served_by("m", "a").await;
    let mut active = Vec::new();
    let mut step = 0;
    store(&fleet, "a", "sk-second");
    loop {
        for sidecar in &fleet.sidecars {
            let answer = call(sidecar, "m").await;
            assert_eq!(answer.status, 200, "{}\n{}", answer.text(), sidecar.log());
        }
        active.push(state(&fleet, "sk-second") == Some(KeyState::Active));
        if active.last() == Some(&true) {
            match step {
                // Published, and not in a single pod yet; then in one of two; then the provider forgets the old one.
                1 => fleet.mount(&fleet.sidecars[0]),
                2 => fleet.mount(&fleet.sidecars[1]),
                3 => {
                    for sidecar in &fleet.sidecars {
                        sidecar.read(4).await;
                    }
                    behave(&fleet.mock, "a", json!({ "keys": ["sk-second"] }));
                }
                0 | 4..8 => {}
                _ => break,
            }
            step += 1;
        }
    }
    assert!(active.is_sorted(), "once it serves, it stays: {active:?}");
    assert_eq!(keys_seen(&fleet.mock, "a").last().map(String::as_str), Some("sk-second"));
    assert_eq!(state(&fleet, KEY), Some(KeyState::Draining));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_and_unrelated_edits_arrive_although_another_keys_bytes_never_do() {
    let fleet = Fleet::start(cluster(), "revoked-together", 2, |mock| {
        vec![
            provider(mock, "a"),
            provider(mock, "b"),
            route("m", &["a", "b"]),
            route("other", &["b"]),
        ]
    })
    .await;
    fleet.served_by("m", "a").await;
    fleet.apply(&[provider(&fleet.mock, "never"), route("fourth", &["never", "b"])]);
    fleet.served_by("fourth", "b").await;
    revoke(&fleet, "a", KEY);
    fleet.served_by("m", "b").await;
    let before = keys_seen(&fleet.mock, "a").len();
    fleet.apply(&[route("other", &["never", "a", "b"]), route("third", &["b"])]);
    fleet.served_by("third", "b").await;
    fleet.served_by("other", "b").await;
    fleet.served_by("m", "b").await;
    assert_eq!(keys_seen(&fleet.mock, "a").len(), before, "the revoked key is not used again");
    assert!(keys_seen(&fleet.mock, "never").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_controller_and_api_server_sidecars_serve_and_come_up_and_then_go_on_with_new_credentials() {
    let mut cluster = Cluster::start(&Options::default()).unwrap();
    prepare(&cluster, &definitions());
    let (mock, sidecar, other) = {
        let mut fleet = Fleet::start(&cluster, "alone", 2, |mock| {
            vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a"]), route("other", &["b"])]
        })
        .await;
        fleet.served_by("m", "a").await;
        // A token that is good for as long as a Secret of ours is there.
        kubectl(&cluster, "create secret generic bound -n alone");
        let bound = "create token default -n alone --bound-object-kind Secret --bound-object-name bound";
        let token = kubectl(&cluster, bound);
        fleet.sidecars[0].credentials(&cluster.ca_pem().unwrap(), token.trim());
        fleet.controller.take().unwrap().stop();
        let other = fleet.sidecars.pop().unwrap();
        (fleet.mock, fleet.sidecars.pop().unwrap(), other)
    };
    cluster.stop_api().unwrap();
    let sidecar = sidecar.start().await;
    for _ in 0..3 {
        for sidecar in [&sidecar, &other] {
            let answer = call(sidecar, "m").await;
            assert_eq!(
                (answer.status, answer.header("x-outrigger-provider")),
                (200, "a"),
                "{}",
                sidecar.log()
            );
        }
    }

    // One sidecar's token is dead by now, the other one trusts a stranger; both are mended where they lie.
    cluster.start_api().unwrap();
    kubectl(&cluster, "delete secret bound -n alone");
    let (ca, token) = (cluster.ca_pem().unwrap(), cluster.token_of("alone", "default").unwrap());
    let stranger = outrigger_tests::ApiServer::start().await.ca_pem.clone();
    other.credentials(&stranger, &token);
    cluster.stop_api().unwrap();
    cluster.start_api().unwrap();
    let controller = Controller::start(&cluster, &["alone"], "two");
    until("both are turned away", || {
        let turned_away = |sidecar: &Sidecar, why: &str| sidecar.log().contains(why);
        (turned_away(&sidecar, "401") && turned_away(&other, "certificate")).then_some(())
    });
    for sidecar in [&sidecar, &other] {
        assert_eq!(call(sidecar, "m").await.status, 200);
        sidecar.credentials(&ca, &token);
    }
    let mut apply = cluster.kubectl();
    run_with_input(apply.args(["apply", "-n", "alone", "-f", "-"]), &route("m", &["b"])).unwrap();
    answered(&sidecar, "m", "b").await;
    answered(&other, "m", "b").await;
    drop((controller, mock));
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_uninstall_leaves_no_copied_key_in_any_namespace() {
    let cluster = Cluster::start(&Options::default()).unwrap();
    let helm = |line: &[&str]| run(cluster.helm().args(line)).unwrap();
    let chart = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../charts")
            .join(name)
            .display()
            .to_string()
    };
    helm(&["install", "outrigger-crds", &chart("outrigger-crds")]);
    let home = ["--namespace", "outrigger-system", "--create-namespace"];
    helm(&[&["install", "outrigger", &chart("outrigger")][..], &home].concat());
    cluster.apply(include_str!("../../fixtures/leases-of-tests.yaml")).unwrap();
    let one = Fleet::start(&cluster, "first", 0, |mock| vec![provider(mock, "a"), route("m", &["a"])]).await;
    let _two = Fleet::start(&cluster, "second", 0, |mock| vec![provider(mock, "a"), route("m", &["a"])]).await;
    assert!(one.view().ring().unwrap().entries.values().any(|entry| entry.key.expose() == KEY));
    // The controllers are still there: what they might write in their last moments goes the same way.
    helm(&["uninstall", "outrigger", "--namespace", "outrigger-system"]);
    until("nothing of ours is left", || {
        let left = kubectl(&cluster, "get secrets,configmaps,rolebindings -A -o name");
        let ours = ["secret/outrigger-keys", "configmap/outrigger-snapshot", "/outrigger-sidecar"];
        (!ours.iter().any(|ours| left.contains(ours))).then_some(())
    });
    let kept = kubectl(&cluster, "get modelroutes,providerkeys,secrets -A -o name");
    for theirs in ["modelroute.outrigger.dev/m", "providerkey.outrigger.dev/a", "secret/a-keys"] {
        assert_eq!(kept.matches(theirs).count(), 2, "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_key_is_in_the_audit_log_an_object_an_event_a_log_a_metric_or_a_page() {
    let keys = ["sk-canary-first-7f3a", "sk-canary-second-7f3b", "sk-canary-refused-7f3c"];
    let fleet = Fleet::start(cluster(), "canary-together", 1, |mock| {
        // It tells in its refusal what it was shown.
        let echo = json!({ "message": format!("Incorrect API key provided: {}", keys[2]) });
        behave(mock, "a", json!({ "keys": keys[..2], "error": echo }));
        vec![provider(mock, "a").replace(KEY, keys[0]), route("m", &["a"])]
    })
    .await;
    fleet.served_by("m", "a").await;
    store(&fleet, "a", keys[1]);
    until("the second serves", || {
        (state(&fleet, keys[1]) == Some(KeyState::Active)).then_some(())
    });
    fleet.sync();
    fleet.sidecars[0].read(4).await;
    fleet.served_by("m", "a").await;
    store(&fleet, "a", keys[2]);
    until("the refusal", || {
        fleet
            .view()
            .condition("providerkey", "a", "KeyValid")
            .filter(|seen| seen == "False KeyRefused")
    });
    revoke(&fleet, "a", keys[0]);
    until("the revocation", || {
        (state(&fleet, keys[0]) == Some(KeyState::Revoked)).then_some(())
    });
    fleet.served_by("m", "a").await;

    let encoded = |key: &str| run_with_input(std::process::Command::new("base64").arg("-w0"), key).unwrap();
    let found = |text: &str| {
        keys.iter()
            .any(|key| text.contains(key) || text.contains(encoded(key).trim_end_matches('=')))
    };
    let secrets = kubectl(fleet.cluster, "get secrets -n canary-together -o yaml");
    assert!(found(&secrets), "what is looked for is found where it belongs");

    let (controller, sidecar) = (fleet.controller.as_ref().unwrap(), &fleet.sidecars[0]);
    let mut places = vec![
        ("the audit log", std::fs::read_to_string(fleet.cluster.audit_log()).unwrap()),
        (
            "the objects",
            kubectl(
                fleet.cluster,
                "get configmaps,events,modelroutes,providerkeys,leases,rolebindings -A -o yaml",
            ),
        ),
        ("the document", format!("{:?}", fleet.view().published().unwrap().1)),
        ("the controller's log", controller.log()),
        ("the controller's metrics", controller.page("/metrics")),
        ("the sidecar's log", sidecar.log()),
    ];
    for page in ["/metrics", "/config", "/targets", "/requests"] {
        places.push((page, sidecar.page(page).await.text()));
    }
    for (place, text) in places {
        assert!(text.len() > 100, "{place} is not empty: {text}");
        assert!(!found(&text), "a key is in {place}");
    }
}

type Forgery = Box<dyn Fn(&mut Table)>;

/// What an attacker who may edit ConfigMaps would like the table to be.
fn forgeries(attacker: u16) -> Vec<(&'static str, Forgery)> {
    let elsewhere = move |scheme| Origin {
        scheme,
        host: "127.0.0.1".to_owned(),
        port: attacker,
    };
    vec![
        (
            "host",
            Box::new(|table| "localhost".clone_into(&mut table.providers[0].origin.host)),
        ),
        ("port", Box::new(move |table| table.providers[0].origin.port = attacker)),
        (
            "scheme",
            Box::new(move |table| table.providers[0].origin = elsewhere(Scheme::Https)),
        ),
        (
            "CA",
            Box::new(|table| table.providers[0].ca_pem = Some("-----BEGIN CERTIFICATE-----".to_owned())),
        ),
        (
            "keyless target",
            Box::new(move |table| {
                table.providers[0].auth = Auth::None;
                table.providers[0].ring = vec![];
                table.providers[0].origin = elsewhere(Scheme::Http);
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_edit_config_maps_redirects_no_prompt_and_no_key_and_it_is_mended() {
    let fleet = Fleet::start(cluster(), "tampered", 2, |mock| {
        vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a", "b"])]
    })
    .await;
    fleet.served_by("m", "a").await;
    let attacker = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    attacker.set_nonblocking(true).unwrap();
    let port = attacker.local_addr().unwrap().port();
    let view = fleet.view();
    let put = |data: &BTreeMap<String, String>| fleet.patch("configmap", "outrigger-snapshot", &json!({ "data": data }));
    let original = || view.object::<ConfigMap>("configmap", "outrigger-snapshot").unwrap().data.unwrap();
    let old = original();
    let (mut generation, document) = view.published().unwrap();

    for (what, forge) in forgeries(port) {
        let mut forged: Document = document.clone();
        forge(&mut forged.table);
        // With a key of the attacker's own, and with the MAC of the real one.
        let theirs = seal(&forged, u64::MAX, &MacKey::from_bytes(&[9; 32]).unwrap()).unwrap().to_data();
        let mut patched = theirs.clone();
        patched.insert("mac".to_owned(), original()["mac"].clone());
        for data in [theirs, patched] {
            put(&data);
            let mended = until(what, || view.published().filter(|(now, _)| *now > generation));
            assert_eq!(mended.1, document, "{what}");
            generation = mended.0;
            for sidecar in &fleet.sidecars {
                sidecar.generation(generation).await;
                assert_eq!(call(sidecar, "m").await.header("x-outrigger-provider"), "a", "{what}");
            }
        }
    }
    kubectl(fleet.cluster, "delete configmap outrigger-snapshot -n tampered");
    generation = until("a new one", || view.published().filter(|(now, _)| *now > generation)).0;
    fleet.served_by("m", "a").await;

    // An old document is authentic, and in force until the controller's next write; what is revoked stays so.
    revoke(&fleet, "a", KEY);
    until("the revocation", || (state(&fleet, KEY) == Some(KeyState::Revoked)).then_some(()));
    fleet.served_by("m", "b").await;
    let before = keys_seen(&fleet.mock, "a").len();
    put(&old);
    generation = until("it is mended", || view.published().filter(|(now, _)| *now > generation)).0;
    for sidecar in &fleet.sidecars {
        assert_eq!(call(sidecar, "m").await.status, 200);
        sidecar
            .generation(until("the last", || {
                view.published().map(|(now, _)| now).filter(|now| *now >= generation)
            }))
            .await;
        assert_eq!(call(sidecar, "m").await.header("x-outrigger-provider"), "b");
    }
    assert_eq!(keys_seen(&fleet.mock, "a").len(), before, "no revoked version is used");
    assert!(attacker.accept().is_err(), "nobody came to the attacker");
}

/// A route that no compression makes small.
fn incompressible(name: &str, seed: &mut u64) -> String {
    let mut word = |length: usize| -> String {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let draw = |_| {
            *seed ^= *seed << 13;
            *seed ^= *seed >> 7;
            *seed ^= *seed << 17;
            char::from(letters[usize::try_from(*seed % 64).unwrap()])
        };
        (0..length).map(draw).collect()
    };
    let rules: Vec<Value> = (0..16)
        .map(|rule| {
            let headers: Vec<Value> = (0..16)
                .map(|header| json!({ "name": format!("x-{header}"), "value": word(256) }))
                .collect();
            let metadata: serde_json::Map<String, Value> = (0..16).map(|name| (format!("m{name}"), word(256).into())).collect();
            let targets = json!([{ "keyRef": { "name": "a" }, "model": "m" }]);
            json!({ "name": format!("r{rule}"), "match": { "headers": headers, "metadata": metadata }, "targets": targets })
        })
        .collect();
    json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "ModelRoute", "metadata": { "name": name },
        "spec": { "models": [name], "rules": rules },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_cap_the_youngest_routes_wait_and_a_revocation_arrives_all_the_same() {
    let fleet = Fleet::start(cluster(), "too-large", 1, |mock| {
        vec![provider(mock, "a"), provider(mock, "b"), route("m", &["a", "b"])]
    })
    .await;
    fleet.served_by("m", "a").await;
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut server_side = fleet.cluster.kubectl();
    server_side.args(["apply", "-n", "too-large", "--server-side", "-f", "-"]);
    let routes: Vec<String> = (0..9).map(|number| incompressible(&format!("big{number}"), &mut seed)).collect();
    run_with_input(&mut server_side, &routes.join("\n---\n")).unwrap();
    let left_out = || -> Vec<bool> {
        let programmed = |number: usize| {
            fleet
                .view()
                .condition("modelroute", &format!("big{number}"), "Programmed")
                .unwrap_or_default()
        };
        (0..9).map(|number| programmed(number) == "False TooLarge").collect()
    };
    until("the youngest are left out", || left_out()[8].then_some(()));
    assert!(left_out().is_sorted() && !left_out()[0], "the oldest stay: {:?}", left_out());
    revoke(&fleet, "a", KEY);
    fleet.served_by("m", "b").await;
    fleet.apply(&[provider_with(&fleet.mock, "b", "  passthrough: { paths: [\"/files\"] }")]);
    fleet.served_by("m", "b").await;
    assert_eq!(
        fleet.view().condition("modelroute", "m", "Programmed").as_deref(),
        Some("True Programmed")
    );
}
