//! What the namespace's objects say of themselves: status, and Events for what is new and not good. It reports of what was published, so that
//! it must never be written before that.

mod keys;
mod routes;

pub(super) use keys::ACTIVE;

use super::{
    Inputs, PROGRAMMED, RouteNames,
    carry::Kept,
    conditions::{self, Verdict, shortened},
    distribute::Ring,
    own::OwnKeys,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use outrigger_config::diagnostics::{ACCEPTED, Diagnostic, Reason, Severity};
use outrigger_snapshot::Document;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What one object should say of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// `ModelRoute` or `ProviderKey`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which object of that name.
    pub uid: String,
    /// Its status, if that is not what it says already.
    pub status: Option<Value>,
    /// Events.
    pub told: Vec<Told>,
}

/// An Event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// Not good.
    pub warning: bool,
    /// In one word.
    pub reason: String,
    /// In sentences.
    pub message: String,
    /// It may be so in many namespaces at once, and one Event says enough.
    pub once: bool,
}

/// All that reports are made of.
pub(super) struct Facts<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) of_keys: &'a [Diagnostic],
    pub(super) of_routes: &'a [Diagnostic],
    pub(super) published: Option<(&'a Document, u64)>,
    pub(super) prior: Option<&'a Document>,
    pub(super) too_large: &'a RouteNames,
    pub(super) kept: &'a Kept,
    pub(super) rings: &'a BTreeMap<String, Ring>,
    pub(super) own: &'a OwnKeys,
    pub(super) crowded_out: &'a BTreeSet<(String, String)>,
}

/// One report for each object of the namespace.
pub(super) fn reports(facts: &Facts<'_>) -> Vec<Report> {
    let own = |meta: &ObjectMeta| meta.namespace.as_deref() == Some(facts.inputs.namespace.as_str());
    let objects = &facts.inputs.objects;
    let routes = objects
        .routes
        .iter()
        .map(|route| &route.object)
        .filter(|route| own(&route.metadata));
    let keys = objects.keys.iter().map(|key| &key.object).filter(|key| own(&key.metadata));
    let unreadable = facts.inputs.unreadable.iter().filter(|each| own(&each.metadata));
    let mut reports: Vec<Report> = routes.map(|route| routes::report(facts, route)).collect();
    reports.extend(keys.map(|key| keys::report(facts, key)));
    reports.extend(unreadable.map(|each| self::unreadable(facts, each)));
    reports.extend(guests(facts));
    reports.sort_by(|a, b| (a.kind, &a.namespace, &a.name).cmp(&(b.kind, &b.namespace, &b.name)));
    reports
}

/// What is wrong here with routes that others share. Their conditions speak of their home, so that an Event has to say it.
fn guests<'f>(facts: &'f Facts<'_>) -> impl Iterator<Item = Report> + 'f {
    let here = facts.inputs.namespace.as_str();
    facts.inputs.objects.routes.iter().filter_map(move |route| {
        let meta = &route.object.metadata;
        let (namespace, name) = (meta.namespace.as_deref()?, meta.name.as_deref()?);
        let found = conditions::about(facts.of_routes, "ModelRoute", namespace, name);
        let errors = found
            .into_iter()
            .filter(|found| found.severity == Severity::Error && found.reason != Reason::InvalidSpec);
        // Rather the cause than what it comes to.
        let error = errors.min_by_key(|found| found.reason == Reason::NoTargets)?;
        (namespace != here).then(|| Report {
            told: vec![Told {
                warning: true,
                reason: error.reason.as_str().to_owned(),
                message: shortened(&format!("in namespace {here}: {}; {}", error.message, error.help)),
                once: true,
            }],
            ..start("ModelRoute", meta, &[], &[])
        })
    })
}

/// Of an object that today's types cannot read.
fn unreadable(facts: &Facts<'_>, object: &super::Unreadable) -> Report {
    let meta = &object.metadata;
    let (namespace, name) = (
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let reason = Reason::Unreadable.as_str();
    let help = "it was stored under another version of the schema; apply it again in a form that this one accepts";
    let message = format!("{}; {help}", object.error);
    let verdicts = [
        Verdict::new(ACCEPTED, "False", reason, message),
        not_current(facts.kept.contains(object.kind, namespace, name), reason),
    ];
    let conditions = as_conditions(&verdicts, &object.conditions, meta, facts.inputs.now);
    let changed = conditions != object.conditions;
    Report {
        status: changed.then(|| json!({ "conditions": conditions })),
        ..start(object.kind, meta, &verdicts, &object.conditions)
    }
}

/// `Programmed` of an object that is not out as it is written now.
fn not_current(kept: bool, reason: &str) -> Verdict {
    let message = if kept {
        "its last published form keeps serving"
    } else {
        "it takes no part in routing until that is mended"
    };
    // The other conditions have told why.
    Verdict::new(PROGRAMMED, "False", reason, message).quietly()
}

/// A report without its status.
fn start(kind: &'static str, meta: &ObjectMeta, verdicts: &[Verdict], before: &[Condition]) -> Report {
    let news = verdicts.iter().filter(|verdict| verdict.is_news(before));
    Report {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        status: None,
        told: news
            .map(|verdict| Told {
                warning: true,
                reason: verdict.reason.clone(),
                message: shortened(&verdict.message),
                once: false,
            })
            .collect(),
    }
}

fn as_conditions(verdicts: &[Verdict], before: &[Condition], meta: &ObjectMeta, now: u64) -> Vec<Condition> {
    verdicts
        .iter()
        .map(|verdict| verdict.condition(before, meta.generation, now))
        .collect()
}
