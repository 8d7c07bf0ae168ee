//! What is known of the cluster: the stores, the watches that fill them, and whom a change concerns. Secrets and ConfigMaps are watched by
//! metadata alone; whoever needs their content reads it when it is needed.

mod reach;
mod watches;

pub(crate) use reach::{Reach, shared};
pub(crate) use watches::watch;

use crate::store::Store;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Secret},
    rbac::v1::RoleBinding,
};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use outrigger_config::v1alpha1::{ModelRoute, ProviderKey};

/// A route, or why it is none.
pub(crate) type AnyRoute = DeserializeGuard<ModelRoute>;
/// A key, or why it is none.
pub(crate) type AnyKey = DeserializeGuard<ProviderKey>;

/// The objects that routing depends on.
pub(crate) struct Cluster {
    pub(crate) routes: Store<AnyRoute>,
    pub(crate) keys: Store<AnyKey>,
    pub(crate) namespaces: Store<PartialObjectMeta<Namespace>>,
    pub(crate) secrets: Store<PartialObjectMeta<Secret>>,
    pub(crate) config_maps: Store<PartialObjectMeta<ConfigMap>>,
    /// Ours alone. Nothing is decided on them: they are looked at when they are written.
    pub(crate) bindings: Store<PartialObjectMeta<RoleBinding>>,
}

impl Cluster {
    /// Nothing is known yet. `scopes` is how many watches there are of each kind.
    pub(crate) fn new(scopes: usize) -> Self {
        Self {
            routes: Store::new(scopes),
            keys: Store::new(scopes),
            namespaces: Store::new(scopes),
            secrets: Store::new(scopes),
            config_maps: Store::new(scopes),
            bindings: Store::new(scopes),
        }
    }

    /// Whether everything that decisions are made on is known.
    pub(crate) fn synced(&self) -> bool {
        self.routes.synced() && self.keys.synced() && self.namespaces.synced() && self.secrets.synced() && self.config_maps.synced()
    }
}
