//! The objects as they are written, and what counts as the same.

use crate::desired::{JOURNAL, Publication, SecretData};
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{ConfigMap, Secret},
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{ResourceExt, api::ObjectMeta};
use outrigger_snapshot::{CONFIG_MAP_NAME, SECRET_NAME};
use std::collections::BTreeMap;

/// The ClusterRole by which sidecars watch, and the RoleBindings to it.
pub(crate) const ROLE: &str = "outrigger-sidecar";

const LABELS: [(&str, &str); 2] = [("app.kubernetes.io/managed-by", "outrigger"), ("outrigger.dev/managed", "true")];

/// What all of a namespace's objects have in common.
pub(super) struct Frame<'a> {
    pub(super) namespace: &'a str,
    pub(super) owner: Option<&'a OwnerReference>,
}

impl Frame<'_> {
    fn metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(LABELS.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            owner_references: self.owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        }
    }

    pub(super) fn config_map(&self, publication: &Publication) -> ConfigMap {
        ConfigMap {
            metadata: self.metadata(CONFIG_MAP_NAME),
            data: Some(publication.config_map.clone()),
            ..ConfigMap::default()
        }
    }

    pub(super) fn secret(&self, publication: &Publication, data: &SecretData) -> Secret {
        let mut metadata = self.metadata(SECRET_NAME);
        metadata.annotations = Some([(JOURNAL.to_owned(), publication.journal.clone())].into());
        Secret {
            metadata,
            type_: Some("Opaque".to_owned()),
            data: Some(
                data.iter()
                    .map(|(name, bytes)| (name.clone(), ByteString(bytes.to_vec())))
                    .collect(),
            ),
            ..Secret::default()
        }
    }

    pub(super) fn role_binding(&self) -> RoleBinding {
        RoleBinding {
            metadata: self.metadata(ROLE),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "ClusterRole".to_owned(),
                name: ROLE.to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "Group".to_owned(),
                name: format!("system:serviceaccounts:{}", self.namespace),
                namespace: None,
            }]),
        }
    }
}

/// The wanted entries, and those that are there and still spoken of.
pub(super) fn with_what_is_there(publication: &Publication, found: Option<&Secret>) -> SecretData {
    let there = found.and_then(|secret| secret.data.as_ref()).into_iter().flatten();
    let mut both: SecretData = there.map(|(name, bytes)| (name.clone(), bytes.0.clone().into())).collect();
    both.extend(publication.secret.iter().map(|(name, bytes)| (name.clone(), bytes.clone())));
    both
}

/// Whether an entry is wanted that is not there.
pub(super) fn adds(publication: &Publication, found: Option<&Secret>) -> bool {
    let there = found.and_then(|secret| secret.data.as_ref());
    let missing = |(name, bytes): (&String, &zeroize::Zeroizing<Vec<u8>>)| {
        there.and_then(|there| there.get(name)).is_none_or(|there| there.0 != **bytes)
    };
    publication.secret.iter().any(missing)
}

/// Whether an object is ours to remove.
pub(super) fn ours(object: &impl ResourceExt) -> bool {
    LABELS
        .iter()
        .all(|(name, value)| object.labels().get(*name).is_some_and(|own| own == value))
}

/// The part of an object that we own.
pub(super) trait Content {
    /// Its data.
    fn content(&self) -> BTreeMap<&str, &[u8]>;
}

impl Content for ConfigMap {
    fn content(&self) -> BTreeMap<&str, &[u8]> {
        let text = self.data.iter().flatten().map(|(name, text)| (name.as_str(), text.as_bytes()));
        text.chain(
            self.binary_data
                .iter()
                .flatten()
                .map(|(name, bytes)| (name.as_str(), bytes.0.as_slice())),
        )
        .collect()
    }
}

impl Content for Secret {
    fn content(&self) -> BTreeMap<&str, &[u8]> {
        self.data
            .iter()
            .flatten()
            .map(|(name, bytes)| (name.as_str(), bytes.0.as_slice()))
            .collect()
    }
}

/// Whether what was read needs no write to become what is wanted.
pub(super) fn same<K: Content + ResourceExt>(found: Option<&K>, wanted: &K) -> bool {
    found.is_some_and(|found| found.content() == wanted.content() && framed_alike(found, wanted))
}

/// As [`same`], for a binding.
pub(super) fn binds_alike(found: Option<&RoleBinding>, wanted: &RoleBinding) -> bool {
    found.is_some_and(|found| (&found.role_ref, &found.subjects) == (&wanted.role_ref, &wanted.subjects) && framed_alike(found, wanted))
}

fn framed_alike<K: ResourceExt>(found: &K, wanted: &K) -> bool {
    let holds = |wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| found.get(name) == Some(value))
    };
    let owners = |object: &K| object.owner_references().iter().map(|owner| owner.uid.clone()).collect::<Vec<_>>();
    holds(wanted.labels(), found.labels()) && holds(wanted.annotations(), found.annotations()) && owners(found) == owners(wanted)
}
