//! Which bytes serve which key of the table. A key's bytes must never be paired with another origin or other certificates than those that
//! they are bound to, whatever the table says.
//!
//! A key of the ring becomes the best of its versions that is not revoked and whose bytes are on disk: `Active` before `Next` before
//! `Draining`. Its id gets the version, so that a rotated key starts clean. A second such version follows with weight 0: it stands by for
//! the case that the provider refuses the first. A key without bytes stays in the ring, so that its target shows as pending.

use crate::{Document, KeyEntry, KeyReference, KeyRing, KeyState, ca_digest, entry_name};
use outrigger_core::{Auth, Provider, RingKey, Secret, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Most revocations that are remembered beyond those of the document at hand.
const MOST_REVOKED: usize = 16_384;

/// A document made usable with the bytes that are there.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The routing; keys' ids carry their versions.
    pub table: Table,
    /// Bytes by those ids.
    pub secrets: BTreeMap<String, Secret>,
    /// Ids, without versions, of keys whose bytes are on their way.
    pub pending: Vec<String>,
}

/// Versions that were once seen revoked. They stay so for the life of the process, whatever a later document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(BTreeSet<String>);

impl Revoked {
    /// Takes in what a document revokes; whether any of it is news.
    pub fn learn(&mut self, document: &Document) -> bool {
        let named: BTreeSet<String> = document
            .keys
            .iter()
            .filter(|key| key.state == KeyState::Revoked)
            .map(|key| entry_name(&key.id, &key.version))
            .collect();
        let before = self.0.len();
        self.0.extend(named.iter().cloned());
        let news = self.0.len() > before;
        // Only a controller's own documents come here. Should one name so many, those that it still names are the ones that matter.
        if self.0.len() > MOST_REVOKED {
            self.0 = named;
        }
        news
    }

    /// Whether this version must not be used.
    pub fn contains(&self, id: &str, version: &str) -> bool {
        self.0.contains(&entry_name(id, version))
    }
}

/// Pairs the document's keys with the bytes in `ring`. A table is large: it is taken over, not copied.
pub fn resolve(document: Document, ring: &KeyRing, revoked: &Revoked) -> Resolved {
    let mut references: BTreeMap<&str, Vec<&KeyReference>> = BTreeMap::new();
    for reference in &document.keys {
        references.entry(&reference.id).or_default().push(reference);
    }
    for versions in references.values_mut() {
        // Stable: of one state the writer's order holds.
        versions.sort_by_key(|reference| reference.state);
    }
    let mut resolved = Resolved {
        table: document.table,
        ..Resolved::default()
    };
    for provider in &mut resolved.table.providers {
        let ids = std::mem::take(&mut provider.ring);
        let bound = Bound::of(provider);
        let mut keys = Vec::with_capacity(ids.len());
        for key in ids {
            let versions = references.get(key.id.as_str()).map(Vec::as_slice).unwrap_or_default();
            let alive = || versions.iter().filter(|version| may_serve(version, revoked));
            let mut usable = alive().filter_map(|version| Some((version, bound.bytes(ring, version)?)));
            let Some(first) = usable.next() else {
                if alive().next().is_some() {
                    resolved.pending.push(key.id.clone());
                }
                keys.push(absent(key));
                continue;
            };
            for (rank, (version, secret)) in std::iter::once(first).chain(usable.next()).enumerate() {
                let versioned = versioned(&key, version, rank == 0);
                resolved.secrets.insert(versioned.id.clone(), secret.clone());
                keys.push(versioned);
            }
        }
        provider.ring = keys;
    }
    resolved
}

/// A version without a dot makes `id.version` say which is which: no two pairs share a name, so no bytes can be found under another's.
fn may_serve(reference: &KeyReference, revoked: &Revoked) -> bool {
    let plain = !reference.version.is_empty() && reference.version.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain && reference.state != KeyState::Revoked && !revoked.contains(&reference.id, &reference.version)
}

fn versioned(key: &RingKey, reference: &KeyReference, first: bool) -> RingKey {
    let name = &key.name;
    RingKey {
        // Two keys of a ring with one name could not be told apart where they are shown.
        name: if first {
            name.clone()
        } else {
            format!("{name}.{}", reference.version)
        },
        id: format!("{}.{}", key.id, reference.version),
        weight: if first { key.weight.max(1) } else { 0 },
    }
}

/// No version is empty, so no bytes are ever found under this id.
fn absent(key: RingKey) -> RingKey {
    RingKey {
        id: format!("{}.", key.id),
        ..key
    }
}

/// What a provider's keys must be bound to.
struct Bound<'a> {
    provider: &'a Provider,
    ca_digest: Option<String>,
}

impl<'a> Bound<'a> {
    fn of(provider: &'a Provider) -> Self {
        Self {
            provider,
            ca_digest: provider.ca_pem.as_deref().map(ca_digest),
        }
    }

    fn bytes<'r>(&self, ring: &'r KeyRing, reference: &KeyReference) -> Option<&'r Secret> {
        let entry: &KeyEntry = ring.entries.get(&entry_name(&reference.id, &reference.version))?;
        let here = entry.origin == self.provider.origin && entry.ca_digest == self.ca_digest && self.provider.auth == Auth::ApiKey;
        here.then_some(&entry.key)
    }
}

#[cfg(test)]
mod tests;
