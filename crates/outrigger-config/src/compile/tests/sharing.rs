//! Who gets whose routes, with whose keys.

use super::*;
use crate::{
    objects::NamespaceObject,
    v1alpha1::{ModelRoute, ProviderKey},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SHARED: &str = include_str!("../../../fixtures/bad/shared.yaml");

/// The routes of `namespace` in order of precedence, with the models that each serves and the labels of its targets.
fn routes_of(namespace: &str) -> Vec<String> {
    let loaded = load_texts([("f.yaml", SHARED)]);
    let table = compile_for(&loaded.objects, namespace, Mode::Cluster).table;
    let label = |target: usize| table.targets[target].label.as_str();
    let routes = table.routes.iter().map(|route| {
        let models: Vec<&str> = route.models.iter().map(|model| model.name.as_str()).collect();
        let targets: Vec<&str> = route.rules[0].candidates.iter().map(|candidate| label(candidate.target)).collect();
        format!("{}/{} {} -> {}", route.namespace, route.name, models.join(","), targets.join(","))
    });
    routes.collect()
}

#[test]
fn a_namespaces_own_routes_come_first_and_older_shared_ones_before_younger() {
    assert_eq!(
        routes_of("blue"),
        [
            "blue/mine chat -> own/gpt-6-sol",
            "platform/for-blue small -> platform/for-all/gpt-6-luna",
            "platform/everywhere gpt- -> platform/for-all/gpt-6-sol",
        ]
    );
}

#[test]
fn a_namespace_without_a_route_of_its_own_gets_what_is_shared_with_it() {
    assert_eq!(
        routes_of("red"),
        ["platform/everywhere chat,small,gpt- -> platform/for-all/gpt-6-sol"]
    );
}

#[test]
fn a_shared_route_that_nobody_can_serve_takes_no_model_away() {
    // Older than all others, so that it would have the first word.
    let text = SHARED.replace(
        "name: generous, namespace: green",
        "name: generous, namespace: green, creationTimestamp: '2020-01-01T00:00:00Z'",
    );
    let text = text.replace("models: [free]", "models: [chat]");
    let loaded = load_texts([("f.yaml", text.as_str())]);
    let served = |namespace: &str| -> Vec<String> {
        let table = compile_for(&loaded.objects, namespace, Mode::Cluster).table;
        let serving = table
            .routes
            .iter()
            .filter(|route| route.models.iter().any(|model| model.name == "chat"));
        serving.map(|route| route.name.clone()).collect()
    };
    assert_eq!(served("red"), ["everywhere"]);
    // At home it stays, so that its callers learn what is wrong with it.
    assert_eq!(served("green"), ["generous"]);
}

#[test]
fn a_shared_route_names_the_keys_of_its_own_namespace() {
    let home = routes_of("platform");
    assert_eq!(home[1], "platform/everywhere chat,gpt- -> for-all/gpt-6-sol,for-itself/gpt-6-sol");
}

const FOREIGN: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: { name: corp }
spec:
  provider: openai
  endpoint: { baseURL: 'https://llm.corp/v1' }
  keys: [{ name: a, secretRef: { name: k, key: a } }, { name: b, secretRef: { name: l, key: b } }]
  rotation: { revokedVersions: [REVOKED] }
---
apiVersion: v1
kind: Secret
metadata: { name: k }
stringData: { a: placeholder-a }
---
apiVersion: v1
kind: Secret
metadata: { name: l, annotations: { outrigger.dev/origins: 'https://llm.corp' } }
stringData: { b: placeholder-b }
---
apiVersion: outrigger.dev/v1alpha1
kind: ModelRoute
metadata: { name: r }
spec: { models: [m], rules: [{ name: all, targets: [{ keyRef: { name: corp }, model: gpt-6-sol }] }] }
";

fn foreign(mode: Mode, revoked: &str) -> (Vec<String>, Vec<(Severity, Reason)>) {
    let text = FOREIGN.replace("REVOKED", revoked);
    let compiled = compile_for(&load_texts([("f.yaml", text.as_str())]).objects, "default", mode);
    let found = compiled.diagnostics.iter().map(|found| (found.severity, found.reason));
    (compiled.secrets.keys().cloned().collect(), found.collect())
}

#[test]
fn in_a_cluster_a_secret_goes_only_where_its_owner_says() {
    let (a, b) = ("default/corp/a.d76428f6", "default/corp/b.6592ac9c");
    let (used, found) = foreign(Mode::Cluster, "0000000a");
    assert_eq!(used, [b]);
    assert_eq!(found, [(Severity::Error, Reason::SecretNotOptedIn)]);
    let (used, found) = foreign(Mode::Files, "0000000a");
    assert_eq!(used, [a, b]);
    assert_eq!(found, [(Severity::Warning, Reason::SecretNotOptedIn)]);
}

#[test]
fn a_revoked_version_is_used_nowhere() {
    let (used, found) = foreign(Mode::Files, "6592ac9c");
    assert_eq!(used, ["default/corp/a.d76428f6"]);
    assert!(found.contains(&(Severity::Warning, Reason::KeyRevoked)), "{found:?}");
    let (used, found) = foreign(Mode::Cluster, "6592ac9c");
    assert_eq!(used, [""; 0]);
    assert!(found.contains(&(Severity::Error, Reason::NoTargets)), "{found:?}");
}

#[test]
fn a_finding_names_its_object_so_that_a_condition_can_carry_it() {
    let loaded = load_texts([("f.yaml", SHARED)]);
    let found = compile_for(&loaded.objects, "red", Mode::Cluster).diagnostics;
    let about = crate::diagnostics::Subject::Object {
        kind: "ModelRoute".to_owned(),
        namespace: Some("platform".to_owned()),
        name: "everywhere".to_owned(),
    };
    let refused = found.iter().find(|found| found.subject == about).unwrap();
    assert_eq!(
        (refused.reason, refused.field.as_str()),
        (Reason::NamespaceNotAllowed, "spec.rules[0].targets[1].keyRef.namespace")
    );
    assert_eq!(refused.reason.condition(), Some("ResolvedRefs"));
}

const NAMESPACES: [&str; 3] = ["a", "b", "c"];

/// What a choice of namespaces says: its own, all, or those of the team `x`.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Same,
    All,
    TeamX,
}

/// A small world: for each namespace whether it is of team `x`, whom its key allows, with whom its route is shared, and whose keys that
/// route names.
#[derive(Clone, Debug)]
struct World(Vec<(bool, Choice, Choice, Vec<usize>)>);

impl World {
    fn includes(&self, choice: Choice, home: usize, namespace: usize) -> bool {
        home == namespace
            || match choice {
                Choice::Same => false,
                Choice::All => true,
                Choice::TeamX => self.0[namespace].0,
            }
    }

    fn objects(&self) -> Objects {
        let choice = |choice: Choice| match choice {
            Choice::Same => json!({}),
            Choice::All => json!({"from": "All"}),
            Choice::TeamX => json!({"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}),
        };
        let object = |kind: &str, namespace: &str, spec: Value| json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind, "metadata": {"name": "n", "namespace": namespace}, "spec": spec});
        let mut objects = Objects::default();
        for ((team, allows, shares, names), namespace) in self.0.iter().zip(NAMESPACES) {
            let key = json!({"provider": "openai", "auth": {"type": "None"}, "allowedNamespaces": choice(*allows)});
            let key: ProviderKey = serde_json::from_value(object("ProviderKey", namespace, key)).unwrap();
            objects.keys.push(key.into());
            let targets: Vec<Value> = names
                .iter()
                .map(|home| json!({"keyRef": {"name": "n", "namespace": NAMESPACES[*home]}, "model": "gpt-6-sol"}))
                .collect();
            let route = json!({"models": [namespace], "namespaces": choice(*shares), "rules": [{"name": "all", "targets": targets}]});
            let route: ModelRoute = serde_json::from_value(object("ModelRoute", namespace, route)).unwrap();
            objects.routes.push(route.into());
            let labels = if *team {
                vec![("team".to_owned(), "x".to_owned())]
            } else {
                Vec::new()
            };
            objects.namespaces.push(
                NamespaceObject {
                    name: namespace.to_owned(),
                    labels: labels.into_iter().collect(),
                }
                .into(),
            );
        }
        objects
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let choice = || prop_oneof![Just(Choice::Same), Just(Choice::All), Just(Choice::TeamX)];
    let targets = Just(vec![0, 1, 2])
        .prop_shuffle()
        .prop_flat_map(|all| (1..=3usize).prop_map(move |n| all[..n].to_vec()));
    prop::collection::vec((any::<bool>(), choice(), choice(), targets), 3).prop_map(World)
}

proptest! {
    #[test]
    fn a_key_serves_a_route_in_a_namespace_exactly_if_it_allows_both(world in worlds()) {
        let objects = world.objects();
        for (here, namespace) in NAMESPACES.iter().enumerate() {
            let table = compile_for(&objects, namespace, Mode::Cluster).table;
            let mut found = BTreeSet::new();
            for route in &table.routes {
                for candidate in &route.rules[0].candidates {
                    let label = &table.providers[table.targets[candidate.target].provider].label;
                    let home = label.split_once('/').map_or(*namespace, |(home, _)| home);
                    found.insert((route.namespace.clone(), home.to_owned()));
                }
            }
            let mut expected = BTreeSet::new();
            for (author, (_, _, shares, names)) in world.0.iter().enumerate() {
                for home in names {
                    let allows = world.0[*home].1;
                    let allowed = world.includes(allows, *home, here) && world.includes(allows, *home, author);
                    if world.includes(*shares, author, here) && allowed {
                        expected.insert((NAMESPACES[author].to_owned(), NAMESPACES[*home].to_owned()));
                    }
                }
            }
            prop_assert_eq!(&found, &expected, "in {}", namespace);
        }
    }
}
