//! Which versions of which keys go into the namespace's Secret, and what the document says of them.
//!
//! Bytes of the source are bound to the place that the compile step agreed to; bytes that are only kept stay bound to theirs.

use super::{
    Inputs, Journal, Question, Request, SecretData,
    held::{HeldEntry, HeldKeys},
};
use crate::rotation::{Finding, Held, Rules, Source, State, Step, step};
use outrigger_config::{compile::Compiled, objects::Objects, v1alpha1::ProviderKey};
use outrigger_core::{Provider, Secret, Table, parse_duration};
use outrigger_snapshot::{Document, KeyEntry, KeyReference, KeyState, ca_digest, entry_name};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// What the API server takes as a Secret's data, with room for the rest.
const MOST_DATA: usize = 900 << 10;
/// What sidecars read of it.
const MOST_ENTRIES: usize = 4_000;
/// All annotations of an object together may have 256 KiB.
const MOST_JOURNAL: usize = 192 << 10;
/// Where no rule says otherwise; the schema's own default.
const OVERLAP_MS: u64 = 10 * 60 * 1_000;

/// What goes out of a namespace's keys.
pub(super) struct Distribution {
    pub(super) document: Document,
    pub(super) secret: SecretData,
    pub(super) journal: Journal,
    /// What was decided, by key id.
    pub(super) rings: BTreeMap<String, Ring>,
    pub(super) requests: Vec<Request>,
    pub(super) again: Option<u64>,
    pub(super) moves_keys: bool,
    pub(super) states: BTreeMap<&'static str, usize>,
    /// `ProviderKey`s some of whose bytes did not fit.
    pub(super) crowded_out: BTreeSet<(String, String)>,
    data_size: usize,
    journal_size: usize,
}

/// What was decided of one key.
pub(super) struct Ring {
    pub(super) step: Step,
    /// What is known of the version that its source holds.
    pub(super) source: Option<(String, Finding)>,
}

/// The bytes that sources hold now, by key id: the version and the bytes.
pub(super) type Sources<'a> = BTreeMap<&'a str, (&'a str, &'a Secret)>;

/// Splits what the compile step names a key by: its id, and the version of its bytes.
pub(super) fn parts(id: &str) -> (&str, &str) {
    id.rsplit_once('.').unwrap_or((id, ""))
}

/// The bytes of a compile step.
pub(super) fn sources(compiled: &Compiled) -> Sources<'_> {
    let all = compiled.secrets.iter();
    all.map(|(id, secret)| {
        let (id, version) = parts(id);
        (id, (version, secret))
    })
    .collect()
}

/// The `ProviderKey`s by namespace and name.
pub(super) fn by_name(objects: &Objects) -> BTreeMap<(&str, &str), &ProviderKey> {
    let keys = objects.keys.iter().map(|key| &key.object);
    keys.filter_map(|key| Some(((key.metadata.namespace.as_deref()?, key.metadata.name.as_deref()?), key)))
        .collect()
}

/// Decides for every key of `table`, whose ids lose their versions on the way.
pub(super) fn distribute(inputs: &Inputs, objects: &Objects, mut table: Table, live: &Compiled, held: &HeldKeys) -> Distribution {
    let objects = by_name(objects);
    let sources = sources(live);
    let mut out = Distribution {
        document: Document {
            namespace: inputs.namespace.clone(),
            table: Table::default(),
            keys: Vec::new(),
        },
        secret: SecretData::new(),
        journal: Journal::default(),
        rings: BTreeMap::new(),
        requests: Vec::new(),
        again: None,
        moves_keys: false,
        states: BTreeMap::new(),
        crowded_out: BTreeSet::new(),
        data_size: 0,
        journal_size: 0,
    };
    // Oldest first, so that it is the youngest that does not fit.
    for provider in &mut table.providers {
        for at in 0..provider.ring.len() {
            let Some(ring) = provider.ring.get_mut(at) else { continue };
            ring.id = parts(&ring.id).0.to_owned();
            let id = ring.id.clone();
            let object = owner(&id).and_then(|owner| objects.get(&owner)).copied();
            let source = sources.get(id.as_str()).copied();
            let there = held.get(&id).map(Vec::as_slice).unwrap_or_default();
            one(inputs, &mut out, &id, provider, object, source, there);
        }
    }
    out.document.table = table;
    // By id; of one id as the steps have them, newest first, and what is revoked behind.
    out.document.keys.extend(revoked(&objects));
    out.document.keys.sort_by(|a, b| a.id.cmp(&b.id));
    out
}

fn one(
    inputs: &Inputs,
    out: &mut Distribution,
    id: &str,
    provider: &Provider,
    object: Option<&ProviderKey>,
    source: Option<(&str, &Secret)>,
    there: &[HeldEntry],
) {
    let rules = rules(object);
    let finding = source.map_or(Finding::Pending, |(version, _)| finding(inputs, object, id, version, provider));
    let before: Vec<Held> = there.iter().map(|each| each.held.clone()).collect();
    let usable = source.map_or(Source::Unusable, |(version, _)| Source::Usable(version));
    let step = step(&before, usable, finding, &rules, inputs.now);
    if let Some((version, key)) = source
        && rules.verify
        && !settled(finding)
    {
        out.requests.push(request(id, version, provider, key));
    }
    let mut journal = Vec::new();
    for each in &step.held {
        let bytes = match source {
            Some((version, key)) if version == each.version => bound(provider, key),
            // Only bytes that are there are held.
            Some(_) | None => match there.iter().find(|kept| kept.held.version == each.version) {
                Some(kept) => kept.bytes.clone(),
                None => continue,
            },
        };
        if !out.take(id, each, bytes) {
            out.crowded_out
                .extend(owner(id).map(|(namespace, name)| (namespace.to_owned(), name.to_owned())));
            continue;
        }
        journal.push(each.clone());
    }
    let standing = |held: &[Held]| held.iter().map(|each| (each.version.clone(), each.state)).collect::<BTreeSet<_>>();
    let (was, is) = (standing(&before), standing(&journal));
    out.moves_keys |= is.difference(&was).next().is_some();
    out.again = out.again.into_iter().chain(step.again).min();
    if !journal.is_empty() {
        out.journal.0.insert(id.to_owned(), journal);
    }
    let source = source.map(|(version, _)| (version.to_owned(), finding));
    out.rings.insert(id.to_owned(), Ring { step, source });
}

impl Distribution {
    /// Whether a version fits; then it goes out.
    fn take(&mut self, id: &str, held: &Held, bytes: Zeroizing<Vec<u8>>) -> bool {
        let name = entry_name(id, &held.version);
        let data_size = self.data_size + name.len() + bytes.len();
        let journal_size = self.journal_size + Journal::weight(id, held);
        if data_size > MOST_DATA || journal_size > MOST_JOURNAL || self.secret.len() >= MOST_ENTRIES {
            return false;
        }
        (self.data_size, self.journal_size) = (data_size, journal_size);
        self.secret.insert(name, bytes);
        let (state, shown) = match held.state {
            State::Next => (KeyState::Next, "next"),
            State::Active => (KeyState::Active, "active"),
            State::Draining => (KeyState::Draining, "draining"),
        };
        *self.states.entry(shown).or_default() += 1;
        self.document.keys.push(KeyReference {
            id: id.to_owned(),
            version: held.version.clone(),
            state,
        });
        true
    }
}

/// Every revoked version of every key that may be known in the namespace: also of keys that nothing names any more, since a pod may still use
/// what it was told last.
fn revoked(objects: &BTreeMap<(&str, &str), &ProviderKey>) -> Vec<KeyReference> {
    let all = objects.iter().flat_map(|((namespace, name), key)| {
        let versions = &key.spec.rotation.revoked_versions;
        let entries = key.spec.keys.iter();
        entries.flat_map(move |entry| {
            let id = format!("{namespace}/{name}/{}", entry.name);
            let versions: BTreeSet<&String> = versions.iter().collect();
            versions.into_iter().map(move |version| KeyReference {
                id: id.clone(),
                version: version.clone(),
                state: KeyState::Revoked,
            })
        })
    });
    all.collect()
}

/// `namespace/name` of the key that an id belongs to.
pub(super) fn owner(id: &str) -> Option<(&str, &str)> {
    let mut parts = id.splitn(3, '/');
    Some((parts.next()?, parts.next()?))
}

/// The rules that a `ProviderKey` gives.
pub(super) fn rules(object: Option<&ProviderKey>) -> Rules {
    let rotation = object.map(|key| key.spec.rotation.clone()).unwrap_or_default();
    let overlap = parse_duration(&rotation.overlap).and_then(|overlap| u64::try_from(overlap.as_millis()).ok());
    Rules {
        overlap_ms: overlap.unwrap_or(OVERLAP_MS),
        verify: rotation.verify,
        revoked: rotation.revoked_versions.into_iter().collect(),
    }
}

/// What is known of a version at a place. What a status says already need not be asked again after a restart.
pub(super) fn finding(inputs: &Inputs, object: Option<&ProviderKey>, id: &str, version: &str, provider: &Provider) -> Finding {
    let question = Question {
        id: id.to_owned(),
        version: version.to_owned(),
        origin: provider.origin.clone(),
    };
    if let Some(finding) = inputs.findings.get(&question) {
        return *finding;
    }
    let Some(object) = object else { return Finding::Pending };
    let entry = id.rsplit('/').next().unwrap_or_default();
    let status = object.status.as_ref();
    let serves = status.is_some_and(|status| {
        let mut rows = status.keys.iter();
        rows.any(|row| row.name == entry && row.version == version && row.state == super::report::ACTIVE)
            && status.conditions.iter().any(|condition| {
                condition.type_ == super::KEY_VALID
                    && condition.status == "True"
                    && condition.observed_generation == object.metadata.generation
            })
    });
    if serves { Finding::Accepted } else { Finding::Pending }
}

/// Whether asking again would tell nothing new.
pub(super) fn settled(finding: Finding) -> bool {
    match finding {
        Finding::Accepted | Finding::Refused | Finding::Unclear => true,
        Finding::Pending | Finding::Unreachable { .. } => false,
    }
}

/// A question to the provider, with all that asking it takes.
pub(super) fn request(id: &str, version: &str, provider: &Provider, key: &Secret) -> Request {
    Request {
        question: Question {
            id: id.to_owned(),
            version: version.to_owned(),
            origin: provider.origin.clone(),
        },
        provider: provider.clone(),
        key: key.clone(),
    }
}

/// Bytes, with the only place that they may go to.
fn bound(provider: &Provider, key: &Secret) -> Zeroizing<Vec<u8>> {
    let entry = KeyEntry {
        origin: provider.origin.clone(),
        ca_digest: provider.ca_pem.as_deref().map(ca_digest),
        key: key.clone(),
    };
    Zeroizing::new(entry.to_bytes())
}
