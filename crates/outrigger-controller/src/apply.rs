//! Makes the desired state true: server-side apply, no call where nothing differs, and always on the version that was read, so that a writer
//! who was asleep conflicts instead of overwriting.
//!
//! Bytes arrive before the document that speaks of them and leave after it. What is revoked is never held up by what cannot be written.

mod objects;

use crate::{desired::Publication, gather::Gathered};
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Secret},
        rbac::v1::{ClusterRole, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use objects::Frame;
pub(crate) use objects::ROLE;
use outrigger_snapshot::{CONFIG_MAP_NAME, SECRET_NAME};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Debug};

/// The name under which fields are owned.
pub(crate) const MANAGER: &str = "outrigger";

/// Who writes, and whether it still may.
pub(crate) struct Writer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) may_write: &'a (dyn Fn() -> bool + Sync),
}

/// Why the desired state is not true yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// Somebody else wrote first: look again.
    #[error("somebody else has written {0}")]
    Conflict(&'static str),
    /// This replica is not the one that writes any more.
    #[error("this replica no longer writes")]
    NotLeader,
    /// The API server refuses, or is not there.
    #[error("cannot write {0}: {1}")]
    Failed(&'static str, #[source] Box<kube::Error>),
}

/// Whether the namespace's pods may watch what was published.
#[derive(Debug)]
pub(crate) enum Bound {
    /// As before.
    Before,
    /// Again: somebody had taken it away.
    Again,
    /// Not, and that holds nothing else up: sidecars have their mounts.
    Not(ApplyError),
}

/// The ClusterRole that owns all we write, where it is there: when the chart goes, the cluster collects what it owns.
pub(crate) async fn owner(client: &Client) -> kube::Result<Option<OwnerReference>> {
    let role = Api::<ClusterRole>::all(client.clone()).get_opt(ROLE).await?;
    Ok(role.and_then(|role| role.owner_ref(&())))
}

impl Writer<'_> {
    /// Publishes.
    pub(crate) async fn publish(&self, namespace: &str, found: &Gathered, publication: &Publication) -> Result<Bound, ApplyError> {
        let owner = self.owner().await?;
        let frame = Frame {
            namespace,
            owner: owner.as_ref(),
        };
        let bound = match self.binding(&frame).await {
            // The first one of a namespace is made with the rest.
            Ok(true) if found.config_map.is_some() => Bound::Again,
            Ok(_) => Bound::Before,
            Err(error @ ApplyError::Failed(..)) => Bound::Not(error),
            Err(error) => return Err(error),
        };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);

        // First what is new beside what is there, then the document, then only what is wanted.
        let both = objects::with_what_is_there(publication, found.secret.as_ref());
        let wanted = frame.secret(publication, &publication.secret);
        let grown = frame.secret(publication, &both);
        let mut now = found.secret.clone();
        let mut failed = None;
        if objects::adds(publication, found.secret.as_ref()) {
            match self.set(&secrets, "Secret", SECRET_NAME, now.as_ref(), &grown).await {
                Ok(written) => now = Some(written),
                // The document may carry a revocation, which waits for nothing.
                Err(ApplyError::Failed(what, error)) => failed = Some(ApplyError::Failed(what, error)),
                Err(error) => return Err(error),
            }
        }
        let map = frame.config_map(publication);
        if !objects::same(found.config_map.as_ref(), &map) {
            self.set(&maps, "ConfigMap", CONFIG_MAP_NAME, found.config_map.as_ref(), &map)
                .await?;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if !objects::same(now.as_ref(), &wanted) {
            self.set(&secrets, "Secret", SECRET_NAME, now.as_ref(), &wanted).await?;
        }
        Ok(bound)
    }

    /// Takes everything of ours out of a namespace.
    pub(crate) async fn withdraw(&self, namespace: &str, found: &Gathered) -> Result<(), ApplyError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), namespace);
        // The binding goes first: it is looked for only while there is something else.
        if found.secret.is_some() || found.config_map.is_some() {
            let binding = failed("RoleBinding", bindings.get_opt(ROLE).await)?;
            if let Some(binding) = binding.filter(objects::ours) {
                self.remove(&bindings, "RoleBinding", ROLE, &binding).await?;
            }
        }
        if let Some(map) = found.config_map.as_ref().filter(|map| objects::ours(*map)) {
            self.remove(&maps, "ConfigMap", CONFIG_MAP_NAME, map).await?;
        }
        if let Some(secret) = found.secret.as_ref().filter(|secret| objects::ours(*secret)) {
            self.remove(&secrets, "Secret", SECRET_NAME, secret).await?;
        }
        Ok(())
    }

    /// As [`owner`]; that there is none is told.
    async fn owner(&self) -> Result<Option<OwnerReference>, ApplyError> {
        let owner = failed("ClusterRole", owner(self.client).await)?;
        if owner.is_none() {
            tracing::warn!(
                role = ROLE,
                "there is no such ClusterRole: what is written now stays when the chart goes"
            );
        }
        Ok(owner)
    }

    /// Lets the namespace's pods watch the snapshot. Says whether there was no RoleBinding.
    async fn binding(&self, frame: &Frame<'_>) -> Result<bool, ApplyError> {
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), frame.namespace);
        let found = failed("RoleBinding", bindings.get_opt(ROLE).await)?;
        let wanted = frame.role_binding();
        if objects::binds_alike(found.as_ref(), &wanted) {
            return Ok(false);
        }
        // Whom a binding leads to cannot be changed, only made anew.
        if let Some(other) = found.as_ref().filter(|found| found.role_ref != wanted.role_ref) {
            self.remove(&bindings, "RoleBinding", ROLE, other).await?;
            return Err(ApplyError::Conflict("RoleBinding"));
        }
        self.set(&bindings, "RoleBinding", ROLE, found.as_ref(), &wanted).await?;
        Ok(found.is_none())
    }

    /// Server-side apply on the version that was read; then takes out what others have put beside it.
    async fn set<K>(&self, api: &Api<K>, kind: &'static str, name: &str, found: Option<&K>, wanted: &K) -> Result<K, ApplyError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
    {
        let mut wanted = wanted.clone();
        wanted.meta_mut().resource_version = found.and_then(ResourceExt::resource_version);
        self.check()?;
        let params = PatchParams::apply(MANAGER).force();
        let written = failed(kind, api.patch(name, &params, &Patch::Apply(&wanted)).await)?;
        let Some(surplus) = surplus(&written, &wanted) else {
            return Ok(written);
        };
        self.check()?;
        failed(kind, api.patch(name, &PatchParams::default(), &Patch::Merge(&surplus)).await)
    }

    async fn remove<K>(&self, api: &Api<K>, kind: &'static str, name: &str, found: &K) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.check()?;
        let params = DeleteParams::default().preconditions(Preconditions {
            resource_version: found.resource_version(),
            uid: found.uid(),
        });
        match api.delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => failed(kind, Err(error)),
        }
    }

    fn check(&self) -> Result<(), ApplyError> {
        if (self.may_write)() { Ok(()) } else { Err(ApplyError::NotLeader) }
    }
}

fn failed<T>(kind: &'static str, done: kube::Result<T>) -> Result<T, ApplyError> {
    done.map_err(|error| {
        if matches!(&error, kube::Error::Api(status) if status.code == 409) {
            return ApplyError::Conflict(kind);
        }
        ApplyError::Failed(kind, Box::new(error))
    })
}

/// The patch that removes entries of `data` that nobody wants there; `None` where there are none.
fn surplus<K: Serialize + ResourceExt>(written: &K, wanted: &K) -> Option<Value> {
    let names = |object: &K, field: &str| {
        let value = serde_json::to_value(object).unwrap_or_default();
        let data = value.get(field).and_then(Value::as_object);
        data.map(|data| data.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default()
    };
    let unwanted = |field: &str| {
        let wanted = names(wanted, field);
        let surplus = names(written, field).into_iter().filter(|name| !wanted.contains(name));
        surplus.map(|name| (name, Value::Null)).collect::<serde_json::Map<_, _>>()
    };
    let (data, binary_data) = (unwanted("data"), unwanted("binaryData"));
    if data.is_empty() && binary_data.is_empty() {
        return None;
    }
    let mut patch = serde_json::Map::from_iter([("metadata".to_owned(), json!({ "resourceVersion": written.resource_version() }))]);
    for (field, unwanted) in [("data", data), ("binaryData", binary_data)] {
        if !unwanted.is_empty() {
            patch.insert(field.to_owned(), unwanted.into());
        }
    }
    Some(patch.into())
}
