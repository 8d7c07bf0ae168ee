//! What the watches have told: every object of one kind, by namespace and name, each change with what was there before. Nothing here counts as
//! known until every watch has listed all of its objects.

use kube::{Resource, runtime::watcher::Event};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Namespace (empty for what has none) and name.
pub(crate) type Name = (String, String);

/// The objects of one kind, told by one or more watches.
pub(crate) struct Store<K> {
    /// One for each watch.
    parts: Vec<Mutex<Part<K>>>,
}

struct Part<K> {
    objects: BTreeMap<Name, Arc<K>>,
    /// A listing under way.
    listing: Option<BTreeMap<Name, Arc<K>>>,
    synced: bool,
}

/// What has become of one object.
pub(crate) struct Change<K> {
    pub(crate) old: Option<Arc<K>>,
    pub(crate) new: Option<Arc<K>>,
}

impl<K: Resource> Store<K> {
    /// An empty store for so many watches.
    pub(crate) fn new(watches: usize) -> Self {
        let part = || {
            Mutex::new(Part {
                objects: BTreeMap::new(),
                listing: None,
                synced: false,
            })
        };
        Self {
            parts: (0..watches).map(|_| part()).collect(),
        }
    }

    /// Takes in what watch number `watch` has told; returns what that changes.
    pub(crate) fn take(&self, watch: usize, event: Event<K>) -> Vec<Change<K>> {
        let Some(part) = self.parts.get(watch) else { return Vec::new() };
        let mut part = lock(part);
        match event {
            Event::Apply(object) => {
                let new = Arc::new(object);
                let old = part.objects.insert(name(&*new), Arc::clone(&new));
                vec![Change { old, new: Some(new) }]
            }
            Event::Delete(object) => {
                let old = part.objects.remove(&name(&object));
                vec![Change { old, new: None }]
            }
            Event::Init => {
                part.listing = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                part.listing.get_or_insert_default().insert(name(&object), Arc::new(object));
                Vec::new()
            }
            Event::InitDone => {
                let listed = part.listing.take().unwrap_or_default();
                part.synced = true;
                let mut before = std::mem::replace(&mut part.objects, listed);
                let mut changes: Vec<Change<K>> = part
                    .objects
                    .iter()
                    .map(|(name, new)| Change {
                        old: before.remove(name),
                        new: Some(Arc::clone(new)),
                    })
                    .filter(|change| version(change.old.as_deref()) != version(change.new.as_deref()))
                    .collect();
                changes.extend(before.into_values().map(|old| Change { old: Some(old), new: None }));
                changes
            }
        }
    }

    /// Whether every watch has listed all of its objects.
    pub(crate) fn synced(&self) -> bool {
        self.parts.iter().all(|part| lock(part).synced)
    }

    /// One object.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.parts.iter().find_map(|part| lock(part).objects.get(&key).cloned())
    }

    /// Whether there is an object that `wanted` picks.
    pub(crate) fn any(&self, wanted: impl Fn(&K) -> bool) -> bool {
        self.parts
            .iter()
            .any(|part| lock(part).objects.values().any(|object| wanted(object)))
    }

    /// All objects that `wanted` picks.
    pub(crate) fn pick(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let pick = |part: &Mutex<Part<K>>| {
            lock(part)
                .objects
                .values()
                .filter(|object| wanted(object))
                .cloned()
                .collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(pick).collect()
    }
}

fn name<K: Resource>(object: &K) -> Name {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn version<K: Resource>(object: Option<&K>) -> Option<&str> {
    object.and_then(|object| object.meta().resource_version.as_deref())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn map(name: &str, version: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.namespace = Some("a".to_owned());
        map.metadata.name = Some(name.to_owned());
        map.metadata.resource_version = Some(version.to_owned());
        map
    }

    fn shown(changes: &[Change<ConfigMap>]) -> Vec<(Option<&str>, Option<&str>)> {
        changes
            .iter()
            .map(|change| (version(change.old.as_deref()), version(change.new.as_deref())))
            .collect()
    }

    #[test]
    fn a_listing_counts_when_it_is_complete_and_tells_only_what_differs() {
        let store = Store::new(1);
        store.take(0, Event::Init);
        store.take(0, Event::InitApply(map("x", "1")));
        store.take(0, Event::InitApply(map("y", "1")));
        assert!(!store.synced());
        assert!(store.find("a", "x").is_none(), "half a listing is none");
        assert_eq!(shown(&store.take(0, Event::InitDone)), [(None, Some("1")), (None, Some("1"))]);
        assert!(store.synced());
        // Listed again after a gap: x is as it was, y is gone, z is new.
        store.take(0, Event::Init);
        store.take(0, Event::InitApply(map("x", "1")));
        store.take(0, Event::InitApply(map("z", "5")));
        assert!(store.find("a", "y").is_some(), "until then the old one counts");
        assert_eq!(shown(&store.take(0, Event::InitDone)), [(None, Some("5")), (Some("1"), None)]);
    }

    #[test]
    fn all_watches_of_a_kind_must_have_listed() {
        let store: Store<ConfigMap> = Store::new(2);
        for watch in 0..2 {
            assert!(!store.synced());
            store.take(watch, Event::Init);
            store.take(watch, Event::InitDone);
        }
        assert!(store.synced());
    }

    #[test]
    fn a_change_carries_what_was_there_before() {
        let store = Store::new(1);
        store.take(0, Event::Apply(map("x", "1")));
        assert_eq!(shown(&store.take(0, Event::Apply(map("x", "2")))), [(Some("1"), Some("2"))]);
        assert_eq!(shown(&store.take(0, Event::Delete(map("x", "3")))), [(Some("2"), None)]);
    }
}
