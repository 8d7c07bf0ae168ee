//! The custom resource definitions on a real API server: it takes them, and says of bad objects what our own check says of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics where it fails"
)]

use outrigger_cluster::{Cluster, run, run_with_input, shared};
use outrigger_config::{check::check_loaded, crds, diagnostics::Diagnostic, load::load_texts, samples};
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

/// A field and the sentence of a rule that it breaks.
type Cause = (String, String);

/// The rules that a refusal names. It has one line a cause, `* field: Invalid value: …: sentence`; a single cause stands on the first line.
fn online(refusal: &str, sentences: &BTreeSet<String>) -> BTreeSet<Cause> {
    let cause = |line: &str| {
        let sentence = sentences.iter().find(|sentence| line.ends_with(&format!(": {sentence}")))?;
        let before = line.split(": Invalid value").next()?;
        let field = before.rsplit([' ', ':']).next()?;
        Some((field.to_owned(), sentence.clone()))
    };
    refusal.lines().filter_map(cause).collect()
}

/// The rules that our own check names.
fn offline(manifest: &str, sentences: &BTreeSet<String>) -> BTreeSet<Cause> {
    let checked = check_loaded(load_texts([("bad.yaml", manifest)]), "default");
    let cause = |found: Diagnostic| {
        let is_said = |sentence: &&String| {
            let said = sentence.split_once("; ");
            said.is_some_and(|(wrong, instead)| found.message.ends_with(wrong) && found.help == instead)
        };
        Some((found.field.clone(), sentences.iter().find(is_said)?.clone()))
    };
    checked.diagnostics.into_iter().filter_map(cause).collect()
}

#[test]
fn each_rule_is_refused_in_its_own_words_and_as_offline() {
    let all = sentences();
    let mut refused = BTreeSet::new();
    for manifest in BAD.iter().flat_map(|file| file.split("\n---\n")) {
        let answer = ask(manifest);
        let offline = offline(manifest, &all);
        // A few of the objects obey every rule, and only the compile step finds them wanting.
        assert_eq!(answer.is_err(), !offline.is_empty(), "{answer:?}\noffline: {offline:#?}");
        let refusal = answer.err().unwrap_or_default();
        let found = online(&refusal, &all);
        // Where the API server says two things of a field, offline says the first of the table, which is the more telling one.
        assert!(offline.is_subset(&found), "offline: {offline:#?}\nAPI server: {refusal}");
        let fields = |causes: &BTreeSet<Cause>| -> BTreeSet<String> { causes.iter().map(|(field, _)| field.clone()).collect() };
        assert_eq!(fields(&offline), fields(&found), "{refusal}");
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
    let typo = "apiVersion: outrigger.dev/v1alpha1\nkind: ProviderKey\nmetadata: { name: typo }\nspec: { provider: openai, keyz: [] }\n";
    let refusal = ask(typo).unwrap_err();
    assert!(refusal.contains(r#"unknown field "spec.keyz""#), "{refusal}");
    let offline = load_texts([("typo.yaml", typo)]).diagnostics;
    assert!(offline.iter().any(|found| found.field == "spec.keyz"), "{offline:?}");
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
