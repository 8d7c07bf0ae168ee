//! The status of a `ModelRoute`.

use super::{super::conditions, Facts, PROGRAMMED, Report, Verdict, not_current, start};
use outrigger_config::{
    diagnostics::{ACCEPTED, RESOLVED_REFS},
    v1alpha1::{ModelRoute, ModelRouteStatus, ResolvedTarget},
};
use outrigger_core::Route;
use outrigger_snapshot::Document;
use serde_json::json;

/// The schema's cap.
const MOST_TARGETS: usize = 256;

pub(super) fn report(facts: &Facts<'_>, route: &ModelRoute) -> Report {
    let meta = &route.metadata;
    let (namespace, name) = (
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let kept = facts.kept.contains("ModelRoute", namespace, name);
    // A kept route was compiled in its old form: what is wrong with the new one was found before.
    let found = conditions::about(if kept { facts.of_keys } else { facts.of_routes }, "ModelRoute", namespace, name);
    let accepted = conditions::verdict(ACCEPTED, &found);
    let resolved = conditions::verdict(RESOLVED_REFS, &found);
    let published = facts
        .published
        .and_then(|(document, generation)| Some((document, find(document, namespace, name)?, generation)));
    let programmed = if facts.too_large.contains(&(namespace.to_owned(), name.to_owned())) {
        let message = "the namespace's routes are more than a snapshot can hold, and this is one of the youngest; shorten or remove routes";
        Verdict::new(PROGRAMMED, "False", "TooLarge", message)
    } else if kept || published.is_none() {
        let reason = [&accepted, &resolved].into_iter().find(|each| each.status == "False");
        not_current(kept, reason.map_or("Pending", |each| &each.reason))
    } else {
        Verdict::new(PROGRAMMED, "True", "Programmed", "")
    };
    let verdicts = [accepted, resolved, programmed];
    let before = route.status.clone().unwrap_or_default();
    let status = ModelRouteStatus {
        conditions: super::conditions(&verdicts, &before.conditions, meta, facts.inputs.now),
        targets: published.map(|(document, route, _)| targets(document, route)).unwrap_or_default(),
        published_generation: published.and_then(|(document, route, generation)| {
            let since = before.published_generation.filter(|_| unchanged(facts, document, route));
            since.or_else(|| i64::try_from(generation).ok())
        }),
    };
    Report {
        status: (status != before).then(|| {
            // Absent fields are to go, which a merge patch does for null alone.
            json!({
                "conditions": status.conditions,
                "targets": status.targets,
                "publishedGeneration": status.published_generation,
            })
        }),
        ..start("ModelRoute", meta, &verdicts, &before.conditions)
    }
}

fn find<'d>(document: &'d Document, namespace: &str, name: &str) -> Option<&'d Route> {
    document
        .table
        .routes
        .iter()
        .find(|route| route.namespace == namespace && route.name == name)
}

fn label(document: &Document, target: usize) -> String {
    document
        .table
        .targets
        .get(target)
        .map(|target| target.label.clone())
        .unwrap_or_default()
}

fn targets(document: &Document, route: &Route) -> Vec<ResolvedTarget> {
    let all = route.rules.iter().flat_map(|rule| {
        rule.candidates.iter().map(|candidate| ResolvedTarget {
            rule: rule.name.clone(),
            target: label(document, candidate.target),
        })
    });
    all.take(MOST_TARGETS).collect()
}

/// Whether the route was out in this form before: only then its generation stays, so that an edit of one route does not write to all.
fn unchanged(facts: &Facts<'_>, document: &Document, route: &Route) -> bool {
    let shape = |document: &Document, route: &Route| {
        let mut route = route.clone();
        let mut labels = Vec::new();
        for candidate in route.rules.iter_mut().flat_map(|rule| &mut rule.candidates) {
            labels.push(label(document, candidate.target));
            candidate.target = 0;
        }
        (route, labels)
    };
    let before = facts
        .prior
        .and_then(|prior| Some((prior, find(prior, &route.namespace, &route.name)?)));
    before.is_some_and(|(prior, before)| shape(prior, before) == shape(document, route))
}
