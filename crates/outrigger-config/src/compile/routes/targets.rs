//! Which targets of a rule can be used, and why the others cannot.

use super::{
    super::{
        Report,
        index::{Index, Name, Named},
        keys::Resolved,
        visible,
    },
    DraftCandidate, settings,
};
use crate::{
    catalog,
    diagnostics::{Reason, nearest, quoted},
    v1alpha1::{self, KeyRef, LastResort, ModelRoute, NamespacesFrom, Rule},
};
use outrigger_core::{Dialect, Endpoint, Lack, Match, ModelPattern, Provider, Residency, Timeouts};
use std::collections::BTreeMap;

/// Where the targets stand.
pub(super) struct Place<'p, 'a> {
    pub(super) index: &'a Index<'a>,
    pub(super) keys: &'p BTreeMap<Name<'a>, Resolved<'a>>,
    pub(super) route: &'a Named<'a, ModelRoute>,
    /// What the route may be asked for.
    pub(super) patterns: &'p [ModelPattern],
    /// The route's.
    pub(super) timeouts: Timeouts,
    /// Where the route's calls may go at all.
    pub(super) residency: Option<&'p Residency>,
}

/// The usable targets of `rule`, which stands at `field`; the others are reported.
pub(super) fn candidates<'a>(
    place: &Place<'_, 'a>,
    field: &str,
    rule: &'a Rule,
    when: &Match,
    report: &mut Report,
) -> Vec<DraftCandidate<'a>> {
    let mut candidates = Vec::new();
    for (at, target) in rule.targets.iter().enumerate() {
        let written = Written {
            key_ref: &target.key_ref,
            model: target.model.as_deref(),
            timeouts: target.timeouts.as_ref(),
        };
        candidates.extend(
            usable(place, &written, when, &format!("{field}.targets[{at}]"), report).map(|usable| DraftCandidate {
                priority: target.priority,
                weight: target.weight,
                ..usable
            }),
        );
    }
    candidates
}

/// The usable targets behind every rule's own; each rule gives them its own last priority.
pub(super) fn last_resort<'a>(place: &Place<'_, 'a>, targets: &'a [LastResort], report: &mut Report) -> Vec<DraftCandidate<'a>> {
    let mut candidates = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        let written = Written {
            key_ref: &target.key_ref,
            model: target.model.as_deref(),
            timeouts: target.timeouts.as_ref(),
        };
        let field = format!("spec.lastResort[{at}]");
        candidates.extend(usable(place, &written, &Match::default(), &field, report));
    }
    candidates
}

/// A target as either list writes it.
struct Written<'a> {
    key_ref: &'a KeyRef,
    model: Option<&'a str>,
    timeouts: Option<&'a v1alpha1::Timeouts>,
}

/// The target at `field`, of the first priority and one share; one that cannot be used is reported.
fn usable<'a>(place: &Place<'_, 'a>, written: &Written<'a>, when: &Match, field: &str, report: &mut Report) -> Option<DraftCandidate<'a>> {
    let name = written.key_ref.of(place.route.name.0);
    let key = key(place, name, written.key_ref, field, report).filter(|key| inside(place, key, field, report))?;
    remarks(place, key, written.model, when, field, report);
    Some(DraftCandidate {
        key: name,
        model: written.model,
        priority: 0,
        weight: 1,
        timeouts: settings::timeouts(place.timeouts, written.timeouts),
    })
}

/// Whether the route's residency allows the key's provider; that it does not is reported.
fn inside(place: &Place<'_, '_>, key: &Resolved<'_>, field: &str, report: &mut Report) -> bool {
    let Some(residency) = place.residency else { return true };
    let Provider { label, regions, .. } = &key.provider;
    let lacks: Vec<String> = residency
        .lacks(&key.provider)
        .map(|lack| match lack {
            Lack::Region if regions.is_empty() => format!("it has no regions, not {}", residency.regions.join(" or ")),
            Lack::Region => format!("it has regions {}, not {}", regions.join(", "), residency.regions.join(" or ")),
            Lack::Retention => "it does not say that it keeps nothing longer".to_owned(),
            Lack::Training => "it does not say that it does not train on it".to_owned(),
        })
        .collect();
    if lacks.is_empty() {
        return true;
    }
    report.error(
        place.route.subject(),
        Reason::OutsideResidency,
        &format!("{field}.keyRef"),
        format!("the route's residency does not allow {label}: {}", lacks.join("; ")),
        format!("take the target out, or state regions and dataPolicy of ProviderKey {label} as its contract says"),
    );
    false
}

/// The key that a target names, if it may and can be used.
fn key<'p, 'a>(place: &Place<'p, 'a>, name: Name<'a>, key_ref: &KeyRef, field: &str, report: &mut Report) -> Option<&'p Resolved<'a>> {
    let about = place.route.subject();
    let (home, key) = name;
    let shown = quoted(&format!("{home}/{key}"));
    let field = format!("{field}.keyRef");
    let Some(written) = place.index.keys.get(&name) else {
        if place.index.rejected_keys.contains(&name) {
            report.error(
                about,
                Reason::KeyUnusable,
                &field,
                format!("ProviderKey {shown} cannot be used"),
                "mend what is reported for it",
            );
        } else {
            let help = elsewhere(place.index, name, key_ref);
            report.error(
                about,
                Reason::KeyNotFound,
                &format!("{field}.name"),
                format!("there is no ProviderKey {shown}"),
                help,
            );
        }
        return None;
    };
    let allowed = &written.object.spec.allowed_namespaces;
    if let Some(forbidden) = visible::forbidden(place.index, home, allowed, place.route.name.0) {
        // Of a shared route: the namespace's pods would get the bytes, whoever wrote the route.
        let what = if forbidden == place.route.name.0 {
            "routes of namespace"
        } else {
            "its use in namespace"
        };
        let message = format!("ProviderKey {shown} does not allow {what} {forbidden}");
        let help = if allowed.from != NamespacesFrom::Selector || visible::labels_known(place.index, forbidden) {
            format!("let its owner allow it under allowedNamespaces, or use a key of {forbidden}")
        } else {
            format!("let its owner allow it under allowedNamespaces, or load the manifest of Namespace {forbidden}, whose labels decide")
        };
        report.error(about, Reason::NamespaceNotAllowed, &format!("{field}.namespace"), message, help);
        return None;
    }
    match place.keys.get(&name) {
        Some(resolved) if resolved.usable => Some(resolved),
        Some(_) => {
            report.error(
                about,
                Reason::KeyUnusable,
                &field,
                format!("ProviderKey {shown} has no usable key"),
                "mend what is reported for it",
            );
            None
        }
        None => {
            report.error(
                about,
                Reason::KeyUnusable,
                &field,
                format!("ProviderKey {shown} cannot be used"),
                "mend what is reported for it",
            );
            None
        }
    }
}

/// What was probably meant by a key that does not exist.
fn elsewhere(index: &Index<'_>, (home, key): Name<'_>, key_ref: &KeyRef) -> String {
    let in_home = || index.keys.keys().filter(|name| name.0 == home).map(|name| name.1);
    if let Some(near) = nearest(key, in_home()) {
        return format!("did you mean `{near}`?");
    }
    if key_ref.namespace.is_none()
        && let Some((other, _)) = index.keys.keys().find(|name| name.1 == key)
    {
        return format!("there is one in namespace {other}: add namespace: {other} here");
    }
    let known: Vec<&str> = in_home().collect();
    if known.is_empty() {
        format!("create it in namespace {home}, or name another namespace")
    } else {
        format!("the keys of namespace {home} are {}", known.join(", "))
    }
}

/// What works, but hardly as meant.
fn remarks(place: &Place<'_, '_>, key: &Resolved<'_>, model: Option<&str>, when: &Match, field: &str, report: &mut Report) {
    let about = place.route.subject();
    if key.provider.dialect == Dialect::Anthropic && when.endpoints == [Endpoint::Embeddings] {
        let message = format!("{} speaks the anthropic dialect, which has no embeddings", key.provider.label);
        report.warning(
            about,
            Reason::UnsupportedEndpoint,
            &format!("{field}.keyRef"),
            message,
            "name a key of a provider that has them",
        );
    }
    let provider = key.provider.provider.as_str();
    match model {
        Some(model) => known(place, key, model, &format!("{field}.model"), report),
        None => {
            for pattern in place.patterns.iter().filter(|pattern| !pattern.prefix) {
                known(place, key, &pattern.name, field, report);
            }
        }
    }
    if let Some(model) = model.and_then(|model| catalog::model(provider, model))
        && model.mode == catalog::Mode::Responses
    {
        let message = format!(
            "{} is served by {provider} on /responses only, which routes do not reach",
            quoted(model.name)
        );
        report.warning(
            about,
            Reason::UnsupportedEndpoint,
            &format!("{field}.model"),
            message,
            "name a chat model",
        );
    }
}

/// Says so where a model's price or the model itself is not known.
fn known(place: &Place<'_, '_>, key: &Resolved<'_>, model: &str, field: &str, report: &mut Report) {
    let about = place.route.subject();
    let (provider, label) = (key.provider.provider.as_str(), &key.provider.label);
    let facts = key.prices.facts(provider, model);
    if place.route.object.spec.baseline.is_some() && facts.as_ref().is_none_or(|facts| facts.price.is_none()) {
        let message = format!(
            "no price of {} at {label} is known, so its calls count in no savings",
            quoted(model)
        );
        let help = format!("state it under pricing.overrides of ProviderKey {label}, or correct the model's name");
        report.warning(about, Reason::UnknownPrice, field, message, help);
    } else if facts.is_none() && provider != "custom" {
        let names = catalog::models_of(provider).iter().map(|model| model.name);
        let help = match nearest(model, names) {
            Some(near) => format!("if `{near}` was meant, write that; otherwise nothing is to be done"),
            None => "its calls work, but their window and price are unknown; pricing.overrides can state the price".to_owned(),
        };
        report.note(
            about,
            Reason::UnknownModel,
            field,
            format!("the catalogue does not know {} at {provider}", quoted(model)),
            help,
        );
    }
}
