//! A `ProviderKey` that cannot be read any more goes on as it was published last, with the bytes that are there and what was revoked: as an
//! object again, so that the compile step makes of it what it made before. It must never get new bytes or another place.

use super::super::{
    Inputs,
    held::{HeldKeys, last_good, written},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use outrigger_config::{
    objects::{ConfigMapObject, Datum, Objects, SecretObject},
    v1alpha1::{
        Auth, AuthType, CaBundle, DataKeyRef, DataPolicy, Dialect, HealthCheck, Namespaces, NamespacesFrom, Passthrough, ProviderEndpoint,
        ProviderKey, ProviderKeySpec, RingEntry, Rotation,
    },
};
use outrigger_core::Provider;
use outrigger_snapshot::{Document, KeyState};
use std::{borrow::Cow, collections::BTreeSet, time::Duration};

/// The one entry of the Secrets and ConfigMaps that are made up here.
const ENTRY: &str = "held";

/// Puts objects in the place of those that cannot be read; returns their names.
pub(super) fn last_published(
    objects: &mut Cow<'_, Objects>,
    inputs: &Inputs,
    prior: &Document,
    held: &HeldKeys,
) -> BTreeSet<(String, String)> {
    let mut kept = BTreeSet::new();
    for provider in &prior.table.providers {
        let (namespace, name) = provider.label.split_once('/').unwrap_or((&prior.namespace, &provider.label));
        let gone = objects
            .rejected
            .iter()
            .any(|each| each.kind == "ProviderKey" && each.namespace.as_deref() == Some(namespace) && each.name == name);
        if !gone {
            continue;
        }
        let objects = objects.to_mut();
        objects
            .rejected
            .retain(|each| each.namespace.as_deref() != Some(namespace) || each.name != name);
        let revoked = revoked(prior, namespace, name);
        objects
            .secrets
            .extend(secrets(provider, namespace, name, &revoked, held).into_iter().map(Into::into));
        objects.config_maps.extend(provider.ca_pem.as_ref().map(|pem| {
            let map = ConfigMapObject {
                namespace: Some(namespace.to_owned()),
                name: bundle(name),
                data: [(ENTRY.to_owned(), pem.clone())].into(),
            };
            map.into()
        }));
        let mut key = ProviderKey::new(name, spec(provider, name, revoked));
        key.metadata.namespace = Some(namespace.to_owned());
        key.metadata.creation_timestamp = created(inputs, namespace, name);
        objects.keys.push(key.into());
        kept.insert((namespace.to_owned(), name.to_owned()));
    }
    kept
}

/// As people write it: whole hours, minutes, seconds and milliseconds.
fn written_time(time: Duration) -> String {
    let ms = time.as_millis();
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{}h{minutes}m{seconds}s{}ms", hours.min(99_999), ms % 1_000)
}

fn retention(ms: u64) -> String {
    if ms == 0 {
        return "none".to_owned();
    }
    written_time(Duration::from_millis(ms))
}

fn spec(provider: &Provider, name: &str, revoked: Vec<String>) -> ProviderKeySpec {
    let ca_bundle = provider.ca_pem.as_ref().map(|_| CaBundle {
        config_map_ref: reference(bundle(name)),
    });
    let path = |path: &outrigger_core::PathPattern| format!("{}{}", path.path, if path.subtree { "*" } else { "" });
    ProviderKeySpec {
        provider: provider.provider.clone(),
        endpoint: Some(ProviderEndpoint {
            base_url: Some(format!("{}{}", written(&provider.origin), provider.path)),
            dialect: Some(match provider.dialect {
                outrigger_core::Dialect::OpenAi => Dialect::OpenAi,
                outrigger_core::Dialect::Anthropic => Dialect::Anthropic,
            }),
            headers: provider.headers.iter().cloned().collect(),
            ca_bundle,
        }),
        auth: Auth {
            kind: match provider.auth {
                outrigger_core::Auth::ApiKey => AuthType::ApiKey,
                outrigger_core::Auth::None => AuthType::None,
            },
        },
        keys: provider
            .ring
            .iter()
            .map(|key| RingEntry {
                name: key.name.clone(),
                secret_ref: reference(secret(name, &key.name)),
                weight: key.weight.max(1),
            })
            .collect(),
        regions: provider.regions.clone(),
        data_policy: Some(DataPolicy {
            retention: provider.data_policy.retention_ms.map(retention),
            training: provider.data_policy.training,
        }),
        health_check: provider.health_check.as_ref().map(|check| HealthCheck {
            interval: written_time(check.interval),
            timeout: written_time(check.timeout),
            path: check.path.clone(),
        }),
        rotation: Rotation {
            revoked_versions: revoked,
            ..Rotation::default()
        },
        pricing: None,
        passthrough: Some(Passthrough {
            paths: provider.passthrough.iter().map(path).collect(),
        }),
        // Whom it allows cannot be read; who has it already keeps it, and nobody else reads this.
        allowed_namespaces: Namespaces {
            from: NamespacesFrom::All,
            selector: None,
        },
    }
}

fn secrets(provider: &Provider, namespace: &str, name: &str, revoked: &[String], held: &HeldKeys) -> Vec<SecretObject> {
    let one = |key: &outrigger_core::RingKey| {
        let last = last_good(held.get(&key.id)?, revoked)?;
        Some(SecretObject {
            namespace: Some(namespace.to_owned()),
            name: secret(name, &key.name),
            origins: vec![written(&last.entry.origin)],
            data: [(ENTRY.to_owned(), Datum::Text(last.entry.key.clone()))].into(),
        })
    };
    provider.ring.iter().filter_map(one).collect()
}

/// What was revoked of it, and stays so.
fn revoked(prior: &Document, namespace: &str, name: &str) -> Vec<String> {
    let prefix = format!("{namespace}/{name}/");
    let keys = prior
        .keys
        .iter()
        .filter(|key| key.state == KeyState::Revoked && key.id.starts_with(&prefix));
    let versions: BTreeSet<String> = keys.map(|key| key.version.clone()).collect();
    versions.into_iter().collect()
}

fn created(inputs: &Inputs, namespace: &str, name: &str) -> Option<Time> {
    let mut unreadable = inputs
        .unreadable
        .iter()
        .filter(|each| each.kind == "ProviderKey")
        .map(|each| &each.metadata);
    let own = unreadable.find(|meta| meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name));
    own.and_then(|meta| meta.creation_timestamp.clone())
}

fn secret(name: &str, entry: &str) -> String {
    format!("{name}.{entry}.held")
}

fn bundle(name: &str) -> String {
    format!("{name}.held")
}

fn reference(name: String) -> DataKeyRef {
    DataKeyRef {
        name,
        key: ENTRY.to_owned(),
    }
}
