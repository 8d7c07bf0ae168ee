//! `ModelRoute`s, resolved except for their targets' places in the table.
//!
//! A target that cannot be used drops only itself, and a route without any stays: its clients must learn what is wrong, not that there is no
//! such model.

mod settings;
mod targets;

use super::{
    Report,
    index::{Index, Name, Named},
    keys::Resolved,
};
use crate::{
    catalog,
    diagnostics::{Reason, nearest, quoted},
    v1alpha1::{self, ModelRoute},
};
use outrigger_core::{Attempts, Balance, Baseline, Breaker, Endpoint, Match, ModelPattern, Needs, Residency, Timeouts, TokenRange};
use std::collections::BTreeMap;

/// A route on its way into the table.
pub(super) struct Draft<'a> {
    pub(super) name: Name<'a>,
    pub(super) models: Vec<ModelPattern>,
    pub(super) baseline: Option<Baseline>,
    pub(super) rules: Vec<DraftRule<'a>>,
    pub(super) attempts: Attempts,
    pub(super) breaker: Breaker,
    pub(super) residency: Option<Residency>,
}

/// A rule on its way into the table.
pub(super) struct DraftRule<'a> {
    pub(super) name: &'a str,
    pub(super) when: Match,
    pub(super) balance: Balance,
    pub(super) candidates: Vec<DraftCandidate<'a>>,
}

/// A usable target of a rule.
pub(super) struct DraftCandidate<'a> {
    pub(super) key: Name<'a>,
    /// Absent = as the client asks.
    pub(super) model: Option<&'a str>,
    pub(super) priority: u32,
    pub(super) weight: u32,
    pub(super) timeouts: Timeouts,
}

/// The routes in order of precedence. A shared one that has no usable target here is left out and claims nothing: whoever wrote it must not
/// be able to take a model away from those who can serve it.
pub(super) fn draft<'a>(index: &'a Index<'a>, keys: &BTreeMap<Name<'a>, Resolved<'a>>, report: &mut Report) -> Vec<Draft<'a>> {
    let mut claims = Claims::new();
    let mut drafts = Vec::new();
    for route in &index.routes {
        let draft = one(index, keys, route, &claims, report);
        let is_usable = draft.rules.iter().any(|rule| !rule.candidates.is_empty());
        if is_usable || route.name.0 == index.namespace {
            claims.extend(draft.models.iter().map(|model| (model.clone(), route)));
            drafts.push(draft);
        }
    }
    drafts
}

/// Who serves a pattern already.
type Claims<'a> = BTreeMap<ModelPattern, &'a Named<'a, ModelRoute>>;

fn one<'a>(
    index: &'a Index<'a>,
    keys: &BTreeMap<Name<'a>, Resolved<'a>>,
    route: &'a Named<'a, ModelRoute>,
    claims: &Claims<'a>,
    report: &mut Report,
) -> Draft<'a> {
    let spec = &route.object.spec;
    let models = models(index.namespace, route, claims, report);
    let timeouts = settings::timeouts(Timeouts::default(), spec.timeouts.as_ref());
    let residency = spec.residency.as_ref().map(settings::residency);
    let place = targets::Place {
        index,
        keys,
        route,
        patterns: &models,
        timeouts,
        residency: residency.as_ref(),
    };
    let last_resort = targets::last_resort(&place, &spec.last_resort, report);
    let mut rules = Vec::new();
    let mut all_taken_by = None;
    for (at, rule) in spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{at}]");
        let when = when(rule.when.as_ref());
        if let Some(earlier) = all_taken_by {
            let message = format!(
                "no call ever reaches this rule: rule {} in front of it has no match and takes them all",
                quoted(earlier)
            );
            report.warning(
                route.subject(),
                Reason::UnreachableRule,
                &field,
                message,
                "put rules without match last",
            );
        } else if when == Match::default() {
            all_taken_by = Some(rule.name.as_str());
        }
        let mut candidates = targets::candidates(&place, &field, rule, &when, report);
        let priority = candidates.iter().map(|candidate| candidate.priority + 1).max().unwrap_or(0);
        candidates.extend(last_resort.iter().map(|last| DraftCandidate { priority, ..*last }));
        if candidates.is_empty() {
            let message = if route.name.0 == index.namespace {
                "none of this rule's targets can be used, so its calls fail".to_owned()
            } else {
                format!("none of this rule's targets can be used in namespace {}", index.namespace)
            };
            report.error(
                route.subject(),
                Reason::NoTargets,
                &format!("{field}.targets"),
                message,
                "mend one of the targets, as said for each",
            );
        }
        rules.push(DraftRule {
            name: &rule.name,
            when,
            balance: match rule.balance {
                v1alpha1::Balance::Weighted => Balance::Weighted,
                v1alpha1::Balance::Cheapest => Balance::Cheapest,
                v1alpha1::Balance::Fastest => Balance::Fastest,
                v1alpha1::Balance::LeastBusy => Balance::LeastBusy,
            },
            candidates,
        });
    }
    Draft {
        name: route.name,
        models,
        baseline: spec.baseline.as_ref().map(|baseline| self::baseline(route, baseline, report)),
        rules,
        attempts: settings::attempts(spec.attempts.as_ref()),
        breaker: settings::breaker(spec.breaker.as_ref()),
        residency,
    }
}

/// The patterns that the route serves in `namespace`: its own, without those that one of more right claims.
fn models(namespace: &str, route: &Named<'_, ModelRoute>, claims: &Claims<'_>, report: &mut Report) -> Vec<ModelPattern> {
    let mut served = Vec::new();
    for (at, model) in route.object.spec.models.iter().enumerate() {
        let pattern = match model.strip_suffix('*') {
            Some(start) => ModelPattern {
                name: start.to_owned(),
                prefix: true,
            },
            None => ModelPattern {
                name: model.clone(),
                prefix: false,
            },
        };
        match claims.get(&pattern) {
            Some(first) => claimed(namespace, route, first, &format!("spec.models[{at}]"), model, report),
            None => served.push(pattern),
        }
    }
    served
}

/// Says who serves a model of `route` instead.
fn claimed(namespace: &str, route: &Named<'_, ModelRoute>, first: &Named<'_, ModelRoute>, field: &str, model: &str, report: &mut Report) {
    let (model, by) = (quoted(model), format!("ModelRoute {}/{}", first.name.0, first.name.1));
    if first.name.0 == namespace && route.name.0 != namespace {
        let message = format!("in namespace {namespace} {model} is served by {by}, whose own routes come before shared ones");
        report.note(route.subject(), Reason::Overridden, field, message, "");
        return;
    }
    // Without a timestamp, age says nothing and the name decided.
    let why = if first.age.0 {
        "which comes first by name"
    } else {
        "which is older"
    };
    let message = format!("{model} is claimed by {by} already, {why} and keeps serving it");
    let help = "remove the model from one of the two routes, or put both ways into one route as rules";
    report.error(route.subject(), Reason::Conflicted, field, message, help);
}

fn when(conditions: Option<&v1alpha1::Match>) -> Match {
    let Some(conditions) = conditions else { return Match::default() };
    let endpoint = |endpoint: &v1alpha1::Endpoint| match endpoint {
        v1alpha1::Endpoint::Chat => Endpoint::Chat,
        v1alpha1::Endpoint::Messages => Endpoint::Messages,
        v1alpha1::Endpoint::Embeddings => Endpoint::Embeddings,
    };
    Match {
        tasks: conditions.tasks.clone(),
        headers: conditions
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), header.value.clone()))
            .collect(),
        metadata: conditions.metadata.clone(),
        endpoints: conditions.endpoints.iter().map(endpoint).collect(),
        input_tokens: conditions.input_tokens.map(|range| TokenRange {
            at_least: range.at_least,
            less_than: range.less_than,
        }),
        needs: needs(&conditions.needs),
        service_accounts: conditions.service_accounts.clone(),
    }
}

fn needs(listed: &[v1alpha1::Need]) -> Needs {
    let has = |need| listed.contains(&need);
    Needs {
        tools: has(v1alpha1::Need::Tools),
        vision: has(v1alpha1::Need::Vision),
        json_schema: has(v1alpha1::Need::JsonSchema),
        reasoning: has(v1alpha1::Need::Reasoning),
    }
}

/// What it would have cost: the catalogue's price, without any key's markup.
fn baseline(route: &Named<'_, ModelRoute>, baseline: &v1alpha1::Baseline, report: &mut Report) -> Baseline {
    let v1alpha1::Baseline { provider, model } = baseline;
    let price = catalog::model(provider, model).and_then(|known| known.facts.price);
    if price.is_none() {
        let (field, what, near) = if catalog::provider(provider).is_none() {
            let names = catalog::providers().iter().map(|provider| provider.name);
            (
                "spec.baseline.provider",
                format!("there is no provider {}", quoted(provider)),
                nearest(provider, names),
            )
        } else {
            let names = catalog::models_of(provider).iter().map(|model| model.name);
            let what = format!("the catalogue has no price of {} at {provider}", quoted(model));
            ("spec.baseline.model", what, nearest(model, names))
        };
        let help = near.map_or_else(
            || "`outrigger catalog` lists what is known".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        report.warning(
            route.subject(),
            Reason::UnknownPrice,
            field,
            format!("{what}, so no savings are counted"),
            help,
        );
    }
    Baseline {
        label: format!("{provider}/{model}"),
        price,
    }
}
