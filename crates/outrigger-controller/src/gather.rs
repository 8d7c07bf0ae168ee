//! Reads all that a namespace's desired state depends on: objects from the stores, bytes from the API server.
//!
//! What was read before is used again while its metadata says that it is the same; where a decision moves keys, everything is read anew, so that
//! a watch that lags can never bring an old key back.

use crate::{
    cluster::{AnyKey, AnyRoute, Cluster, shared},
    desired::{HeldSecret, Inputs, JOURNAL, Journal, Unreadable},
    store::Name,
    verify::Verifier,
    webhook::REQUESTED,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    core::NamespaceResourceScope,
};
use outrigger_config::{
    objects::{ConfigMapObject, Datum, NamespaceObject, ORIGINS, Objects, Rejected, SecretObject, Sourced},
    v1alpha1::{ModelRoute, ProviderKey},
};
use outrigger_snapshot::{CONFIG_MAP_NAME, SECRET_NAME};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// Reads at a time.
const AT_ONCE: usize = 16;

/// Objects that are remembered.
const MOST_REMEMBERED: usize = 4_096;

/// How much may be answered from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What is unchanged by its metadata.
    Remembered,
    /// Nothing.
    Read,
}

/// Reads for one process.
pub(crate) struct Gatherer {
    pub(crate) client: Client,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) verifier: Arc<Verifier>,
    /// Secrets and ConfigMaps as they were read, by what their metadata said.
    secrets: Memory<SecretObject>,
    config_maps: Memory<ConfigMapObject>,
}

/// What was gathered, and what a write has to start from.
pub(crate) struct Gathered {
    pub(crate) inputs: Inputs,
    pub(crate) secret: Option<Secret>,
    pub(crate) config_map: Option<ConfigMap>,
}

type Memory<T> = Mutex<BTreeMap<Name, (String, T)>>;

impl Gatherer {
    pub(crate) fn new(client: Client, cluster: Arc<Cluster>, verifier: Arc<Verifier>) -> Self {
        Self {
            client,
            cluster,
            verifier,
            secrets: Memory::default(),
            config_maps: Memory::default(),
        }
    }

    pub(crate) async fn gather(&self, namespace: &str, freshness: Freshness, now: u64) -> kube::Result<Gathered> {
        let (routes, keys) = self.objects(namespace);
        let (secret_names, map_names) = named(&keys);
        let secret_api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let map_api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let (secrets, config_maps, secret, config_map, unreadable) = futures_util::try_join!(
            self.read_secrets(secret_names, freshness),
            self.read_config_maps(map_names, freshness),
            secret_api.get_opt(SECRET_NAME),
            map_api.get_opt(CONFIG_MAP_NAME),
            self.unreadable(namespace),
        )?;
        let homes: BTreeSet<String> = routes
            .iter()
            .filter_map(ResourceExt::namespace)
            .chain([namespace.to_owned()])
            .collect();
        let mut fresh_mac = [0_u8; 32];
        // Without randomness there is no key, and so no publication.
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut fresh_mac);
        random.map_err(|_| kube::Error::Service("the system gives no random bytes".into()))?;
        let ids: BTreeSet<(String, String)> = keys
            .iter()
            .map(|key| (key.namespace().unwrap_or_default(), key.name_any()))
            .collect();
        let inputs = Inputs {
            namespace: namespace.to_owned(),
            now,
            terminating: self.terminating(namespace),
            secret: secret.as_ref().map(held),
            published: config_map.as_ref().map(|map| map.data.clone().unwrap_or_default()),
            findings: self.verifier.findings(|id| {
                let mut parts = id.splitn(3, '/').map(str::to_owned);
                parts.next().zip(parts.next()).is_some_and(|owner| ids.contains(&owner))
            }),
            elsewhere: self.elsewhere(namespace),
            objects: Objects {
                routes: routes.into_iter().map(Sourced::from).collect(),
                keys: keys.iter().cloned().map(Sourced::from).collect(),
                secrets,
                config_maps,
                namespaces: homes.iter().filter_map(|home| self.namespace(home)).map(Sourced::from).collect(),
                rejected: self.rejected(),
            },
            unreadable,
            fresh_mac,
        };
        Ok(Gathered {
            inputs,
            secret,
            config_map,
        })
    }

    /// Routes that the namespace may get, and the keys that they or the namespace's owner may mean.
    fn objects(&self, namespace: &str) -> (Vec<ModelRoute>, Vec<ProviderKey>) {
        let own = |meta: Option<&str>| meta == Some(namespace);
        let concerns = |route: &AnyRoute| {
            let route = route.0.as_ref();
            route.is_ok_and(|route| own(route.metadata.namespace.as_deref()) || shared(route))
        };
        let routes: Vec<ModelRoute> = self
            .cluster
            .routes
            .pick(concerns)
            .iter()
            .filter_map(|route| route.0.as_ref().ok().cloned())
            .collect();
        let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
        for route in &routes {
            let home = route.metadata.namespace.as_deref().unwrap_or_default();
            wanted.extend(route.spec.key_refs().map(|key_ref| {
                let home = key_ref.namespace.as_deref().unwrap_or(home);
                (home.to_owned(), key_ref.name.clone())
            }));
        }
        let mine = self.cluster.keys.pick(|key: &AnyKey| own(key.meta().namespace.as_deref()));
        wanted.extend(mine.iter().map(|key| (namespace.to_owned(), key.name_any())));
        let found = wanted.iter().filter_map(|(home, name)| self.cluster.keys.find(home, name));
        (routes, found.filter_map(|key| key.0.as_ref().ok().cloned()).collect())
    }

    async fn read_secrets(&self, names: BTreeSet<Name>, freshness: Freshness) -> kube::Result<Vec<Sourced<SecretObject>>> {
        let known = |(namespace, name): &Name| self.cluster.secrets.find(namespace, name).and_then(|meta| meta.resource_version());
        let read = names.into_iter().map(|name| {
            let known = known(&name).filter(|_| freshness == Freshness::Remembered);
            read(&self.client, &self.secrets, name, known, secret_object)
        });
        let all: Vec<Option<SecretObject>> = stream::iter(read).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(all.into_iter().flatten().map(Sourced::from).collect())
    }

    async fn read_config_maps(&self, names: BTreeSet<Name>, freshness: Freshness) -> kube::Result<Vec<Sourced<ConfigMapObject>>> {
        let known = |(namespace, name): &Name| {
            self.cluster
                .config_maps
                .find(namespace, name)
                .and_then(|meta| meta.resource_version())
        };
        let read = names.into_iter().map(|name| {
            let known = known(&name).filter(|_| freshness == Freshness::Remembered);
            read(&self.client, &self.config_maps, name, known, config_map_object)
        });
        let all: Vec<Option<ConfigMapObject>> = stream::iter(read).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(all.into_iter().flatten().map(Sourced::from).collect())
    }

    /// The objects that cannot be read: they may be shared, or lent. Of the namespace's own also what their status says.
    async fn unreadable(&self, namespace: &str) -> kube::Result<Vec<Unreadable>> {
        let routes = self.cluster.routes.pick(|route: &AnyRoute| route.0.is_err());
        let routes = routes
            .iter()
            .filter_map(|route| route.0.as_ref().err())
            .map(|bad| ("ModelRoute", bad));
        let keys = self.cluster.keys.pick(|key: &AnyKey| key.0.is_err());
        let keys = keys.iter().filter_map(|key| key.0.as_ref().err()).map(|bad| ("ProviderKey", bad));
        let mut found = Vec::new();
        for (kind, bad) in routes.chain(keys) {
            let own = bad.metadata.namespace.as_deref() == Some(namespace);
            let mut unreadable = Unreadable {
                kind,
                metadata: bad.metadata.clone(),
                error: bad.error.clone(),
                conditions: Vec::new(),
            };
            if own {
                let resource = if kind == "ModelRoute" {
                    ApiResource::erase::<ModelRoute>(&())
                } else {
                    ApiResource::erase::<ProviderKey>(&())
                };
                let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
                let raw = api.get_opt(bad.metadata.name.as_deref().unwrap_or_default()).await?;
                let conditions = raw.and_then(|raw| raw.data.pointer("/status/conditions").cloned());
                unreadable.conditions = conditions
                    .and_then(|conditions| serde_json::from_value(conditions).ok())
                    .unwrap_or_default();
            }
            found.push(unreadable);
        }
        Ok(found)
    }

    fn rejected(&self) -> Vec<Rejected> {
        let bad = self.cluster.keys.pick(|key: &AnyKey| key.0.is_err());
        bad.iter()
            .map(|key| Rejected {
                kind: "ProviderKey",
                namespace: key.namespace(),
                name: key.name_any(),
            })
            .collect()
    }

    fn terminating(&self, namespace: &str) -> bool {
        let own = self.cluster.namespaces.find("", namespace);
        own.is_none_or(|own| own.metadata.deletion_timestamp.is_some())
    }

    fn namespace(&self, name: &str) -> Option<NamespaceObject> {
        let found = self.cluster.namespaces.find("", name)?;
        Some(NamespaceObject {
            name: name.to_owned(),
            labels: found.labels().clone(),
        })
    }

    /// How far this namespace's keys are in others.
    fn elsewhere(&self, namespace: &str) -> Vec<Journal> {
        let prefix = format!("{namespace}/");
        let others = self
            .cluster
            .secrets
            .pick(|secret| secret.metadata.name.as_deref() == Some(SECRET_NAME) && secret.metadata.namespace.as_deref() != Some(namespace));
        let journals = others
            .iter()
            .map(|secret| Journal::from_annotation(secret.annotations().get(JOURNAL).map(String::as_str)));
        journals
            .map(|journal| Journal(journal.0.into_iter().filter(|(id, _)| id.starts_with(&prefix)).collect()))
            .filter(|journal| !journal.0.is_empty())
            .collect()
    }
}

/// The Secrets and ConfigMaps that keys name.
fn named(keys: &[ProviderKey]) -> (BTreeSet<Name>, BTreeSet<Name>) {
    let (mut secrets, mut maps) = (BTreeSet::new(), BTreeSet::new());
    for key in keys {
        let home = key.namespace().unwrap_or_default();
        secrets.extend(key.spec.keys.iter().map(|entry| (home.clone(), entry.secret_ref.name.clone())));
        let bundle = key.spec.endpoint.as_ref().and_then(|endpoint| endpoint.ca_bundle.as_ref());
        maps.extend(bundle.map(|bundle| (home.clone(), bundle.config_map_ref.name.clone())));
    }
    (secrets, maps)
}

/// What may not be read is as good as not there: it must not hold the rest of the namespace up.
fn forgiving<T>(read: kube::Result<Option<T>>, namespace: &str, name: &str) -> kube::Result<Option<T>> {
    match read {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(namespace, name, "this process may not read it");
            Ok(None)
        }
        read => read,
    }
}

/// One object: from memory where its metadata says that it is `known`, else from the API server.
async fn read<K, T: Clone>(
    client: &Client,
    memory: &Memory<T>,
    (namespace, name): Name,
    known: Option<String>,
    convert: impl Fn(&K) -> T,
) -> kube::Result<Option<T>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let remembered = recall(memory, &namespace, &name, known.as_deref());
    if remembered.is_some() {
        return Ok(remembered);
    }
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let found = forgiving(api.get_opt(&name).await, &namespace, &name)?;
    let version = found.as_ref().and_then(ResourceExt::resource_version);
    let object = found.as_ref().map(convert);
    remember(memory, &namespace, &name, version, object.as_ref());
    Ok(object)
}

fn recall<T: Clone>(memory: &Memory<T>, namespace: &str, name: &str, version: Option<&str>) -> Option<T> {
    let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let (known, object) = memory.get(&(namespace.to_owned(), name.to_owned()))?;
    (Some(known.as_str()) == version).then(|| object.clone())
}

fn remember<T: Clone>(memory: &Memory<T>, namespace: &str, name: &str, version: Option<String>, object: Option<&T>) {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (namespace.to_owned(), name.to_owned());
    if memory.len() >= MOST_REMEMBERED {
        memory.clear();
    }
    match version.zip(object.cloned()) {
        Some(known) => memory.insert(key, known),
        None => memory.remove(&key),
    };
}

/// A Secret as the compile step takes it.
pub(crate) fn secret_object(secret: &Secret) -> SecretObject {
    let origins = secret.annotations().get(ORIGINS).map(String::as_str).unwrap_or_default();
    let datum = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Datum::Text(outrigger_core::Secret::new(text.to_owned())),
        Err(_) => Datum::Binary,
    };
    SecretObject {
        namespace: secret.namespace(),
        name: secret.name_any(),
        origins: origins
            .split(',')
            .map(str::trim)
            .filter(|origin| !origin.is_empty())
            .map(str::to_owned)
            .collect(),
        data: secret
            .data
            .iter()
            .flatten()
            .map(|(key, bytes)| (key.clone(), datum(&bytes.0)))
            .collect(),
    }
}

/// A ConfigMap as the compile step takes it.
pub(crate) fn config_map_object(map: &ConfigMap) -> ConfigMapObject {
    ConfigMapObject {
        namespace: map.namespace(),
        name: map.name_any(),
        data: map.data.clone().unwrap_or_default(),
    }
}

/// Our Secret as the desired state takes it.
pub(crate) fn held(secret: &Secret) -> HeldSecret {
    HeldSecret {
        data: secret
            .data
            .iter()
            .flatten()
            .map(|(name, bytes)| (name.clone(), Zeroizing::new(bytes.0.clone())))
            .collect(),
        journal: secret.annotations().get(JOURNAL).cloned(),
        requested: secret.annotations().contains_key(REQUESTED),
    }
}
