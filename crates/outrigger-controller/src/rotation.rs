//! The life of a key's versions: `Validating → Next → Active → Draining → gone`, and `Revoked` from anywhere.
//!
//! A version is its bytes. What serves is replaced only by what was validated, and bytes are taken away only after others have had time to
//! arrive. It must never wait for a clock to make a version usable: sidecars see bytes when the kubelet brings them, so that states alone carry
//! meaning; a clock only ends waits that nothing else would end.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A provider that cannot be reached for this long validates nothing: the new version goes out unvalidated.
pub const PATIENCE_MS: u64 = 2 * 60 * 1_000;
/// More versions than these are never kept to drain; the oldest goes first.
const MOST_DRAINING: usize = 4;

/// One version of one key that is, or is about to be, in the namespace's Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which bytes: the fingerprint.
    pub version: String,
    /// Where it is in its life.
    pub state: State,
    /// Since when, milliseconds since 1970.
    pub since: u64,
}

/// The states of a version whose bytes are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// On its way to the pods.
    Next,
    /// What calls use.
    Active,
    /// Still there for pods that have nothing newer.
    Draining,
}

/// What the source holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// This version, fit for use.
    Usable(&'a str),
    /// Nothing that can be used: the Secret is missing, or its bytes are no key.
    Unusable,
}

/// What is known of a version from asking its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nobody has asked yet, or the answer is under way.
    Pending,
    /// The provider knows it.
    Accepted,
    /// The provider refuses it.
    Refused,
    /// No answer that means anything, since this time.
    Unreachable {
        /// When the first try failed, milliseconds since 1970.
        since: u64,
    },
    /// Asking cannot tell: the provider has no such endpoint, or its address may not be asked.
    Unclear,
}

/// The rules of one `ProviderKey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a replaced version keeps its bytes.
    pub overlap_ms: u64,
    /// Whether a version must be known to the provider before it replaces another.
    pub verify: bool,
    /// Versions that must never be used again.
    pub revoked: BTreeSet<String>,
}

/// A version of the source that does not serve, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The provider is being asked.
    Validating(String),
    /// The provider refuses it.
    Refused(String),
    /// It is revoked.
    Revoked(String),
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The versions to distribute, `Active` first, then `Next`, then draining ones, newest first.
    pub held: Vec<Held>,
    /// What the source holds and does not serve.
    pub waiting: Option<Waiting>,
    /// When time alone will change something; 0 = at once, when this has been published.
    pub again: Option<u64>,
}

/// The next step of one key. `held` are the versions that the namespace's Secret still has the bytes of.
pub fn step(held: &[Held], source: Source<'_>, finding: Finding, rules: &Rules, now: u64) -> Step {
    let mut held: Vec<Held> = held.iter().filter(|each| !rules.revoked.contains(&each.version)).cloned().collect();
    // A clock that was set back must not keep a version for ever.
    for each in &mut held {
        each.since = each.since.min(now);
    }
    let (wanted, mut waiting) = match source {
        Source::Usable(version) if rules.revoked.contains(version) => (None, Some(Waiting::Revoked(version.to_owned()))),
        Source::Usable(version) => (Some(version), None),
        Source::Unusable => (None, None),
    };
    settle_next(&mut held, wanted, now);
    if find(&held, State::Active).is_none() {
        reinstate(&mut held, now);
    }
    let mut again = None;
    if let Some(wanted) = wanted.filter(|wanted| find(&held, State::Active).is_none_or(|active| active.version != *wanted)) {
        if find(&held, State::Active).is_none() {
            // Nothing is protected by waiting.
            activate(&mut held, wanted, now);
        } else {
            match gate(finding, rules, now) {
                // Bytes that are out there already need no `Next`.
                Gate::Pass if held.iter().any(|each| each.version == wanted) => activate(&mut held, wanted, now),
                Gate::Pass => {
                    held.push(Held {
                        version: wanted.to_owned(),
                        state: State::Next,
                        since: now,
                    });
                    again = Some(0);
                }
                Gate::Wait(until) => {
                    waiting = Some(Waiting::Validating(wanted.to_owned()));
                    again = until;
                }
                Gate::Stop => waiting = Some(Waiting::Refused(wanted.to_owned())),
            }
        }
    }
    let ends = drain(&mut held, rules, now);
    held.sort_by(|a, b| (rank(a.state), b.since, &a.version).cmp(&(rank(b.state), a.since, &b.version)));
    Step {
        held,
        waiting,
        again: again.into_iter().chain(ends).min(),
    }
}

enum Gate {
    Pass,
    Wait(Option<u64>),
    Stop,
}

fn gate(finding: Finding, rules: &Rules, now: u64) -> Gate {
    match finding {
        _ if !rules.verify => Gate::Pass,
        Finding::Accepted | Finding::Unclear => Gate::Pass,
        Finding::Refused => Gate::Stop,
        Finding::Pending => Gate::Wait(None),
        Finding::Unreachable { since } => {
            let until = since.saturating_add(PATIENCE_MS);
            if now >= until { Gate::Pass } else { Gate::Wait(Some(until)) }
        }
    }
}

/// What an earlier step has sent ahead takes over now, unless the source has moved on once more.
fn settle_next(held: &mut [Held], wanted: Option<&str>, now: u64) {
    let Some(next) = find(held, State::Next).map(|next| next.version.clone()) else {
        return;
    };
    if wanted.is_none_or(|wanted| wanted == next) {
        retire_active(held, now);
        set(held, &next, State::Active, now);
    } else {
        set(held, &next, State::Draining, now);
    }
}

fn activate(held: &mut Vec<Held>, version: &str, now: u64) {
    retire_active(held, now);
    if held.iter().any(|each| each.version == version) {
        set(held, version, State::Active, now);
    } else {
        held.push(Held {
            version: version.to_owned(),
            state: State::Active,
            since: now,
        });
    }
}

/// As long as there are unrevoked bytes, one version serves: the one that was in use last.
fn reinstate(held: &mut [Held], now: u64) {
    let latest = held
        .iter()
        .max_by_key(|each| (each.state == State::Next, each.since, each.version.clone()));
    if let Some(version) = latest.map(|latest| latest.version.clone()) {
        set(held, &version, State::Active, now);
    }
}

/// Drops what has drained long enough; tells when the next one will have.
fn drain(held: &mut Vec<Held>, rules: &Rules, now: u64) -> Option<u64> {
    let end = |each: &Held| each.since.saturating_add(rules.overlap_ms);
    held.retain(|each| each.state != State::Draining || now < end(each));
    let mut draining: Vec<(u64, String)> = held
        .iter()
        .filter(|each| each.state == State::Draining)
        .map(|each| (each.since, each.version.clone()))
        .collect();
    draining.sort();
    let surplus: BTreeSet<String> = draining
        .iter()
        .rev()
        .skip(MOST_DRAINING)
        .map(|(_, version)| version.clone())
        .collect();
    held.retain(|each| !surplus.contains(&each.version));
    held.iter().filter(|each| each.state == State::Draining).map(end).min()
}

fn find(held: &[Held], state: State) -> Option<&Held> {
    held.iter().find(|each| each.state == state)
}

fn set(held: &mut [Held], version: &str, state: State, now: u64) {
    for each in held.iter_mut().filter(|each| each.version == version) {
        each.state = state;
        each.since = now;
    }
}

fn retire_active(held: &mut [Held], now: u64) {
    for each in held.iter_mut().filter(|each| each.state == State::Active) {
        each.state = State::Draining;
        each.since = now;
    }
}

fn rank(state: State) -> u8 {
    match state {
        State::Active => 0,
        State::Next => 1,
        State::Draining => 2,
    }
}

#[cfg(test)]
mod tests;
