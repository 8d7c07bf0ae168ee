//! A route or key that cannot be read any more goes on as it was published last.
//!
//! What a route may use is decided anew: it goes through the compile step as a bare route of the same models and targets, and gets back what it had
//! besides. So it must never keep a key that is gone, revoked or no longer allowed.

mod keys;

use super::{Inputs, Prior, RouteNames, held::HeldKeys};
use outrigger_config::{
    diagnostics::{Diagnostic, Reason, Severity, Subject},
    objects::Objects,
    v1alpha1::{self, KeyRef, ModelRoute, ModelRouteSpec, Namespaces, NamespacesFrom, Rule},
};
use outrigger_core::{Candidate, Route, Table, Target, TargetModel};
use std::{borrow::Cow, collections::BTreeMap};

/// The routes that go on as they were, with the labels of their candidates' targets.
#[derive(Debug, Default)]
pub(super) struct Kept {
    routes: BTreeMap<(String, String), Route>,
    labels: Vec<String>,
    keys: RouteNames,
    /// What was known of the models at those keys, by label.
    facts: BTreeMap<String, TargetModel>,
}

impl Kept {
    /// Whether this object goes on as it was.
    pub(super) fn contains(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let name = (namespace.to_owned(), name.to_owned());
        if kind == "ModelRoute" {
            self.routes.contains_key(&name)
        } else {
            self.keys.contains(&name)
        }
    }
}

/// Puts bare routes, and keys as they were, in the place of those that cannot be read.
pub(super) fn last_good(
    objects: &mut Cow<'_, Objects>,
    inputs: &Inputs,
    found: &[Diagnostic],
    prior: Option<&Prior>,
    held: &HeldKeys,
) -> Kept {
    let mut kept = Kept::default();
    let Some(document) = prior.map(|prior| &prior.document) else {
        return kept;
    };
    kept.keys = keys::last_published(objects, inputs, document, held);
    let prior = &document.table;
    let at_kept = |target: &&Target| {
        let label = prior
            .providers
            .get(target.provider)
            .map(|provider| provider.label.as_str())
            .unwrap_or_default();
        let (namespace, name) = label.split_once('/').unwrap_or((&prior.namespace, label));
        kept.keys.contains(&(namespace.to_owned(), name.to_owned()))
    };
    kept.facts = prior
        .targets
        .iter()
        .filter(at_kept)
        .map(|target| (target.label.clone(), target.model.clone()))
        .collect();
    let invalid = invalid(inputs, found);
    for route in &prior.routes {
        let name = (route.namespace.clone(), route.name.clone());
        if !invalid.contains(&name) {
            continue;
        }
        let Some(bare) = bare(inputs, prior, route) else { continue };
        let objects = objects.to_mut();
        objects.routes.retain(|each| {
            let meta = &each.object.metadata;
            (meta.namespace.as_deref(), meta.name.as_deref()) != (Some(&name.0), Some(&name.1))
        });
        objects.routes.push(bare.into());
        kept.routes.insert(name, route.clone());
    }
    kept.labels = prior.targets.iter().map(|target| target.label.clone()).collect();
    kept
}

/// Gives the bare routes back what they had.
pub(super) fn restore(mut table: Table, kept: &Kept) -> Table {
    for target in &mut table.targets {
        if let Some(model) = kept.facts.get(&target.label) {
            target.model = model.clone();
        }
    }
    let labels: Vec<String> = table.targets.iter().map(|target| target.label.clone()).collect();
    for route in &mut table.routes {
        let Some(before) = kept.routes.get(&(route.namespace.clone(), route.name.clone())) else {
            continue;
        };
        let mut rules = before.rules.clone();
        for rule in &mut rules {
            let now = route.rules.iter().find(|each| each.name == rule.name);
            let now = now.map(|rule| rule.candidates.as_slice()).unwrap_or_default();
            rule.candidates = rule.candidates.iter().filter_map(|was| again(was, now, &labels, kept)).collect();
        }
        route.baseline.clone_from(&before.baseline);
        route.rules = rules;
        route.attempts = before.attempts;
        route.breaker = before.breaker;
        route.residency.clone_from(&before.residency);
    }
    table
}

/// A candidate at its new place, if its target is still to be had.
fn again(was: &Candidate, now: &[Candidate], labels: &[String], kept: &Kept) -> Option<Candidate> {
    let label = kept.labels.get(was.target)?;
    let same = now.iter().find(|each| labels.get(each.target) == Some(label))?;
    Some(Candidate {
        target: same.target,
        ..was.clone()
    })
}

/// Routes that are there and say nothing usable.
fn invalid(inputs: &Inputs, found: &[Diagnostic]) -> RouteNames {
    let unreadable = inputs.unreadable.iter().filter(|each| each.kind == "ModelRoute");
    let unreadable = unreadable.filter_map(|each| Some((each.metadata.namespace.clone()?, each.metadata.name.clone()?)));
    let broken = found.iter().filter_map(|found| match &found.subject {
        Subject::Object {
            kind,
            namespace: Some(namespace),
            name,
        } if kind == "ModelRoute" && found.severity == Severity::Error && found.reason == Reason::InvalidSpec => {
            Some((namespace.clone(), name.clone()))
        }
        Subject::Object { .. } | Subject::Other(_) => None,
    });
    unreadable.chain(broken).collect()
}

/// A route of the same models and targets, and nothing else.
fn bare(inputs: &Inputs, prior: &Table, route: &Route) -> Option<ModelRoute> {
    let target = |candidate: &Candidate| {
        let target = prior.targets.get(candidate.target)?;
        let label = prior.providers.get(target.provider)?.label.as_str();
        let (namespace, name) = label.split_once('/').unwrap_or((&prior.namespace, label));
        Some(v1alpha1::Target {
            key_ref: KeyRef {
                name: name.to_owned(),
                namespace: Some(namespace.to_owned()),
            },
            model: match &target.model {
                TargetModel::Fixed { name, .. } => Some(name.clone()),
                TargetModel::AsAsked { .. } => None,
            },
            priority: 0,
            weight: 1,
            timeouts: None,
        })
    };
    let rules = route.rules.iter().map(|rule| Rule {
        name: rule.name.clone(),
        when: None,
        targets: rule.candidates.iter().filter_map(target).collect(),
        balance: outrigger_config::v1alpha1::Balance::Weighted,
    });
    let rules: Vec<Rule> = rules.filter(|rule| !rule.targets.is_empty()).collect();
    if rules.is_empty() {
        return None;
    }
    let models = route
        .models
        .iter()
        .map(|model| format!("{}{}", model.name, if model.prefix { "*" } else { "" }));
    let spec = ModelRouteSpec {
        models: models.collect(),
        namespaces: Namespaces {
            from: if route.namespace == inputs.namespace {
                NamespacesFrom::Same
            } else {
                NamespacesFrom::All
            },
            selector: None,
        },
        baseline: None,
        rules,
        last_resort: Vec::new(),
        residency: None,
        timeouts: None,
        attempts: None,
        breaker: None,
    };
    let mut bare = ModelRoute::new(&route.name, spec);
    bare.metadata.namespace = Some(route.namespace.clone());
    bare.metadata.creation_timestamp = created(inputs, route);
    Some(bare)
}

fn created(inputs: &Inputs, route: &Route) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    let readable = inputs.objects.routes.iter().map(|each| &each.object.metadata);
    let mut all = readable.chain(inputs.unreadable.iter().map(|each| &each.metadata));
    let own = all.find(|meta| meta.namespace.as_deref() == Some(&route.namespace) && meta.name.as_deref() == Some(&route.name));
    own.and_then(|meta| meta.creation_timestamp.clone())
}
