//! What fits into a ConfigMap goes out. Where a namespace's routes are too many, the youngest stay behind; what is revoked always goes.

use super::{Inputs, Prior, RouteNames};
use outrigger_core::{Route, Table};
use outrigger_snapshot::{Document, KeyState, MacKey, Sealed, seal};
use std::collections::{BTreeMap, BTreeSet};

/// What the API server takes as a ConfigMap's data, with room for the rest.
const MOST_DATA: usize = (1 << 20) - (8 << 10);

/// A document on its way out, or already out.
pub(super) struct Published {
    pub(super) document: Document,
    pub(super) generation: u64,
    pub(super) data: BTreeMap<String, String>,
    /// Compressed.
    pub(super) bytes: usize,
}

/// What goes out, and what stays behind.
#[derive(Default)]
pub(super) struct Fitted {
    pub(super) published: Option<Published>,
    pub(super) left_out: RouteNames,
}

/// Seals as much of `document` as fits. What is out already keeps its generation.
pub(super) fn fit(inputs: &Inputs, document: &Document, prior: Option<&Prior>, mac: Option<&MacKey>) -> Fitted {
    let Some(mac) = mac else { return Fitted::default() };
    let sealer = Sealer {
        prior,
        mac,
        generation: prior.map_or(0, |prior| prior.generation).saturating_add(1).max(inputs.now),
    };
    let oldest_first = oldest_first(inputs, &document.table);
    let with = |count: usize| {
        let keep: BTreeSet<&(String, String)> = oldest_first.iter().take(count).collect();
        Document {
            namespace: document.namespace.clone(),
            table: prune(&document.table, &keep),
            keys: document.keys.clone(),
        }
    };
    if let Some(published) = sealer.seal(document.clone()) {
        return Fitted {
            published: Some(published),
            left_out: RouteNames::new(),
        };
    }
    // The most routes that fit: what fits stays below `most`, what does not above.
    let (mut fits, mut most) = (0, oldest_first.len());
    while most - fits > 1 {
        let middle = usize::midpoint(fits, most);
        if sealer.seal(with(middle)).is_some() {
            fits = middle;
        } else {
            most = middle;
        }
    }
    let left_out = oldest_first.iter().skip(fits).cloned().collect();
    let published = sealer.seal(with(fits)).or_else(|| {
        let mut least = with(0);
        least.keys.retain(|key| key.state == KeyState::Revoked);
        sealer.seal(least)
    });
    Fitted {
        // Nothing fits, which no caps of the schema allow: what is out stays.
        published: published.or_else(|| prior.map(as_it_is)),
        left_out,
    }
}

struct Sealer<'a> {
    prior: Option<&'a Prior>,
    mac: &'a MacKey,
    generation: u64,
}

impl Sealer<'_> {
    /// `None` where it does not fit.
    fn seal(&self, document: Document) -> Option<Published> {
        if let Some(prior) = self.prior.filter(|prior| prior.document == document) {
            return Some(as_it_is(prior));
        }
        let sealed = seal(&document, self.generation, self.mac).ok()?;
        let data = sealed.to_data();
        let size: usize = data.iter().map(|(name, value)| name.len() + value.len()).sum();
        (size <= MOST_DATA).then(|| published(document, &sealed, data))
    }
}

fn as_it_is(prior: &Prior) -> Published {
    published(prior.document.clone(), &prior.sealed, prior.sealed.to_data())
}

fn published(document: Document, sealed: &Sealed, data: BTreeMap<String, String>) -> Published {
    Published {
        document,
        generation: sealed.generation,
        data,
        bytes: sealed.table.len(),
    }
}

/// The names of the table's routes by age; without an age they come last, by name.
fn oldest_first(inputs: &Inputs, table: &Table) -> Vec<(String, String)> {
    let readable = inputs.objects.routes.iter().map(|each| &each.object.metadata);
    let all = readable.chain(inputs.unreadable.iter().map(|each| &each.metadata));
    let created: BTreeMap<(&str, &str), _> = all
        .filter_map(|meta| {
            let name = (meta.namespace.as_deref()?, meta.name.as_deref()?);
            Some((name, meta.creation_timestamp.as_ref()?.0))
        })
        .collect();
    let age = |route: &Route| created.get(&(route.namespace.as_str(), route.name.as_str())).copied();
    let mut names: Vec<_> = table
        .routes
        .iter()
        .map(|route| (age(route), route.namespace.clone(), route.name.clone()))
        .collect();
    names.sort_by(|a, b| (a.0.is_none(), a).cmp(&(b.0.is_none(), b)));
    names.into_iter().map(|(_, namespace, name)| (namespace, name)).collect()
}

/// The table with these routes only, and with what they need.
fn prune(table: &Table, keep: &BTreeSet<&(String, String)>) -> Table {
    let mut routes = table.routes.clone();
    routes.retain(|route| keep.contains(&(route.namespace.clone(), route.name.clone())));
    let candidates = routes.iter().flat_map(|route| &route.rules).flat_map(|rule| &rule.candidates);
    let used: BTreeSet<usize> = candidates.map(|candidate| candidate.target).collect();
    let served = used.iter().filter_map(|target| Some(table.targets.get(*target)?.provider));
    let passing = table
        .providers
        .iter()
        .enumerate()
        .filter(|(_, provider)| !provider.passthrough.is_empty());
    let providers: BTreeSet<usize> = served.chain(passing.map(|(at, _)| at)).collect();
    let place = |set: &BTreeSet<usize>| set.iter().enumerate().map(|(new, old)| (*old, new)).collect::<BTreeMap<_, _>>();
    let (target_at, provider_at) = (place(&used), place(&providers));
    for candidate in routes
        .iter_mut()
        .flat_map(|route| &mut route.rules)
        .flat_map(|rule| &mut rule.candidates)
    {
        candidate.target = target_at.get(&candidate.target).copied().unwrap_or_default();
    }
    let target = |at: &usize| {
        let mut target = table.targets.get(*at)?.clone();
        target.provider = provider_at.get(&target.provider).copied().unwrap_or_default();
        Some(target)
    };
    Table {
        namespace: table.namespace.clone(),
        providers: providers.iter().filter_map(|at| table.providers.get(*at).cloned()).collect(),
        targets: used.iter().filter_map(target).collect(),
        routes,
    }
}
