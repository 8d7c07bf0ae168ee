mod placement;
mod sharing;

use super::*;
use crate::{
    load::{load, load_texts},
    objects::Sourced,
};
use core::time::Duration;
use outrigger_core::{ModelFacts, PathPattern, PicoUsd, TargetModel};
use proptest::prelude::*;
use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

const KEYS: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: { name: openai }
spec:
  provider: openai
  endpoint: { headers: { OpenAI-Organization: org-1 } }
  keys:
    - { name: a, secretRef: { name: k, key: a } }
    - { name: b, secretRef: { name: k, key: b }, weight: 5 }
  pricing: { markupPercent: "7", overrides: [{ model: gpt-6-luna, inputPerMTok: "1", outputPerMTok: "2" }] }
  passthrough: { paths: [/files, /images/*, /*] }
---
apiVersion: v1
kind: Secret
metadata: { name: k }
stringData: { a: placeholder-a, b: placeholder-b }
---
apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: { name: lent, namespace: ai-platform }
spec: { provider: mistral, auth: { type: None }, allowedNamespaces: { from: All }, passthrough: { paths: [/files] } }
---
apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: { name: idle }
spec: { provider: mistral, auth: { type: None } }
"#;

fn compiled(routes: &str) -> Compiled {
    let loaded = load_texts([("f.yaml", format!("{KEYS}---\n{routes}").as_str())]);
    assert_eq!(loaded.diagnostics, []);
    compile(&loaded.objects, "default")
}

fn route(spec: &str) -> String {
    format!("apiVersion: outrigger.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{ name: r }}\nspec:\n{spec}")
}

fn facts<'t>(table: &'t Table, label: &str) -> &'t TargetModel {
    &table.targets.iter().find(|target| target.label == label).unwrap().model
}

fn fixed<'t>(table: &'t Table, label: &str) -> &'t ModelFacts {
    match facts(table, label) {
        TargetModel::Fixed { facts, .. } => facts,
        TargetModel::AsAsked { .. } => panic!("{label}"),
    }
}

#[test]
fn a_ring_key_is_known_by_its_bytes() {
    let compiled = compiled(&route(
        "  models: [m]\n  rules: [{ name: a, targets: [{ keyRef: { name: openai } }] }]",
    ));
    let provider = &compiled.table.providers[0];
    // The first eight digits of `printf placeholder-a | sha256sum`.
    let ids: Vec<_> = provider
        .ring
        .iter()
        .map(|key| (key.name.as_str(), key.id.as_str(), key.weight))
        .collect();
    assert_eq!(ids, [("a", "default/openai/a.d76428f6", 1), ("b", "default/openai/b.6592ac9c", 5)]);
    assert_eq!(compiled.secrets["default/openai/b.6592ac9c"].expose(), "placeholder-b");
    assert!(!serde_json::to_string(&compiled.table).unwrap().contains("placeholder"));
    assert!(!format!("{compiled:?}").contains("placeholder"));
}

#[test]
fn a_key_leads_to_its_providers_place_with_its_headers_and_quirks() {
    let compiled = compiled(&route(
        "  models: [m]\n  rules: [{ name: a, targets: [{ keyRef: { name: lent, namespace: ai-platform } }] }]",
    ));
    let [lent, openai] = compiled.table.providers.as_slice() else {
        panic!("{:?}", compiled.table.providers)
    };
    assert_eq!(
        (openai.label.as_str(), openai.path.as_str(), openai.origin.host.as_str()),
        ("openai", "/v1", "api.openai.com")
    );
    assert_eq!(openai.headers, [("openai-organization".to_owned(), "org-1".to_owned())]);
    assert_eq!(
        (lent.label.as_str(), lent.quirks.max_completion_tokens),
        ("ai-platform/lent", false)
    );
}

#[test]
fn only_the_namespaces_own_keys_serve_its_pass_through() {
    let compiled = compiled(&route(
        "  models: [m]\n  rules: [{ name: a, targets: [{ keyRef: { name: lent, namespace: ai-platform } }] }]",
    ));
    let pattern = |path: &str, subtree| PathPattern {
        path: path.to_owned(),
        subtree,
    };
    // Unused by routes, and there for its pass-through; the idle key is not.
    assert_eq!(
        compiled.table.providers[1].passthrough,
        [pattern("/files", false), pattern("/images/", true), pattern("/", true)]
    );
    assert_eq!(compiled.table.providers[0].passthrough, []);
    assert_eq!(compiled.table.providers.len(), 2);
}

#[test]
fn prices_are_the_catalogues_with_the_markup_unless_they_are_stated() {
    let spec = "  models: [m]\n  baseline: { provider: openai, model: gpt-6-sol }\n  rules:\n    - name: a\n      targets:\n        \
                - { keyRef: { name: openai }, model: gpt-6-sol }\n        - { keyRef: { name: openai }, model: gpt-6-luna }\n";
    let table = compiled(&route(spec)).table;
    let sol = fixed(&table, "openai/gpt-6-sol").price.unwrap();
    assert_eq!(
        (sol.input, sol.output, sol.cached_read),
        (PicoUsd(2_140_000), PicoUsd(10_700_000), Some(PicoUsd(214_000)))
    );
    let luna = fixed(&table, "openai/gpt-6-luna").price.unwrap();
    assert_eq!(
        (luna.input, luna.output, luna.cached_read),
        (PicoUsd(1_000_000), PicoUsd(2_000_000), None)
    );
    let baseline = table.routes[0].baseline.as_ref().unwrap();
    assert_eq!(
        (baseline.label.as_str(), baseline.price.unwrap().input),
        ("openai/gpt-6-sol", PicoUsd(2_000_000))
    );
}

#[test]
fn a_target_without_a_model_knows_those_that_its_routes_may_be_asked_for() {
    let second = route("  models: [text-embedding-3-small]\n  rules: [{ name: a, targets: [{ keyRef: { name: openai } }] }]")
        .replace("name: r ", "name: s ");
    let first = route("  models: ['gpt-6-*', gpt-4o-mini, nobody-knows]\n  rules: [{ name: a, targets: [{ keyRef: { name: openai } }] }]");
    let compiled = compiled(&format!("{first}\n---\n{second}"));
    let TargetModel::AsAsked { facts } = facts(&compiled.table, "openai/*") else {
        panic!()
    };
    for name in ["gpt-6-sol", "gpt-6-luna", "gpt-4o-mini", "text-embedding-3-small"] {
        assert!(facts.contains_key(name), "{name}");
    }
    for name in ["gpt-4o", "nobody-knows", "gpt-5", "text-embedding-3-large"] {
        assert!(!facts.contains_key(name), "{name}");
    }
    assert_eq!(facts["gpt-6-luna"].price.unwrap().input, PicoUsd(1_000_000));
    assert_eq!(compiled.table.targets.len(), 1);
}

#[test]
fn a_targets_own_timeouts_stand_over_the_routes() {
    let spec = "  models: [m]\n  timeouts: { connect: 1s, total: 90s }\n  rules:\n    - name: a\n      targets:\n        \
                - { keyRef: { name: openai }, model: gpt-6-sol, timeouts: { firstToken: 20s, total: 30s }, priority: 2, weight: 0 }\n";
    let table = compiled(&route(spec)).table;
    let candidate = &table.routes[0].rules[0].candidates[0];
    let seconds = |d: Duration| d.as_secs();
    let timeouts = candidate.timeouts;
    assert_eq!(
        [timeouts.connect, timeouts.total, timeouts.first_token, timeouts.between_tokens].map(seconds),
        [1, 30, 20, 60]
    );
    assert_eq!((candidate.priority, candidate.weight), (2, 0));
}

#[test]
fn a_second_dialect_of_a_provider_has_no_known_quirks() {
    let key = "apiVersion: outrigger.dev/v1alpha1\nkind: ProviderKey\nmetadata: { name: d }\nspec: { provider: deepseek, auth: { type: None }, \
               passthrough: { paths: [/x] }, endpoint: { baseURL: 'https://api.deepseek.com/anthropic', dialect: anthropic } }\n";
    let table = compiled(key).table;
    let provider = table.providers.iter().find(|provider| provider.label == "d").unwrap();
    assert_eq!(provider.dialect, outrigger_core::Dialect::Anthropic);
    assert_eq!(provider.quirks, outrigger_core::Quirks::default());
}

#[test]
fn a_broken_route_leaves_the_others_alone() {
    let good = route("  models: [m]\n  rules: [{ name: a, targets: [{ keyRef: { name: openai }, model: gpt-6-sol }] }]");
    let bad = good.replace("name: r ", "name: q ").replace("[m]", "['*x']");
    let compiled = compiled(&format!("{good}\n---\n{bad}"));
    assert_eq!(compiled.table.routes.len(), 1);
    assert_eq!(compiled.diagnostics.len(), 1);
}

#[test]
fn indices_of_the_table_lead_somewhere() {
    let loaded = load(&[samples()]);
    let table = compile(&loaded.objects, "default").table;
    assert!(table.targets.iter().all(|target| target.provider < table.providers.len()));
    let candidates: Vec<_> = table
        .routes
        .iter()
        .flat_map(|route| &route.rules)
        .flat_map(|rule| &rule.candidates)
        .collect();
    assert_eq!(candidates.len(), 10);
    assert!(candidates.iter().all(|candidate| candidate.target < table.targets.len()));
}

#[test]
fn the_table_of_the_samples_is_complete() {
    let compiled = compile(&load(&[samples()]).objects, "default");
    assert_eq!(compiled.diagnostics, []);
    let labels: Vec<_> = compiled.table.targets.iter().map(|target| target.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "anthropic/claude-haiku-5-5",
            "anthropic/claude-sonnet-5-5",
            "mistral/mistral-large-latest",
            "mistral/mistral-small-latest",
            "openai-main/*",
            "openai-main/gpt-6-luna",
            "openai-main/gpt-6-sol",
        ]
    );
    assert_eq!(compiled.secrets.len(), 4);
    // Every price and window of the samples is known.
    for target in &compiled.table.targets {
        let known = |facts: &ModelFacts| facts.price.is_some() && facts.context_window.is_some();
        match &target.model {
            TargetModel::Fixed { facts, .. } => assert!(known(facts), "{}", target.label),
            TargetModel::AsAsked { facts } => assert!(facts.len() == 2 && facts.values().all(known), "{}", target.label),
        }
    }
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples")
}

/// All objects of the fixtures and samples at once: conflicts, repetitions, everything.
static EVERYTHING: LazyLock<Objects> =
    LazyLock::new(|| load(&[samples(), Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bad")]).objects);

/// As an API server hands them over: without files, and each name once.
fn without_files(mut objects: Objects) -> Objects {
    fn strip<T>(list: &mut [Sourced<T>]) {
        for sourced in list {
            sourced.origins = None;
        }
    }
    strip(&mut objects.routes);
    strip(&mut objects.keys);
    objects
}

fn shuffled<T: Clone + core::fmt::Debug + 'static>(list: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    Just(list.to_vec()).prop_shuffle()
}

/// A namespace's table, key ids and diagnostics.
type Outcome = (Table, Vec<String>, Vec<Diagnostic>);

fn outcome(objects: &Objects) -> Vec<Outcome> {
    let namespaces = objects.namespaces_in_use("default");
    let modes = [Mode::Files, Mode::Cluster];
    let compiled = namespaces
        .iter()
        .flat_map(|namespace| modes.map(|mode| compile_for(objects, namespace, mode)));
    compiled
        .map(|compiled| (compiled.table, compiled.secrets.into_keys().collect(), compiled.diagnostics))
        .collect()
}

fn in_any_order(objects: Objects) -> impl Strategy<Value = Objects> {
    let lists = (
        shuffled(&objects.routes),
        shuffled(&objects.keys),
        shuffled(&objects.secrets),
        shuffled(&objects.config_maps),
        shuffled(&objects.namespaces),
    );
    lists.prop_map(move |(routes, keys, secrets, config_maps, namespaces)| Objects {
        routes,
        keys,
        secrets,
        config_maps,
        namespaces,
        rejected: objects.rejected.clone(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_the_objects_means_nothing(objects in in_any_order(EVERYTHING.clone())) {
        static EXPECTED: LazyLock<Vec<Outcome>> = LazyLock::new(|| outcome(&EVERYTHING));
        prop_assert_eq!(&outcome(&objects), &*EXPECTED);
    }

    #[test]
    fn the_order_of_objects_without_files_means_nothing(objects in in_any_order(without_files(EVERYTHING.clone()))) {
        static EXPECTED: LazyLock<Vec<Outcome>> =
            LazyLock::new(|| outcome(&without_files(EVERYTHING.clone())));
        prop_assert_eq!(&outcome(&objects), &*EXPECTED);
    }
}
