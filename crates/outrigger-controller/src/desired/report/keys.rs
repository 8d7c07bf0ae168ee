//! The status of a `ProviderKey`: its conditions, and one row for each version of each key.

use super::{
    super::{KEY_VALID, conditions, distribute::rules},
    Facts, PROGRAMMED, Report, Verdict, start,
};
use crate::{
    moment,
    rotation::{Finding, Held, State, Waiting},
};
use outrigger_config::{
    diagnostics::{ACCEPTED, RESOLVED_REFS},
    v1alpha1::{AuthType, KeyStatus, ProviderKey, ProviderKeyStatus},
};
use outrigger_snapshot::KeyState;
use serde_json::json;
use std::collections::BTreeSet;

/// The row of a version that calls use.
pub(in super::super) const ACTIVE: &str = "Active";
/// The schema's cap.
const MOST_ROWS: usize = 256;

pub(super) fn report(facts: &Facts<'_>, key: &ProviderKey) -> Report {
    let meta = &key.metadata;
    let (namespace, name) = (
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let found = conditions::about(facts.of_keys, "ProviderKey", namespace, name);
    let before = key.status.clone().unwrap_or_default();
    let mut verdicts = vec![conditions::verdict(ACCEPTED, &found), conditions::verdict(RESOLVED_REFS, &found)];
    verdicts.push(programmed(facts, key, namespace, name, &verdicts));
    if key.spec.auth.kind == AuthType::ApiKey {
        verdicts.push(valid(facts, key, namespace, name, &before));
    }
    let status = ProviderKeyStatus {
        conditions: super::conditions(&verdicts, &before.conditions, meta, facts.inputs.now),
        keys: rows(facts, key, namespace, name, &before.keys),
    };
    Report {
        status: (status != before).then(|| json!({ "conditions": status.conditions, "keys": status.keys })),
        ..start("ProviderKey", meta, &verdicts, &before.conditions)
    }
}

fn programmed(facts: &Facts<'_>, key: &ProviderKey, namespace: &str, name: &str, others: &[Verdict]) -> Verdict {
    if facts.crowded_out.contains(&(namespace.to_owned(), name.to_owned())) {
        let message = "the namespace's keys are more than one Secret can hold, and this ProviderKey is one of the youngest; remove keys";
        return Verdict::new(PROGRAMMED, "False", "TooLarge", message);
    }
    let at_home = facts.published.is_some_and(|(document, _)| {
        let keyless = key.spec.auth.kind == AuthType::None && document.table.providers.iter().any(|provider| provider.label == name);
        let prefix = format!("{namespace}/{name}/");
        keyless
            || document
                .keys
                .iter()
                .any(|key| key.state != KeyState::Revoked && key.id.starts_with(&prefix))
    });
    if at_home
        || key
            .spec
            .keys
            .iter()
            .any(|entry| !elsewhere(facts, &format!("{namespace}/{name}/{}", entry.name)).is_empty())
    {
        return Verdict::new(PROGRAMMED, "True", "Programmed", "");
    }
    match others.iter().find(|each| each.status == "False") {
        Some(why) => super::not_current(false, &why.reason),
        None => Verdict::new(PROGRAMMED, "False", "NotUsed", "no route that may use it names it").quietly(),
    }
}

/// What providers say of the versions that the sources hold.
fn valid(facts: &Facts<'_>, key: &ProviderKey, namespace: &str, name: &str, before: &ProviderKeyStatus) -> Verdict {
    let rules = rules(Some(key));
    if !rules.verify {
        return Verdict::new(KEY_VALID, "Unknown", "NotVerified", "spec.rotation.verify is false").quietly();
    }
    let (mut refused, mut unclear, mut out, mut pending, mut known) = (Vec::new(), Vec::new(), Vec::new(), false, false);
    for entry in &key.spec.keys {
        let Some((version, finding)) = facts.source(&format!("{namespace}/{name}/{}", entry.name)) else {
            continue;
        };
        known = true;
        let shown = format!("key {}, version {version}", entry.name);
        match finding {
            Finding::Accepted => {}
            Finding::Pending => pending = true,
            Finding::Refused => refused.push(format!(
                "{shown}: the provider refuses it; store a key that it knows under {} of Secret {}",
                entry.secret_ref.key, entry.secret_ref.name
            )),
            Finding::Unreachable { .. } => out.push(format!("{shown}: the provider gives no answer")),
            Finding::Unclear => unclear.push(shown),
        }
    }
    if !refused.is_empty() {
        let rest = "; a version that served before keeps serving";
        return Verdict::new(KEY_VALID, "False", "KeyRefused", refused.join("; ") + rest);
    }
    if pending {
        // What was known stays until something else is.
        if let Some(known) = before.conditions.iter().find(|condition| condition.type_ == KEY_VALID) {
            let status = ["True", "False", "Unknown"].into_iter().find(|status| *status == known.status);
            return Verdict::new(KEY_VALID, status.unwrap_or("Unknown"), &known.reason, known.message.clone());
        }
        return Verdict::new(KEY_VALID, "Unknown", "Validating", "the provider is being asked").quietly();
    }
    if !out.is_empty() {
        let rest = "; a new version is used unvalidated after two minutes";
        return Verdict::new(KEY_VALID, "Unknown", "ProviderUnreachable", out.join("; ") + rest);
    }
    if !unclear.is_empty() {
        let rest = ": it cannot be asked: its address is not public, or it does not list models";
        return Verdict::new(KEY_VALID, "Unknown", "NotVerifiable", unclear.join("; ") + rest).quietly();
    }
    if known {
        Verdict::new(KEY_VALID, "True", "KeyAccepted", "")
    } else {
        Verdict::new(KEY_VALID, "Unknown", "NoKey", "no key can be read").quietly()
    }
}

fn rows(facts: &Facts<'_>, key: &ProviderKey, namespace: &str, name: &str, before: &[KeyStatus]) -> Vec<KeyStatus> {
    let mut rows = Vec::new();
    for entry in &key.spec.keys {
        let id = format!("{namespace}/{name}/{}", entry.name);
        let mut row = |version: &str, state: &str, since: u64| {
            let same = before
                .iter()
                .find(|row| row.name == entry.name && row.version == version && row.state == state);
            rows.push(KeyStatus {
                name: entry.name.clone(),
                version: version.to_owned(),
                state: state.to_owned(),
                since: same.map_or_else(|| moment::seconds(since), |row| row.since.clone()),
            });
        };
        let ring = facts.rings.get(&id);
        let held = ring.map_or_else(|| elsewhere(facts, &id), |ring| ring.step.held.as_slice());
        let mut shown = BTreeSet::new();
        for each in held {
            let state = match each.state {
                State::Active => ACTIVE,
                State::Next => "Next",
                State::Draining => "Draining",
            };
            shown.insert(each.version.as_str());
            row(&each.version, state, each.since);
        }
        match ring.and_then(|ring| ring.step.waiting.as_ref()) {
            Some(Waiting::Validating(version)) if shown.insert(version) => row(version, "Validating", facts.inputs.now),
            Some(Waiting::Refused(version)) if shown.insert(version) => row(version, "Refused", facts.inputs.now),
            Some(_) | None => {}
        }
        // Of the revoked ones those that were ever here.
        let seen = |version: &&String| before.iter().any(|row| row.name == entry.name && row.version == **version);
        for version in key.spec.rotation.revoked_versions.iter().filter(seen) {
            if shown.insert(version) {
                row(version, "Revoked", facts.inputs.now);
            }
        }
    }
    rows.truncate(MOST_ROWS);
    rows
}

/// How far a key is in another namespace: where it is not in use at home, that is all there is to tell.
fn elsewhere<'f>(facts: &'f Facts<'_>, id: &str) -> &'f [Held] {
    let mut journals = facts.inputs.elsewhere.iter();
    journals
        .find_map(|journal| journal.0.get(id))
        .map(Vec::as_slice)
        .unwrap_or_default()
}

impl Facts<'_> {
    /// The version that a key's source holds, and what is known of it.
    fn source(&self, id: &str) -> Option<(&str, Finding)> {
        let ring = self.rings.get(id).and_then(|ring| ring.source.as_ref());
        let source = ring.or_else(|| self.own.sources.get(id));
        source.map(|(version, finding)| (version.as_str(), *finding))
    }
}
