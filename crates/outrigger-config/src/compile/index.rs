//! The objects by name: namespaces filled in, repetitions reported, routes by age. Nothing later depends on the order that they came in.

use super::{Mode, Report, Subject, visible};
use crate::{
    diagnostics::{Origins, Reason, quoted},
    objects::{ConfigMapObject, NamespaceObject, Objects, SecretObject, Sourced},
    v1alpha1::{ModelRoute, ProviderKey, rules},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// Namespace and name.
pub(super) type Name<'a> = (&'a str, &'a str);

/// A custom resource with its resolved name.
pub(super) struct Named<'a, T> {
    pub(super) name: Name<'a>,
    pub(super) object: &'a T,
    pub(super) origins: Option<&'a Origins>,
    /// Smaller is older. Objects without a timestamp come last, by name.
    pub(super) age: Age<'a>,
    kind: &'static str,
}

/// What decides between two objects: `(has no timestamp, timestamp, name)`.
pub(super) type Age<'a> = (bool, String, Name<'a>);

pub(super) struct Index<'a> {
    /// The namespace that is compiled.
    pub(super) namespace: &'a str,
    pub(super) mode: Mode,
    /// The routes that it gets and that obey every rule: its own, then those that others share with it, each oldest first.
    pub(super) routes: Vec<Named<'a, ModelRoute>>,
    /// The keys of every namespace.
    pub(super) keys: BTreeMap<Name<'a>, Named<'a, ProviderKey>>,
    pub(super) secrets: BTreeMap<Name<'a>, &'a SecretObject>,
    pub(super) config_maps: BTreeMap<Name<'a>, &'a ConfigMapObject>,
    pub(super) namespaces: BTreeMap<&'a str, &'a NamespaceObject>,
    /// Keys that exist but could not be read.
    pub(super) rejected_keys: BTreeSet<Name<'a>>,
}

impl<T> Named<'_, T> {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            kind: self.kind,
            namespace: self.name.0,
            name: self.name.1,
            origins: self.origins,
        }
    }
}

impl<'a> Index<'a> {
    pub(super) fn new(objects: &'a Objects, namespace: &'a str, mode: Mode, report: &mut Report) -> Self {
        let of = |own: &'a Option<String>| own.as_deref().unwrap_or(namespace);
        let routes = named("ModelRoute", &objects.routes, namespace, |route| &route.metadata, report);
        let secret = |secret: &'a SecretObject| (of(&secret.namespace), secret.name.as_str());
        let config_map = |map: &'a ConfigMapObject| (of(&map.namespace), map.name.as_str());
        let rejected = objects.rejected.iter().filter(|rejected| rejected.kind == "ProviderKey");
        let mut index = Self {
            namespace,
            mode,
            routes: Vec::new(),
            keys: named("ProviderKey", &objects.keys, namespace, |key| &key.metadata, report),
            secrets: plain("Secret", &objects.secrets, secret, report),
            config_maps: plain("ConfigMap", &objects.config_maps, config_map, report),
            namespaces: objects
                .namespaces
                .iter()
                .map(|each| (each.object.name.as_str(), &each.object))
                .collect(),
            rejected_keys: rejected.map(|rejected| (of(&rejected.namespace), rejected.name.as_str())).collect(),
        };
        let mut routes: Vec<_> = routes.into_values().collect();
        routes.retain(|route| visible::shared(&index, route, report) && obeys(route, rules::MODEL_ROUTE, report));
        routes.sort_by(|a, b| (a.name.0 != namespace, &a.age).cmp(&(b.name.0 != namespace, &b.age)));
        index.routes = routes;
        index
    }
}

/// Whether an object obeys every rule; what it breaks is reported.
pub(super) fn obeys<T: Serialize>(named: &Named<'_, T>, table: &'static [rules::Rule], report: &mut Report) -> bool {
    let value = serde_json::to_value(named.object).unwrap_or_default();
    let violations = rules::violations(table, &value);
    for violation in &violations {
        let message = match &violation.found {
            Some(found) => format!("{}: {}", quoted(found), violation.rule.wrong),
            None => violation.rule.wrong.to_owned(),
        };
        report.error(
            named.subject(),
            Reason::InvalidSpec,
            &violation.field,
            message,
            violation.rule.instead,
        );
    }
    violations.is_empty()
}

/// Custom resources by name. Of two with one name, the one that was written first stays.
fn named<'a, T: Serialize>(
    kind: &'static str,
    objects: &'a [Sourced<T>],
    namespace: &'a str,
    meta: impl Fn(&'a T) -> &'a ObjectMeta,
    report: &mut Report,
) -> BTreeMap<Name<'a>, Named<'a, T>> {
    let mut all: Vec<Named<'a, T>> = objects
        .iter()
        .map(|sourced| {
            let meta = meta(&sourced.object);
            let name = (
                meta.namespace.as_deref().unwrap_or(namespace),
                meta.name.as_deref().unwrap_or_default(),
            );
            let created = meta
                .creation_timestamp
                .as_ref()
                .map(|time| serde_json::to_string(time).unwrap_or_default());
            Named {
                name,
                object: &sourced.object,
                origins: sourced.origins.as_ref(),
                age: (created.is_none(), created.unwrap_or_default(), name),
                kind,
            }
        })
        .collect();
    // The content decides between two of one name that came from nowhere, so that the order they came in does not.
    let content = |named: &Named<'_, T>| serde_json::to_string(named.object).unwrap_or_default();
    all.sort_by(|a, b| {
        (a.name, a.origins)
            .cmp(&(b.name, b.origins))
            .then_with(|| content(a).cmp(&content(b)))
    });
    let mut by_name = BTreeMap::new();
    for named in all {
        match by_name.entry(named.name) {
            Entry::Vacant(place) => {
                place.insert(named);
            }
            Entry::Occupied(first) => repeated(named.subject(), first.get().origins, report),
        }
    }
    by_name
}

/// Objects without a Kubernetes type of their own, by name.
fn plain<'a, T>(
    kind: &'static str,
    objects: &'a [Sourced<T>],
    name: impl Fn(&'a T) -> Name<'a>,
    report: &mut Report,
) -> BTreeMap<Name<'a>, &'a T> {
    let mut all: Vec<_> = objects.iter().collect();
    all.sort_by_key(|sourced| &sourced.origins);
    let mut by_name: BTreeMap<Name<'a>, &'a Sourced<T>> = BTreeMap::new();
    for sourced in all {
        let (namespace, name) = name(&sourced.object);
        match by_name.entry((namespace, name)) {
            Entry::Vacant(place) => {
                place.insert(sourced);
            }
            Entry::Occupied(first) => {
                let origins = sourced.origins.as_ref();
                repeated(
                    Subject {
                        kind,
                        namespace,
                        name,
                        origins,
                    },
                    first.get().origins.as_ref(),
                    report,
                );
            }
        }
    }
    by_name.into_iter().map(|(name, sourced)| (name, &sourced.object)).collect()
}

fn repeated(about: Subject<'_>, first: Option<&Origins>, report: &mut Report) {
    let message = match first {
        Some(first) => format!("this object is there already, in {}", first.of("")),
        None => "this object is there twice".to_owned(),
    };
    report.error(
        about,
        Reason::Duplicate,
        "",
        message,
        "remove one of them, or give it another name or namespace",
    );
}
