//! Rotation as the namespace's objects show it, with a clock that moves by hand.

use super::{
    KEY, PLAIN, settled, version,
    world::{MINUTE, START, World},
};
use crate::rotation::{Finding, PATIENCE_MS};
use outrigger_snapshot::{KeyEntry, entry_name};

fn pair(version: String, state: &str) -> (String, String) {
    (version, state.to_owned())
}

fn holds(world: &World, bytes: &str) -> bool {
    world.secrets["support"].0.contains_key(&entry_name(KEY, &version(bytes)))
}

#[test]
fn the_first_key_is_published_at_once_and_then_asked_about() {
    let mut world = World::new(PLAIN);
    let desired = world.desired("support");
    assert_eq!(desired.requests.len(), 1);
    world.apply("support", &desired);
    assert_eq!(world.states("support", KEY), [pair(version("sk-canary-one"), "Active")]);
    assert_eq!(
        world.condition("ProviderKey", "openai", "KeyValid"),
        ("Unknown".to_owned(), "Validating".to_owned())
    );
    world.says(&desired.requests[0].question, Finding::Accepted);
    world.settle("support");
    assert_eq!(
        world.condition("ProviderKey", "openai", "KeyValid"),
        ("True".to_owned(), "KeyAccepted".to_owned())
    );
}

#[test]
fn a_rotation_keeps_bytes_of_both_versions_until_the_overlap_is_over() {
    let mut world = settled();
    let (one, two) = (version("sk-canary-one"), version("sk-canary-two"));
    world.now += MINUTE;
    world.store("openai-keys", "a", "sk-canary-two");

    let validating = world.settle("support");
    assert_eq!(world.states("support", KEY), [pair(one.clone(), "Active")]);
    assert!(!holds(&world, "sk-canary-two"), "not before the provider knows it");
    let question = &validating.requests[0].question;
    assert_eq!(question.version, two);

    world.says(question, Finding::Accepted);
    let next = world.desired("support");
    world.apply("support", &next);
    assert_eq!(
        world.states("support", KEY),
        [pair(one.clone(), "Active"), pair(two.clone(), "Next")]
    );
    assert_eq!(next.again, Some(0));
    assert!(holds(&world, "sk-canary-one") && holds(&world, "sk-canary-two"));

    let active = world.settle("support");
    assert_eq!(
        world.states("support", KEY),
        [pair(two.clone(), "Active"), pair(one.clone(), "Draining")]
    );
    assert_eq!(active.again, Some(world.now + 10 * MINUTE));

    world.now += 10 * MINUTE - 1;
    world.settle("support");
    assert!(holds(&world, "sk-canary-one"));
    world.now += 1;
    world.settle("support");
    assert_eq!(world.states("support", KEY), [pair(two, "Active")]);
    assert!(!holds(&world, "sk-canary-one"));
}

#[test]
fn a_refused_key_leaves_the_old_one_in_use_and_says_so_once() {
    let mut world = settled();
    world.store("openai-keys", "a", "sk-canary-two");
    let question = world.settle("support").requests[0].question.clone();
    world.says(&question, Finding::Refused);
    let told = world
        .settle("support")
        .reports
        .into_iter()
        .find(|report| report.kind == "ProviderKey")
        .unwrap();
    assert_eq!(
        told.told.iter().map(|told| told.reason.as_str()).collect::<Vec<_>>(),
        ["KeyRefused"]
    );
    assert_eq!(
        world.condition("ProviderKey", "openai", "KeyValid"),
        ("False".to_owned(), "KeyRefused".to_owned())
    );
    assert_eq!(world.states("support", KEY), [pair(version("sk-canary-one"), "Active")]);
    assert!(!holds(&world, "sk-canary-two"));
    let again = world.desired("support");
    assert!(again.reports.iter().all(|report| report.told.is_empty() && report.status.is_none()));
}

#[test]
fn a_provider_out_of_reach_delays_a_rotation_by_two_minutes() {
    let mut world = settled();
    world.store("openai-keys", "a", "sk-canary-two");
    let question = world.settle("support").requests[0].question.clone();
    world.says(&question, Finding::Unreachable { since: world.now });
    let waits = world.settle("support");
    assert_eq!(waits.again, Some(world.now + PATIENCE_MS));
    world.now += PATIENCE_MS;
    world.settle("support");
    assert_eq!(world.states("support", KEY)[0], pair(version("sk-canary-two"), "Active"));
    assert_eq!(
        world.condition("ProviderKey", "openai", "KeyValid"),
        ("Unknown".to_owned(), "ProviderUnreachable".to_owned())
    );
}

#[test]
fn a_secret_that_is_gone_or_broken_leaves_its_last_bytes_in_use() {
    for (what, reason) in [
        ("gone", "SecretNotFound"),
        ("empty", "InvalidKey"),
        ("line break", "InvalidKey"),
        ("no entry", "SecretKeyNotFound"),
    ] {
        let mut world = settled();
        match what {
            "gone" => world.remove("Secret", "openai-keys"),
            "empty" => world.store("openai-keys", "a", "  "),
            "line break" => world.store("openai-keys", "a", "sk-canary\n"),
            _ => {
                world.find("Secret", "openai-keys")["data"].as_object_mut().unwrap().clear();
            }
        }
        let (before, generation) = (world.document("support"), world.generation("support"));
        world.settle("support");
        assert_eq!(world.document("support"), before, "{what}");
        assert_eq!(world.generation("support"), generation, "{what}");
        assert!(holds(&world, "sk-canary-one"), "{what}");
        assert_eq!(
            world.condition("ProviderKey", "openai", "ResolvedRefs"),
            ("False".to_owned(), reason.to_owned()),
            "{what}"
        );
        assert_eq!(world.condition("ModelRoute", "triage", "Programmed").0, "True", "{what}");
    }
}

#[test]
fn kept_bytes_stay_bound_to_the_place_that_they_were_for() {
    // Whoever may edit the ProviderKey, and not the Secret, waits for it to be missing and points the key at a host of theirs.
    let mut world = settled();
    world.remove("Secret", "openai-keys");
    world.edit("ProviderKey", "openai", |key| {
        key["spec"]["endpoint"] = serde_json::json!({ "baseURL": "https://evil.example/v1" });
    });
    world.settle("support");
    let (data, _) = &world.secrets["support"];
    for entry in data.values().filter_map(|bytes| KeyEntry::from_bytes(bytes)) {
        assert_eq!(entry.origin.host, "api.openai.com");
    }
}

#[test]
fn an_owner_who_takes_the_consent_back_takes_the_bytes_back() {
    let mut world = World::new(PLAIN);
    world.edit("ProviderKey", "openai", |key| {
        key["spec"]["endpoint"] = serde_json::json!({ "baseURL": "https://llm.corp/v1" });
    });
    world.find("Secret", "openai-keys")["metadata"]["annotations"] = serde_json::json!({ "outrigger.dev/origins": "https://llm.corp" });
    world.settle("support");
    assert!(holds(&world, "sk-canary-one"));
    world.find("Secret", "openai-keys")["metadata"]["annotations"] = serde_json::json!({});
    world.settle("support");
    assert!(!holds(&world, "sk-canary-one"));
}

#[test]
fn a_revoked_version_is_gone_at_once_while_another_is_being_validated() {
    let mut world = settled();
    let (one, two) = (version("sk-canary-one"), version("sk-canary-two"));
    world.store("openai-keys", "a", "sk-canary-two");
    world.settle("support");
    world.edit("ProviderKey", "openai", |key| {
        key["spec"]["rotation"] = serde_json::json!({ "revokedVersions": [one] });
    });
    world.settle("support");
    assert!(!holds(&world, "sk-canary-one"));
    assert_eq!(world.states("support", KEY), [pair(two, "Active"), pair(one, "Revoked")]);
}

#[test]
fn a_revoked_version_is_not_published_though_its_source_still_has_it() {
    let mut world = settled();
    let one = version("sk-canary-one");
    world.edit("ProviderKey", "openai", |key| {
        key["spec"]["rotation"] = serde_json::json!({ "revokedVersions": [one] });
    });
    for _ in 0..3 {
        world.now += MINUTE;
        world.settle("support");
        assert_eq!(world.states("support", KEY), [pair(one.clone(), "Revoked")]);
        assert!(!holds(&world, "sk-canary-one"));
    }
}

#[test]
fn a_status_has_a_row_for_each_version_with_the_time_of_its_state() {
    let mut world = settled();
    world.now += MINUTE;
    world.store("openai-keys", "a", "sk-canary-two");
    let question = world.settle("support").requests[0].question.clone();
    world.says(&question, Finding::Accepted);
    world.now += MINUTE;
    world.settle("support");
    world.now += MINUTE;
    world.settle("support");
    let rows = world.find("ProviderKey", "openai")["status"]["keys"].clone();
    let rows: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["version"], row["state"], row["since"]))
        .collect();
    let (one, two) = (version("sk-canary-one"), version("sk-canary-two"));
    assert_eq!(
        rows,
        [
            format!("\"{two}\" \"Active\" \"2026-01-01T00:02:00Z\""),
            format!("\"{one}\" \"Draining\" \"2026-01-01T00:02:00Z\"")
        ]
    );
    assert_eq!(START, 1_767_225_600_000);
}

#[test]
fn a_key_that_only_others_use_says_how_far_it_is_there() {
    let mut world = settled();
    world.edit("ProviderKey", "openai", |key| {
        key["spec"]["allowedNamespaces"] = serde_json::json!({ "from": "All" });
    });
    world.edit("ModelRoute", "triage", |route| {
        route["metadata"]["namespace"] = "elsewhere".into();
        route["spec"]["rules"][0]["targets"][0]["keyRef"]["namespace"] = "support".into();
    });
    world.add("{ apiVersion: v1, kind: Namespace, metadata: { name: elsewhere } }");
    world.settle("elsewhere");
    world.settle("support");
    assert!(!world.config_maps.contains_key("support"), "nothing is routed there any more");
    assert_eq!(world.states("elsewhere", KEY), [pair(version("sk-canary-one"), "Active")]);
    assert_eq!(world.condition("ProviderKey", "openai", "Programmed").0, "True");
    let row = &world.find("ProviderKey", "openai")["status"]["keys"][0];
    assert_eq!(row["state"], "Active");
}
