//! Whom a change concerns: the namespaces whose desired state may differ after it. Rather one too many than one forgotten.

use super::{AnyKey, AnyRoute, Cluster};
use crate::{
    desired::{INJECT, JOURNAL, Journal},
    store::Change,
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Secret},
    rbac::v1::RoleBinding,
};
use kube::{Resource, ResourceExt, core::PartialObjectMeta};
use outrigger_config::v1alpha1::{ModelRoute, NamespacesFrom, ProviderKey};
use outrigger_snapshot::{CONFIG_MAP_NAME, SECRET_NAME};
use std::{collections::BTreeSet, sync::Arc};

/// Looks through what is known.
pub(crate) struct Reach<'a>(pub(crate) &'a Cluster);

impl Reach<'_> {
    /// A route concerns its namespace, and all of them where it is or was shared, or cannot be read.
    pub(crate) fn of_route(&self, change: &Change<AnyRoute>) -> BTreeSet<String> {
        if only_status(change) {
            return BTreeSet::new();
        }
        let mut concerned = BTreeSet::new();
        for route in both(change) {
            concerned.extend(route.namespace());
            if route.0.as_ref().map_or(true, shared) {
                concerned.extend(self.all());
            }
        }
        concerned
    }

    /// A key concerns its namespace and those whose routes name it.
    pub(crate) fn of_key(&self, change: &Change<AnyKey>) -> BTreeSet<String> {
        if only_status(change) {
            return BTreeSet::new();
        }
        both(change)
            .flat_map(|key| self.users(&key.namespace().unwrap_or_default(), &key.name_any()))
            .collect()
    }

    /// A Secret concerns those who use a key that names it; the one with our bytes its namespace, and the homes of the keys in it.
    pub(crate) fn of_secret(&self, change: &Change<PartialObjectMeta<Secret>>) -> BTreeSet<String> {
        let (namespace, name) = named(change);
        if name == SECRET_NAME {
            let journals = both(change).map(|secret| Journal::from_annotation(secret.annotations().get(JOURNAL).map(String::as_str)));
            let homes = journals
                .flat_map(|journal| journal.0.into_keys())
                .filter_map(|id| Some(id.split_once('/')?.0.to_owned()));
            return homes.chain([namespace]).collect();
        }
        self.users_of_keys(&namespace, |key| key.spec.keys.iter().any(|entry| entry.secret_ref.name == name))
    }

    /// A ConfigMap concerns those who use a key whose certificates it holds; ours its namespace.
    pub(crate) fn of_config_map(&self, change: &Change<PartialObjectMeta<ConfigMap>>) -> BTreeSet<String> {
        let (namespace, name) = named(change);
        if name == CONFIG_MAP_NAME {
            return [namespace].into();
        }
        self.users_of_keys(&namespace, |key| {
            let bundle = key.spec.endpoint.as_ref().and_then(|endpoint| endpoint.ca_bundle.as_ref());
            bundle.is_some_and(|bundle| bundle.config_map_ref.name == name)
        })
    }

    /// Every namespace that something is or should be in: what a new leader looks at.
    pub(crate) fn start(&self) -> BTreeSet<String> {
        let cluster = self.0;
        let ours = |meta: &str| meta == CONFIG_MAP_NAME || meta == SECRET_NAME;
        let labelled = cluster
            .namespaces
            .pick(|each| each.labels().get(INJECT).is_some_and(|value| value == "true"));
        let routes = cluster.routes.pick(|_| true);
        let all = routes.iter().any(|route| route.0.as_ref().map_or(true, shared));
        let mut found: BTreeSet<String> = labelled.iter().map(|namespace| namespace.name_any()).collect();
        found.extend(routes.iter().filter_map(|route| route.namespace()));
        found.extend(cluster.keys.pick(|_| true).iter().filter_map(|key| key.namespace()));
        found.extend(
            cluster
                .secrets
                .pick(|each| ours(&each.name_any()))
                .iter()
                .filter_map(|each| each.namespace()),
        );
        found.extend(
            cluster
                .config_maps
                .pick(|each| ours(&each.name_any()))
                .iter()
                .filter_map(|each| each.namespace()),
        );
        if all {
            found.extend(self.all());
        }
        found
    }

    /// Those who use the keys of `home` that `wanted` picks.
    fn users_of_keys(&self, home: &str, wanted: impl Fn(&ProviderKey) -> bool) -> BTreeSet<String> {
        let keys = self
            .0
            .keys
            .pick(|key| key.meta().namespace.as_deref() == Some(home) && key.0.as_ref().is_ok_and(&wanted));
        keys.iter().flat_map(|key| self.users(home, &key.name_any())).collect()
    }

    /// The home of a key and the namespaces of routes that name it.
    fn users(&self, home: &str, name: &str) -> BTreeSet<String> {
        let routes = self
            .0
            .routes
            .pick(|route| route.0.as_ref().is_ok_and(|route| names(route, home, name)));
        let mut users: BTreeSet<String> = [home.to_owned()].into();
        for route in &routes {
            users.extend(route.namespace());
            if route.0.as_ref().is_ok_and(shared) {
                users.extend(self.all());
            }
        }
        users
    }

    fn all(&self) -> Vec<String> {
        self.0
            .namespaces
            .pick(|_| true)
            .iter()
            .map(|namespace| namespace.name_any())
            .collect()
    }
}

/// A namespace concerns itself.
pub(crate) fn of_namespace(_: &Reach<'_>, change: &Change<PartialObjectMeta<Namespace>>) -> BTreeSet<String> {
    both(change).map(|namespace| namespace.name_any()).collect()
}

/// A RoleBinding of ours that is gone, or is not as it was, concerns its namespace; one that is seen for the first time is nobody's news.
pub(crate) fn of_binding(_: &Reach<'_>, change: &Change<PartialObjectMeta<RoleBinding>>) -> BTreeSet<String> {
    change.old.iter().filter_map(|binding| binding.namespace()).collect()
}

/// Whether other namespaces may get a route.
pub(crate) fn shared(route: &ModelRoute) -> bool {
    route.spec.namespaces.from != NamespacesFrom::Same
}

/// Whether a route names a key.
fn names(route: &ModelRoute, home: &str, name: &str) -> bool {
    let own = route.metadata.namespace.as_deref().unwrap_or_default();
    let mut named = route.spec.key_refs();
    named.any(|key_ref| key_ref.name == name && key_ref.namespace.as_deref().unwrap_or(own) == home)
}

fn both<K>(change: &Change<K>) -> impl Iterator<Item = &Arc<K>> {
    change.old.iter().chain(&change.new)
}

fn named<K: Resource>(change: &Change<K>) -> (String, String) {
    let meta = both(change).next().map(|object| object.meta());
    let part = |text: Option<&String>| text.cloned().unwrap_or_default();
    (
        part(meta.and_then(|meta| meta.namespace.as_ref())),
        part(meta.and_then(|meta| meta.name.as_ref())),
    )
}

/// Our own words, and nobody else's business: the generation counts what is written under `spec`.
fn only_status<K: Resource>(change: &Change<K>) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else {
        return false;
    };
    let (old, new) = (old.meta(), new.meta());
    new.generation.is_some() && (&old.uid, old.generation) == (&new.uid, new.generation)
}
