//! What should be true of one namespace, given everything that is known of it.
//!
//! ```text
//! objects ──compile──► table ──┐
//! journal + Secret ──rotation──┼─► document ──seal──► ConfigMap, Secret, conditions, Events, when to look again
//! what providers said ─────────┘        ▲
//!                    what is published ─┘ the same document keeps its generation
//! ```
//!
//! Pure and total: time, randomness and what was read are arguments, and whatever they hold there is an answer. It must never put a key's
//! bytes anywhere but into the Secret's data, and never bind them to a place that their Secret's owner has not agreed to.

mod carry;
mod conditions;
mod distribute;
mod fit;
mod held;
mod journal;
mod own;
mod report;

pub use conditions::{KEY_VALID, PROGRAMMED};
pub use journal::{JOURNAL, Journal};
pub use report::{Report, Told};

use crate::rotation::Finding;
use outrigger_config::{
    compile::{Mode, compile_for},
    objects::Objects,
};
use outrigger_core::{Origin, Provider, Secret};
use outrigger_snapshot::{Document, MAC_ENTRY, MacKey, Sealed};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};
use zeroize::Zeroizing;

/// The label by which a namespace asks for sidecars.
pub const INJECT: &str = "outrigger.dev/inject";

/// Entries of a Secret: bytes that must not be shown, so nothing that holds them has a `Debug`.
pub type SecretData = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Everything that is known of a namespace.
pub struct Inputs {
    /// Its name.
    pub namespace: String,
    /// Milliseconds since 1970.
    pub now: u64,
    /// The objects that may take part: its own, those shared with it, and what they name.
    pub objects: Objects,
    /// Objects that today's types cannot read, of any namespace.
    pub unreadable: Vec<Unreadable>,
    /// It is being deleted: nothing can be written there.
    pub terminating: bool,
    /// Its Secret of key bytes, as it was read.
    pub secret: Option<HeldSecret>,
    /// Its ConfigMap's data, as it was read.
    pub published: Option<BTreeMap<String, String>>,
    /// What providers said of versions.
    pub findings: BTreeMap<Question, Finding>,
    /// How far this namespace's keys are in other namespaces.
    pub elsewhere: Vec<Journal>,
    /// The MAC key where the Secret has none: random.
    pub fresh_mac: [u8; 32],
}

/// The Secret of key bytes, as it was read.
pub struct HeldSecret {
    /// Its entries.
    pub data: SecretData,
    /// Its annotation [`JOURNAL`].
    pub journal: Option<String>,
    /// A pod of the namespace has asked for it.
    pub requested: bool,
}

/// An object that today's types cannot read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// `ModelRoute` or `ProviderKey`.
    pub kind: &'static str,
    /// Its metadata.
    pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    /// What is wrong with it.
    pub error: String,
    /// What its status says by now.
    pub conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
}

/// One version of one key, and where it would be used: what a provider is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The key: `namespace/providerkey/entry`.
    pub id: String,
    /// Which bytes.
    pub version: String,
    /// The provider's place.
    pub origin: Origin,
}

/// A question with all that asking it takes.
#[derive(Clone)]
pub struct Request {
    /// What is asked.
    pub question: Question,
    /// Whom.
    pub provider: Provider,
    /// The bytes.
    pub key: Secret,
}

/// What should be true.
pub struct Desired {
    /// What the namespace's sidecars run on; `None` where there should be nothing.
    pub publication: Option<Publication>,
    /// What the namespace's objects should say of themselves.
    pub reports: Vec<Report>,
    /// What to ask of providers.
    pub requests: Vec<Request>,
    /// When time alone changes something, milliseconds since 1970; 0 = as soon as this is applied.
    pub again: Option<u64>,
    /// A version starts or stops to serve: to be decided on Secrets that were read just now.
    pub moves_keys: bool,
    /// Nothing may be written into the namespace.
    pub hands_off: bool,
}

/// A ConfigMap and a Secret.
pub struct Publication {
    /// The ConfigMap's data.
    pub config_map: BTreeMap<String, String>,
    /// The Secret's data.
    pub secret: SecretData,
    /// The Secret's annotation [`JOURNAL`].
    pub journal: String,
    /// The snapshot's generation.
    pub generation: u64,
    /// Its compressed size.
    pub bytes: usize,
    /// How many versions are in which state.
    pub states: BTreeMap<&'static str, usize>,
}

/// Decides.
pub fn desired_state(inputs: &Inputs) -> Desired {
    let namespace = inputs.namespace.as_str();
    let (mac_bytes, mac) = mac(inputs);
    let prior = mac.as_ref().and_then(|mac| prior(inputs, mac));
    let live = compile_for(&inputs.objects, namespace, Mode::Cluster);
    let held = held::read(inputs.secret.as_ref());
    // What is missing or broken at its source goes on with what was good last, as if the source still had it.
    let mut objects = Cow::Borrowed(&inputs.objects);
    held::stand_in(&mut objects, &live, &held);
    let kept = carry::last_good(&mut objects, inputs, &live.diagnostics, prior.as_ref(), &held);
    let compiled = match &objects {
        Cow::Borrowed(_) => Cow::Borrowed(&live),
        Cow::Owned(objects) => Cow::Owned(compile_for(objects, namespace, Mode::Cluster)),
    };
    let table = carry::restore(compiled.table.clone(), &kept);
    let requested = inputs.secret.as_ref().is_some_and(|secret| secret.requested);
    let managed = !inputs.terminating && (labelled(inputs) || requested || has_routes(inputs) || !table.routes.is_empty());

    let mut distribution = distribute::distribute(inputs, &objects, table, &live, &held);
    let own = own::own_keys(inputs, distribution.rings.keys());
    distribution.requests.extend(own.requests.iter().cloned());
    let fitted = fit::fit(inputs, &distribution.document, prior.as_ref(), mac.as_ref());
    let publication = fitted.published.as_ref().filter(|_| managed).map(|published| {
        let mut secret = distribution.secret;
        secret.insert(MAC_ENTRY.to_owned(), mac_bytes);
        Publication {
            config_map: published.data.clone(),
            secret,
            journal: distribution.journal.to_annotation(),
            generation: published.generation,
            bytes: published.bytes,
            states: distribution.states,
        }
    });
    let told = report::Facts {
        inputs,
        // Of keys the truth is what their sources hold, of routes what they come to with what was kept.
        of_keys: &live.diagnostics,
        of_routes: &compiled.diagnostics,
        published: fitted
            .published
            .as_ref()
            .filter(|_| managed)
            .map(|published| (&published.document, published.generation)),
        prior: prior.as_ref().map(|prior| &prior.document),
        too_large: &fitted.left_out,
        kept: &kept,
        rings: &distribution.rings,
        own: &own,
        crowded_out: &distribution.crowded_out,
    };
    Desired {
        reports: report::reports(&told),
        publication,
        requests: distribution.requests,
        again: distribution.again,
        moves_keys: distribution.moves_keys,
        hands_off: inputs.terminating,
    }
}

/// What is published and intact.
pub(crate) struct Prior {
    pub(crate) document: Document,
    pub(crate) generation: u64,
    pub(crate) sealed: Sealed,
}

fn prior(inputs: &Inputs, mac: &MacKey) -> Option<Prior> {
    let sealed = Sealed::from_data(inputs.published.as_ref()?).ok()?;
    let document = outrigger_snapshot::open(&sealed, &inputs.namespace, mac).ok()?;
    Some(Prior {
        document,
        generation: sealed.generation,
        sealed,
    })
}

/// The namespace's MAC key: the one it has, or a new one.
fn mac(inputs: &Inputs) -> (Zeroizing<Vec<u8>>, Option<MacKey>) {
    let there = inputs.secret.as_ref().and_then(|secret| secret.data.get(MAC_ENTRY));
    match there.and_then(|bytes| Some((bytes.clone(), MacKey::from_bytes(bytes)?))) {
        Some((bytes, mac)) => (bytes, Some(mac)),
        None => (Zeroizing::new(inputs.fresh_mac.to_vec()), MacKey::from_bytes(&inputs.fresh_mac)),
    }
}

fn labelled(inputs: &Inputs) -> bool {
    let own = inputs.objects.namespaces.iter().find(|each| each.object.name == inputs.namespace);
    own.is_some_and(|own| own.object.labels.get(INJECT).is_some_and(|value| value == "true"))
}

/// Whether the namespace has routes of its own, readable or not.
fn has_routes(inputs: &Inputs) -> bool {
    let own = |namespace: &Option<String>| namespace.as_deref() == Some(inputs.namespace.as_str());
    inputs.objects.routes.iter().any(|route| own(&route.object.metadata.namespace))
        || inputs
            .unreadable
            .iter()
            .any(|each| each.kind == "ModelRoute" && own(&each.metadata.namespace))
}

/// `namespace/name` of routes.
pub(crate) type RouteNames = BTreeSet<(String, String)>;

#[cfg(test)]
mod tests;
