//! The last step: what is in use gets its place in the table, in an order that does not depend on the objects' order.

use super::{
    index::{Index, Name},
    keys::Resolved,
    routes::{Draft, DraftCandidate},
};
use outrigger_core::{Candidate, ModelFacts, ModelPattern, Provider, Route, Rule, Secret, Table, Target, TargetModel};
use std::collections::{BTreeMap, BTreeSet};

/// A target before it has a place: the provider's place, and its model (`None` = as asked).
type Key<'a> = (usize, Option<&'a str>);

/// The table, and the bytes of its keys by id.
pub(super) fn assemble<'a>(
    index: &Index<'a>,
    keys: &BTreeMap<Name<'a>, Resolved<'a>>,
    drafts: &[Draft<'a>],
) -> (Table, BTreeMap<String, Secret>) {
    let in_use = in_use(keys, drafts);
    let place_of: BTreeMap<Name<'a>, usize> = in_use.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let asked = asked(drafts, &place_of);
    let targets: Vec<Key<'a>> = asked.keys().copied().collect();
    let index_of: BTreeMap<Key<'a>, usize> = targets.iter().enumerate().map(|(at, key)| (*key, at)).collect();
    let candidate = |draft: &DraftCandidate<'a>| {
        Some(Candidate {
            target: *index_of.get(&(*place_of.get(&draft.key)?, draft.model))?,
            priority: draft.priority,
            weight: draft.weight,
            timeouts: draft.timeouts,
        })
    };
    let routes = drafts.iter().map(|draft| Route {
        namespace: draft.name.0.to_owned(),
        name: draft.name.1.to_owned(),
        models: draft.models.clone(),
        baseline: draft.baseline.clone(),
        rules: draft
            .rules
            .iter()
            .map(|rule| Rule {
                name: rule.name.to_owned(),
                when: rule.when.clone(),
                candidates: rule.candidates.iter().filter_map(candidate).collect(),
                balance: rule.balance,
            })
            .collect(),
        attempts: draft.attempts,
        breaker: draft.breaker,
        residency: draft.residency.clone(),
    });
    let table = Table {
        namespace: index.namespace.to_owned(),
        providers: in_use.iter().map(|(_, key)| key.provider.clone()).collect(),
        targets: asked.iter().filter_map(|(key, patterns)| target(*key, &in_use, patterns)).collect(),
        routes: routes.collect(),
    };
    let secrets = in_use.iter().flat_map(|(_, key)| key.secrets.iter().cloned()).collect();
    (table, secrets)
}

/// The keys that a target names or a pass-through uses, oldest first: where several serve one path, the first one does.
fn in_use<'k, 'a>(keys: &'k BTreeMap<Name<'a>, Resolved<'a>>, drafts: &[Draft<'a>]) -> Vec<(Name<'a>, &'k Resolved<'a>)> {
    let candidates = drafts.iter().flat_map(|draft| &draft.rules).flat_map(|rule| &rule.candidates);
    let named: BTreeSet<Name<'a>> = candidates.map(|candidate| candidate.key).collect();
    let serves = |key: &Resolved<'_>| key.usable && !key.provider.passthrough.is_empty();
    let mut in_use: Vec<_> = keys
        .iter()
        .filter(|(name, key)| named.contains(*name) || serves(key))
        .map(|(name, key)| (*name, key))
        .collect();
    in_use.sort_by(|a, b| a.1.age.cmp(&b.1.age));
    in_use
}

/// Every target in use, with the patterns that its routes may be asked for.
fn asked<'d, 'a>(drafts: &'d [Draft<'a>], place_of: &BTreeMap<Name<'a>, usize>) -> BTreeMap<Key<'a>, BTreeSet<&'d ModelPattern>> {
    let mut asked: BTreeMap<Key<'a>, BTreeSet<&'d ModelPattern>> = BTreeMap::new();
    for draft in drafts {
        for candidate in draft.rules.iter().flat_map(|rule| &rule.candidates) {
            if let Some(provider) = place_of.get(&candidate.key) {
                asked.entry((*provider, candidate.model)).or_default().extend(&draft.models);
            }
        }
    }
    asked
}

fn target((provider, model): Key<'_>, in_use: &[(Name<'_>, &Resolved<'_>)], patterns: &BTreeSet<&ModelPattern>) -> Option<Target> {
    let (_, key) = in_use.get(provider)?;
    let Provider { label, provider: kind, .. } = &key.provider;
    Some(Target {
        provider,
        label: format!("{label}/{}", model.unwrap_or("*")),
        model: match model {
            Some(name) => TargetModel::Fixed {
                name: name.to_owned(),
                facts: key.prices.facts(kind, name).unwrap_or_else(ModelFacts::default),
            },
            None => TargetModel::AsAsked {
                facts: key.prices.covered(kind, patterns.iter().copied()),
            },
        },
    })
}
