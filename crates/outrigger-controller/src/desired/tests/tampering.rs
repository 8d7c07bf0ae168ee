//! What others may do to the ConfigMap, to objects and to the Secret, and what is published after it.

use super::{KEY, settled, version, world::World};
use outrigger_snapshot::{MAC_ENTRY, MacKey, Sealed, seal};
use serde_json::json;

/// After `tamper` with the ConfigMap, one turn publishes what was there before, under a higher generation.
fn mended(what: &str, tamper: impl FnOnce(&mut World)) {
    let mut world = settled();
    let (before, generation) = (world.document("support"), world.generation("support"));
    tamper(&mut world);
    world.now += 1_000;
    world.settle("support");
    assert_eq!(world.document("support"), before, "{what}");
    let after = world.generation("support");
    assert!(
        after > generation && after < generation + 3_600_000,
        "{what}: {after} after {generation}"
    );
}

#[test]
fn a_foreign_document_is_replaced_whatever_it_claims() {
    let other = MacKey::from_bytes(&[9; 32]).unwrap();
    mended("deleted", |world| {
        world.config_maps.clear();
    });
    mended("truncated", |world| {
        let table = world.config_maps.get_mut("support").unwrap().get_mut("table").unwrap();
        table.truncate(table.len() / 2);
    });
    mended("the highest generation, unsigned", |world| {
        world
            .config_maps
            .get_mut("support")
            .unwrap()
            .insert("generation".to_owned(), u64::MAX.to_string());
    });
    mended("another host, signed with another key", |world| {
        let mut document = world.document("support");
        document.table.providers[0].origin.host = "evil.example".to_owned();
        let sealed = seal(&document, u64::MAX, &other).unwrap();
        world.config_maps.insert("support".to_owned(), sealed.to_data());
    });
}

#[test]
fn an_old_document_is_replaced_and_moves_no_key() {
    let mut world = settled();
    let old = world.config_maps["support"].clone();
    world.now += 1_000;
    world.edit("ModelRoute", "triage", |route| route["spec"]["models"] = json!(["triage", "other"]));
    world.settle("support");
    let (document, secret) = (world.document("support"), world.secrets["support"].1.clone());
    world.config_maps.insert("support".to_owned(), old);
    world.now += 1_000;
    world.settle("support");
    assert_eq!(world.document("support"), document);
    assert_eq!(world.secrets["support"].1, secret, "the journal does not follow the ConfigMap");
}

#[test]
fn a_generation_of_ours_is_exceeded_even_by_a_clock_that_was_set_back() {
    let mut world = settled();
    let generation = world.generation("support");
    world.now -= 3_600_000;
    world.edit("ModelRoute", "triage", |route| route["spec"]["models"] = json!(["other"]));
    world.settle("support");
    assert_eq!(world.generation("support"), generation + 1);
}

#[test]
fn a_lost_secret_is_made_anew_with_another_mac_key() {
    let mut world = settled();
    let before = world.document("support");
    world.secrets.clear();
    let mut inputs = world.inputs("support");
    inputs.fresh_mac = [8; 32];
    let desired = super::super::desired_state(&inputs);
    world.apply("support", &desired);
    assert_eq!(world.mac("support").expose(), &[8; 32]);
    assert_eq!(world.document("support"), before);
}

#[test]
fn entries_that_are_not_what_they_are_named_after_are_not_kept() {
    let mut world = settled();
    world.remove("Secret", "openai-keys");
    let name = outrigger_snapshot::entry_name(KEY, &version("sk-canary-one"));
    let (data, _) = world.secrets.get_mut("support").unwrap();
    let forged = String::from_utf8(data[&name].to_vec())
        .unwrap()
        .replace("sk-canary-one", "sk-canary-bad");
    data.insert(name.clone(), forged.into_bytes().into());
    data.insert("surplus".to_owned(), b"x".to_vec().into());
    world.settle("support");
    let (data, _) = &world.secrets["support"];
    assert_eq!(data.keys().collect::<Vec<_>>(), [MAC_ENTRY]);
}

#[test]
fn a_route_that_cannot_be_read_any_more_goes_on_as_it_was_and_says_so() {
    let breakages: [(&str, serde_json::Value); 2] = [
        ("Unreadable", json!({ "models": "triage" })),
        ("InvalidSpec", json!({ "models": ["gpt-*-4"], "rules": [] })),
    ];
    for (reason, spec) in breakages {
        let mut world = settled();
        world.add(
            "
apiVersion: outrigger.dev/v1alpha1
kind: ModelRoute
metadata: { name: good, namespace: support }
spec:
  models: [good]
  rules: [{ name: all, targets: [{ keyRef: { name: openai } }] }]
",
        );
        world.edit("ModelRoute", "triage", |route| {
            route["spec"]["attempts"] = json!({ "max": 2 });
            route["spec"]["rules"][0]["match"] = json!({ "tasks": ["triage"] });
        });
        world.settle("support");
        let before = world.document("support");
        world.edit("ModelRoute", "triage", |route| route["spec"] = spec.clone());
        world.settle("support");
        assert_eq!(world.document("support"), before, "{reason}");
        assert_eq!(
            world.condition("ModelRoute", "triage", "Accepted"),
            ("False".to_owned(), reason.to_owned())
        );
        assert_eq!(world.condition("ModelRoute", "triage", "Programmed").0, "False");
        assert_eq!(world.condition("ModelRoute", "good", "Programmed").0, "True");
        // What it may use is decided anew: a key that is gone is gone for it too.
        world.remove("ProviderKey", "openai");
        world.settle("support");
        assert!(world.document("support").table.providers.is_empty(), "{reason}");
    }
}

#[test]
fn a_key_that_cannot_be_read_any_more_goes_on_as_it_was_with_what_was_revoked() {
    let mut world = settled();
    let old = version("sk-canary-old");
    world.edit("ProviderKey", "openai", |key| {
        key["spec"]["rotation"] = json!({ "revokedVersions": [old] });
        key["spec"]["endpoint"] = json!({ "headers": { "openai-organization": "org-1" } });
        key["spec"]["pricing"] = json!({ "markupPercent": "7" });
        key["spec"]["passthrough"] = json!({ "paths": ["/files", "/images/*"] });
        key["spec"]["healthCheck"] = json!({ "interval": "1m30s", "timeout": "1500ms", "path": "/health" });
    });
    world.settle("support");
    let before = world.document("support");
    let check = before.table.providers[0].health_check.as_ref().unwrap();
    let ms = (check.interval.as_millis(), check.timeout.as_millis());
    assert_eq!((ms, check.path.as_str()), ((90_000, 1_500), "/health"));
    assert!(
        before
            .table
            .targets
            .iter()
            .any(|target| format!("{target:?}").contains("price: Some")),
        "{before:?}"
    );
    world.edit("ProviderKey", "openai", |key| key["spec"] = json!({ "provider": 7 }));
    world.store("openai-keys", "a", "sk-canary-two");
    world.settle("support");
    assert_eq!(world.document("support"), before);
    assert_eq!(
        world.condition("ProviderKey", "openai", "Accepted"),
        ("False".to_owned(), "Unreadable".to_owned())
    );
    // What is removed is not unreadable.
    world.remove("ProviderKey", "openai");
    world.settle("support");
    assert!(world.document("support").table.providers.is_empty());
}

#[test]
fn a_document_of_a_newer_controller_is_replaced_by_ours() {
    mended("a later schema", |world| {
        let mut sealed = Sealed::from_data(&world.config_maps["support"]).unwrap();
        sealed.schema += 1;
        world.config_maps.insert("support".to_owned(), sealed.to_data());
    });
}
