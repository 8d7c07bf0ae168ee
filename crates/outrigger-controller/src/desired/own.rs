//! The namespace's own keys that nothing in it uses: they are asked about all the same, so that a key says whether it is valid before a route
//! names it, and where only other namespaces use it.

use super::{
    Inputs, Request,
    distribute::{by_name, finding, owner, parts, request, rules, settled, sources},
};
use crate::rotation::Finding;
use outrigger_config::{
    compile::{Mode, compile_for},
    objects::{Objects, Sourced},
    v1alpha1::{Balance, KeyRef, ModelRoute, ModelRouteSpec, Namespaces, Rule, Target},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of them.
#[derive(Default)]
pub(super) struct OwnKeys {
    /// By key id: the version that its source holds, and what its provider says of it.
    pub(super) sources: BTreeMap<String, (String, Finding)>,
    pub(super) requests: Vec<Request>,
}

/// Looks at the own keys that `in_use` does not name.
pub(super) fn own_keys<'i>(inputs: &Inputs, in_use: impl Iterator<Item = &'i String>) -> OwnKeys {
    let used: BTreeSet<(&str, &str)> = in_use.filter_map(|id| owner(id)).collect();
    let own = inputs.objects.keys.iter().filter(|key| {
        let meta = &key.object.metadata;
        let name = (
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        );
        name.0 == inputs.namespace && !used.contains(&name)
    });
    let keys: Vec<_> = own.cloned().collect();
    if keys.is_empty() {
        return OwnKeys::default();
    }
    // The compile step resolves what a route names.
    let objects = Objects {
        routes: keys
            .iter()
            .filter_map(|key| Some(probe(&inputs.namespace, key.object.metadata.name.as_deref()?)))
            .collect(),
        keys,
        secrets: inputs.objects.secrets.clone(),
        config_maps: inputs.objects.config_maps.clone(),
        namespaces: inputs.objects.namespaces.clone(),
        rejected: Vec::new(),
    };
    let compiled = compile_for(&objects, &inputs.namespace, Mode::Cluster);
    let (bytes, names) = (sources(&compiled), by_name(&inputs.objects));
    let mut out = OwnKeys::default();
    for provider in &compiled.table.providers {
        for ring in &provider.ring {
            let id = parts(&ring.id).0;
            let Some((version, key)) = bytes.get(id).copied() else { continue };
            let object = owner(id).and_then(|owner| names.get(&owner)).copied();
            let finding = finding(inputs, object, id, version, provider);
            if rules(object).verify && !settled(finding) {
                out.requests.push(request(id, version, provider, key));
            }
            out.sources.insert(id.to_owned(), (version.to_owned(), finding));
        }
    }
    out
}

fn probe(namespace: &str, key: &str) -> Sourced<ModelRoute> {
    let target = Target {
        key_ref: KeyRef {
            name: key.to_owned(),
            namespace: None,
        },
        model: None,
        priority: 0,
        weight: 1,
        timeouts: None,
    };
    let spec = ModelRouteSpec {
        models: vec![format!("probe-{key}").chars().take(128).collect()],
        namespaces: Namespaces::default(),
        baseline: None,
        rules: vec![Rule {
            name: "probe".to_owned(),
            when: None,
            targets: vec![target],
            balance: Balance::Weighted,
        }],
        last_resort: Vec::new(),
        residency: None,
        timeouts: None,
        attempts: None,
        breaker: None,
    };
    let mut route = ModelRoute::new(key, spec);
    route.metadata.namespace = Some(namespace.to_owned());
    route.into()
}
