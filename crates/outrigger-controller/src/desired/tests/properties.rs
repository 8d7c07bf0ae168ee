//! What holds whatever the namespace's objects are.

use super::{
    PLAIN, settled, version,
    world::{START, World, shown},
};
use crate::rotation::Finding;
use outrigger_snapshot::MAX_COMPRESSED;
use proptest::prelude::*;
use serde_json::{Value, json};

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "outrigger.dev/v1alpha1", "kind": kind, "metadata": { "name": name, "namespace": "support" }, "spec": spec })
}

/// A key with one entry, good or bad in one of the ways that there are.
fn key(at: usize, flaw: u8) -> Vec<Value> {
    let provider = if flaw == 1 { "opnai" } else { "openai" };
    let mut spec = json!({ "provider": provider, "keys": [{ "name": "a", "secretRef": { "name": format!("s{at}"), "key": "a" } }] });
    if flaw == 2 {
        spec["endpoint"] = json!({ "baseURL": "https://llm.corp" });
    }
    if flaw == 3 {
        spec["rotation"] = json!({ "revokedVersions": [version(&format!("sk-canary-{at}"))] });
    }
    let mut objects = vec![object("ProviderKey", &format!("k{at}"), &spec)];
    if flaw != 4 {
        let bytes = if flaw == 5 {
            "sk-canary\n".to_owned()
        } else {
            format!("sk-canary-{at}")
        };
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("s{at}"), "namespace": "support" }, "stringData": { "a": bytes } });
        objects.push(secret);
    }
    objects
}

fn route(at: usize, model: u8, keys: &[usize]) -> Value {
    let targets: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "keyRef": { "name": format!("k{key}") }, "model": "gpt-4o" }))
        .collect();
    object(
        "ModelRoute",
        &format!("r{at}"),
        &json!({ "models": [format!("m{model}")], "rules": [{ "name": "all", "targets": targets }] }),
    )
}

fn objects() -> impl Strategy<Value = Vec<Value>> {
    let keys = proptest::collection::vec(prop_oneof![3 => Just(0_u8), 2 => 1..6_u8], 1..5);
    let routes = proptest::collection::vec((0..4_u8, proptest::collection::vec(0..5_usize, 0..4)), 0..5);
    (keys, routes).prop_map(|(keys, routes)| {
        let mut objects: Vec<Value> = keys.iter().enumerate().flat_map(|(at, flaw)| key(at, *flaw)).collect();
        objects.extend(routes.iter().enumerate().map(|(at, (model, keys))| route(at, *model, keys)));
        objects
    })
}

fn world(objects: &[Value]) -> World {
    let mut world =
        World::new("{ apiVersion: v1, kind: Namespace, metadata: { name: support, labels: { outrigger.dev/inject: \"true\" } } }");
    for object in objects {
        world.add(&object.to_string());
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_has_settled_stays_whenever_it_is_looked_at(objects in objects(), later in 0..3_600_000_u64) {
        let mut world = world(&objects);
        world.settle("support");
        let (maps, secrets, told) = (world.config_maps.clone(), world.secrets.clone(), world.objects.clone());
        world.now += later;
        let again = world.desired("support");
        prop_assert!(!again.moves_keys);
        prop_assert!(again.reports.iter().all(|report| report.status.is_none() && report.told.is_empty()));
        world.apply("support", &again);
        prop_assert_eq!(world.config_maps, maps);
        prop_assert!(world.secrets == secrets);
        prop_assert_eq!(world.objects, told);
    }

    #[test]
    fn the_order_of_the_objects_means_nothing(objects in objects(), seed in any::<u64>()) {
        let world = world(&objects);
        let mut shuffled = world.clone();
        let mut rng = seed;
        for at in (1..shuffled.objects.len()).rev() {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.objects.swap(at, usize::try_from(rng >> 33).unwrap() % (at + 1));
        }
        let (one, other) = (world.desired("support"), shuffled.desired("support"));
        prop_assert_eq!(shown(&one, "support"), shown(&other, "support"));
        let (one, other) = (one.publication.unwrap(), other.publication.unwrap());
        prop_assert_eq!(one.config_map, other.config_map);
        prop_assert!(one.secret == other.secret);
    }

    #[test]
    fn a_key_s_bytes_are_in_nothing_but_the_secret_s_data(objects in objects()) {
        let desired = world(&objects).desired("support");
        let publication = desired.publication.as_ref().unwrap();
        let document = shown(&desired, "support");
        let everything = format!("{document}{:?}{}{:?}", publication.config_map, publication.journal, desired.reports);
        prop_assert!(!everything.contains("canary"), "{everything}");
    }
}

/// Text that does not compress.
fn noise(seed: &mut u64, length: usize) -> String {
    let next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((*seed >> 40) % 26).unwrap())
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn more_routes_than_fit_leave_the_youngest_behind_and_a_revocation_still_goes_out() {
    let mut world = settled();
    let mut seed = 1;
    for at in 0..400 {
        let models: Vec<String> = (0..32).map(|_| noise(&mut seed, 120)).collect();
        let targets = json!([{ "keyRef": { "name": "openai" }, "model": "gpt-4o" }]);
        let spec = json!({ "models": models, "rules": [{ "name": "all", "targets": targets }] });
        world.add(&object("ModelRoute", &format!("r{at:03}"), &spec).to_string());
    }
    let one = version("sk-canary-one");
    world.edit("ProviderKey", "openai", |key| {
        key["spec"]["rotation"] = json!({ "revokedVersions": [one] });
    });
    let desired = world.settle("support");
    let publication = desired.publication.unwrap();
    assert!(publication.bytes <= MAX_COMPRESSED);
    let size: usize = publication.config_map.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size < 1 << 20, "{size}");
    let document = world.document("support");
    let routes = document.table.routes.len();
    assert!((100..400).contains(&routes), "{routes}");
    assert!(publication.bytes > MAX_COMPRESSED * 9 / 10, "as many as fit: {}", publication.bytes);
    assert_eq!(world.states("support", super::KEY), [(one, "Revoked".to_owned())]);
    // triage is the oldest; of the others the last ones are left out.
    assert!(
        document
            .table
            .routes
            .iter()
            .all(|route| route.name == "triage" || route.name < format!("r{:03}", routes - 1))
    );
    assert_eq!(world.condition("ModelRoute", "r000", "Programmed").0, "True");
    assert_eq!(
        world.condition("ModelRoute", "r399", "Programmed"),
        ("False".to_owned(), "TooLarge".to_owned())
    );
    let generation = world.generation("support");
    world.now += 1_000;
    world.settle("support");
    assert_eq!(world.generation("support"), generation, "what does not fit makes no new generation");
}

#[test]
fn more_keys_than_fit_leave_the_youngest_provider_keys_behind() {
    let mut world = settled();
    for at in 0..3 {
        let entries: Vec<Value> = (0..60)
            .map(|n| json!({ "name": format!("e{n}"), "secretRef": { "name": format!("big{at}"), "key": format!("e{n}") } }))
            .collect();
        world.add(
            &object(
                "ProviderKey",
                &format!("big{at}"),
                &json!({ "provider": "openai", "keys": entries }),
            )
            .to_string(),
        );
        let bytes: serde_json::Map<String, Value> = (0..60)
            .map(|n| (format!("e{n}"), format!("{at:04}{n:04}{}", "k".repeat(8_000)).into()))
            .collect();
        world.add(&json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("big{at}"), "namespace": "support" }, "stringData": bytes }).to_string());
        world.add(&object("ModelRoute", &format!("big{at}"), &json!({ "models": [format!("big{at}")], "rules": [{ "name": "all", "targets": [{ "keyRef": { "name": format!("big{at}") }, "model": "gpt-4o" }] }] })).to_string());
    }
    world.settle("support");
    let size: usize = world.secrets["support"].0.values().map(|bytes| bytes.len()).sum();
    assert!(size < 1 << 20, "{size}");
    assert_eq!(world.condition("ProviderKey", "openai", "Programmed").0, "True");
    assert_eq!(
        world.condition("ProviderKey", "big2", "Programmed"),
        ("False".to_owned(), "TooLarge".to_owned())
    );
    let secrets = world.secrets.clone();
    world.settle("support");
    assert!(world.secrets == secrets);
}

#[test]
fn an_edit_of_one_route_writes_the_status_of_no_other() {
    let mut world = World::new(PLAIN);
    world.add(
        &route(7, 7, &[])
            .to_string()
            .replace("\"targets\":[]", "\"targets\":[{\"keyRef\":{\"name\":\"openai\"}}]"),
    );
    world.settle("support");
    world.says(&world.desired("support").requests[0].question.clone(), Finding::Accepted);
    world.settle("support");
    world.now = START + 60_000;
    world.edit("ModelRoute", "r7", |route| route["spec"]["models"] = json!(["changed"]));
    let desired = world.desired("support");
    let written: Vec<&str> = desired
        .reports
        .iter()
        .filter(|report| report.status.is_some())
        .map(|report| report.name.as_str())
        .collect();
    assert_eq!(written, ["r7"]);
}
