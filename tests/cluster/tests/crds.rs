//! The custom resource definitions on a real API server: it takes them, and says of bad objects what our own check says of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where it fails"
)]

use outrigger_cluster::{Cluster, run, run_with_input, shared};
use outrigger_config::{crds, diagnostics::Severity, load::load_texts, samples};
use serde_json::Value;
use std::{collections::BTreeSet, sync::OnceLock};

/// Objects that break the rules, one field each; the offline tests read the same files.
const BAD: [&str; 2] = [
    include_str!("../../../crates/outrigger-config/fixtures/bad/route-rules.yaml"),
    include_str!("../../../crates/outrigger-config/fixtures/bad/key-rules.yaml"),
];

/// The shared cluster with both definitions in force.
fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = shared();
    READY.get_or_init(|| {
        for crd in crds() {
            let name = crd.metadata.name.clone().unwrap();
            cluster.apply(&serde_json::to_string(&crd).unwrap()).unwrap();
            let established = ["wait", "--for=condition=Established", "--timeout=120s", "crd", &name];
            run(cluster.kubectl().args(established)).unwrap();
        }
    });
    cluster
}

/// Asks for an object without making it.
fn ask(manifest: &str) -> Result<String, String> {
    let arguments = ["apply", "--dry-run=server", "-f", "-"];
    run_with_input(cluster().kubectl().args(arguments), manifest).map_err(|refusal| refusal.to_string())
}

/// Every sentence that the definitions hold ready.
fn sentences() -> BTreeSet<String> {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                let rules = fields.get("x-kubernetes-validations").and_then(Value::as_array);
                found.extend(
                    rules
                        .into_iter()
                        .flatten()
                        .filter_map(|rule| Some(rule["message"].as_str()?.to_owned())),
                );
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(members) => members.iter().for_each(|value| walk(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(&serde_json::to_value(crds()).unwrap(), &mut found);
    found
}

/// The rules that a refusal names, as pairs of field and sentence. A refusal is one line a cause, `* field: Invalid value: …: sentence`, and
/// a single cause stands on the first line.
fn causes(refusal: &str, sentences: &BTreeSet<String>) -> Vec<(String, String)> {
    let cause = |line: &str| {
        let sentence = sentences.iter().find(|sentence| line.ends_with(&format!(": {sentence}")))?;
        let before = line.split(": Invalid value").next()?;
        let field = before.rsplit([' ', ':']).next()?;
        Some((field.to_owned(), sentence.clone()))
    };
    refusal.lines().filter_map(cause).collect()
}

#[test]
fn each_rule_is_refused_in_its_own_words_and_as_offline() {
    let all = sentences();
    let mut refused = BTreeSet::new();
    for manifest in BAD.iter().flat_map(|file| file.split("\n---\n")) {
        let refusal = ask(manifest).expect_err(manifest);
        let found = causes(&refusal, &all);
        // Where the API server names a field twice, the first rule of the table is the more telling one; offline it is the only one.
        for diagnostic in load_texts([("bad.yaml", manifest)]).diagnostics {
            let said = found.iter().any(|(field, sentence)| {
                let (wrong, instead) = sentence.split_once("; ").unwrap();
                *field == diagnostic.field && diagnostic.message.ends_with(wrong) && diagnostic.help == instead
            });
            assert!(said, "offline: {diagnostic}\nAPI server: {refusal}\n{found:#?}");
        }
        let offline: BTreeSet<String> = load_texts([("bad.yaml", manifest)])
            .diagnostics
            .into_iter()
            .map(|found| found.field)
            .collect();
        let online: BTreeSet<String> = found.iter().map(|(field, _)| field.clone()).collect();
        assert_eq!(online, offline, "{refusal}");
        refused.extend(found.into_iter().map(|(_, sentence)| sentence));
    }
    assert_eq!(refused, all, "a rule without an object that breaks it");
}

#[test]
fn the_samples_are_taken_without_a_word() {
    for (file, text) in samples::FILES {
        let said = ask(text).unwrap_or_else(|refusal| panic!("{file}: {refusal}"));
        for line in said.lines() {
            assert!(line.ends_with("created (server dry run)"), "{file}: {line}");
        }
    }
}

#[test]
fn a_typo_is_refused_with_its_field() {
    let refusal = ask(r"
        apiVersion: outrigger.dev/v1alpha1
        kind: ProviderKey
        metadata: { name: typo }
        spec: { provider: openai, keyz: [] }
    ")
    .unwrap_err();
    assert!(refusal.contains(r#"unknown field "spec.keyz""#), "{refusal}");
    let offline = load_texts([(
        "f.yaml",
        "apiVersion: outrigger.dev/v1alpha1\nkind: ProviderKey\nmetadata: { name: typo }\nspec: { provider: openai, keyz: [] }\n",
    )]);
    assert!(
        offline
            .diagnostics
            .iter()
            .any(|found| found.severity == Severity::Error && found.field == "spec.keyz")
    );
}

#[test]
fn the_objects_have_short_names() {
    let resources = run(cluster()
        .kubectl()
        .args(["api-resources", "--api-group=outrigger.dev", "--no-headers"]))
    .unwrap();
    for (kind, short) in [("ModelRoute", "mr"), ("ProviderKey", "pk")] {
        let line = resources.lines().find(|line| line.contains(kind)).unwrap();
        assert!(line.split_whitespace().any(|word| word == short), "{line}");
    }
}
