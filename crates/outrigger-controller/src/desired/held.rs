//! The versions that the namespace has the bytes of, and how they stand in where a source has nothing usable any more.
//!
//! A stand-in carries the place that its bytes were bound to when they were good: it must never be the way by which bytes get to another place.

use super::{HeldSecret, Journal};
use crate::rotation::{Held, State};
use outrigger_config::{
    compile::Compiled,
    diagnostics::{Reason, Severity, Subject},
    objects::{Datum, Objects, SecretObject},
};
use outrigger_core::{Origin, Scheme};
use outrigger_snapshot::{KeyEntry, entry_name, version};
use std::{borrow::Cow, collections::BTreeMap};
use zeroize::Zeroizing;

/// By key id: the versions with their bytes.
pub(super) type HeldKeys = BTreeMap<String, Vec<HeldEntry>>;

/// A version whose bytes are there.
pub(super) struct HeldEntry {
    pub(super) held: Held,
    pub(super) entry: KeyEntry,
    /// The entry as it is in the Secret.
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// What the Secret really holds of what its journal says. Bytes that are not those of their version are nobody's.
pub(super) fn read(secret: Option<&HeldSecret>) -> HeldKeys {
    let Some(secret) = secret else { return HeldKeys::new() };
    let journal = Journal::from_annotation(secret.journal.as_deref());
    let one = |id: &str, held: Held| {
        let bytes = secret.data.get(&entry_name(id, &held.version))?;
        let entry = KeyEntry::from_bytes(bytes).filter(|entry| version(entry.key.expose().as_bytes()) == held.version)?;
        Some(HeldEntry {
            held,
            entry,
            bytes: bytes.clone(),
        })
    };
    let all = journal.0.into_iter();
    all.map(|(id, versions)| {
        let there = versions.into_iter().filter_map(|held| one(&id, held)).collect();
        (id, there)
    })
    .filter(|(_, there): &(String, Vec<HeldEntry>)| !there.is_empty())
    .collect()
}

/// Puts the last good bytes wherever a source has none that can be used.
pub(super) fn stand_in(objects: &mut Cow<'_, Objects>, live: &Compiled, held: &HeldKeys) {
    let mut needed = Vec::new();
    for (place, key) in objects.keys.iter().enumerate() {
        let meta = &key.object.metadata;
        let (Some(namespace), Some(name)) = (&meta.namespace, &meta.name) else {
            continue;
        };
        let revoked = &key.object.spec.rotation.revoked_versions;
        for (at, entry) in key.object.spec.keys.iter().enumerate() {
            let id = format!("{namespace}/{name}/{}", entry.name);
            if gone_at_source(live, namespace, name, &format!("spec.keys[{at}].secretRef"))
                && let Some(last) = held.get(&id).and_then(|versions| last_good(versions, revoked))
            {
                let secret = SecretObject {
                    namespace: Some(namespace.clone()),
                    name: format!("{name}.{}.held", entry.name),
                    origins: vec![written(&last.entry.origin)],
                    data: [(entry.secret_ref.key.clone(), Datum::Text(last.entry.key.clone()))].into(),
                };
                needed.push((place, at, secret));
            }
        }
    }
    for (place, at, secret) in needed {
        let objects = objects.to_mut();
        let entry = objects.keys.get_mut(place).and_then(|key| key.object.spec.keys.get_mut(at));
        let Some(entry) = entry else { continue };
        entry.secret_ref.name.clone_from(&secret.name);
        objects
            .secrets
            .retain(|each| (&each.object.namespace, &each.object.name) != (&secret.namespace, &secret.name));
        objects.secrets.push(secret.into());
    }
}

/// An origin as the annotation of a Secret has it.
pub(super) fn written(origin: &Origin) -> String {
    let scheme = match origin.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let host = if origin.host.contains(':') {
        format!("[{}]", origin.host)
    } else {
        origin.host.clone()
    };
    format!("{scheme}://{host}:{}", origin.port)
}

/// The version that serves, else the newest.
pub(super) fn last_good<'h>(versions: &'h [HeldEntry], revoked: &[String]) -> Option<&'h HeldEntry> {
    let usable = versions.iter().filter(|each| !revoked.contains(&each.held.version));
    usable.max_by_key(|each| (each.held.state == State::Active, each.held.since, &each.held.version))
}

/// Whether a ring's entry is unusable for a reason that leaves its last good bytes good: an owner who takes the consent back is none.
fn gone_at_source(live: &Compiled, namespace: &str, name: &str, field: &str) -> bool {
    live.diagnostics.iter().any(|found| {
        let about = matches!(&found.subject, Subject::Object { kind, namespace: Some(its), name: own }
            if kind == "ProviderKey" && its == namespace && own == name);
        about
            && found.severity != Severity::Note
            && found
                .field
                .strip_prefix(field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            && matches!(
                found.reason,
                Reason::SecretNotFound | Reason::SecretKeyNotFound | Reason::InvalidKey | Reason::KeyRevoked
            )
    })
}
