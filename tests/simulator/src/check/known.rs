//! What a sidecar has been told, by the rules that the documentation gives: how long each key rests, and who has failed three times in a
//! row. It never asks the core.

use crate::call::Sent;
use outrigger_core::{AttemptId, Class, Outcome, Table, Tick};
use std::{collections::BTreeMap, time::Duration};

/// Failures in a row that take a target out.
const STREAK: u32 = 3;
/// How long they count.
const MEMORY: Duration = Duration::from_mins(10);
/// How long a key whose money is spent rests at least.
const SPENT: Duration = Duration::from_mins(10);
/// The longest that a provider's word is believed.
const LONGEST: Duration = Duration::from_hours(24);

/// A key by its place in the ring and the version of its bytes.
type Key = (usize, u8);

/// See the module.
pub(super) struct Known {
    /// By target.
    failures: Vec<Failures>,
    /// By target and key: until when a rate limit bars it, and how many there have been since the last success.
    rests: BTreeMap<(usize, Key), (Tick, u32)>,
    /// By provider and key: until when it is barred whatever it is used for.
    accounts: BTreeMap<(usize, Key), Tick>,
    /// Probes on their way to targets that are down.
    probes: Vec<(usize, usize, AttemptId)>,
}

/// Failures since the last success, of attempts that began after it.
#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: Tick,
    success: Tick,
}

impl Known {
    pub(super) fn new(targets: usize) -> Self {
        Self {
            failures: vec![Failures::default(); targets],
            rests: BTreeMap::new(),
            accounts: BTreeMap::new(),
            probes: Vec::new(),
        }
    }

    /// Whether nothing bars the key.
    pub(super) fn ready(&self, table: &Table, target: usize, key: usize, now: Tick) -> bool {
        let (provider, key, _) = name(table, target, key);
        let rests = self.rests.get(&(target, key)).is_some_and(|(until, _)| *until > now);
        let barred = self.accounts.get(&(provider, key)).is_some_and(|until| *until > now);
        !rests && !barred
    }

    /// An attempt with the key has ended.
    pub(super) fn key(&mut self, table: &Table, target: usize, key: usize, outcome: &Outcome, now: Tick) {
        let (provider, key, keyed) = name(table, target, key);
        let told = outcome.until.map(|until| until.min(now.after(LONGEST)));
        match outcome.class {
            Class::Ok => {
                if let Some((_, count)) = self.rests.get_mut(&(target, key)) {
                    *count = 0;
                }
            }
            Class::Auth if keyed => {
                self.accounts.insert((provider, key), Tick(u64::MAX));
            }
            Class::RateLimited | Class::Auth => {
                let (until, count) = self.rests.entry((target, key)).or_default();
                if told.is_none() && *until > now {
                    return;
                }
                let rest = Duration::from_secs(1 << (*count).min(6)).min(Duration::from_mins(1));
                *count += 1;
                *until = (*until).max(told.unwrap_or(now.after(rest)));
            }
            Class::Quota => {
                // Without a key there is no account: the money is spent for this target.
                let until = if keyed {
                    self.accounts.entry((provider, key)).or_default()
                } else {
                    &mut self.rests.entry((target, key)).or_default().0
                };
                *until = (*until).max(told.unwrap_or(now)).max(now.after(SPENT));
            }
            Class::Connect
            | Class::Timeout
            | Class::Reset
            | Class::Overloaded
            | Class::ServerError
            | Class::ContextWindow
            | Class::ContentPolicy
            | Class::ClientError
            | Class::BadResponse
            | Class::Cancelled => {}
        }
    }

    /// An attempt has ended.
    pub(super) fn target(&mut self, sent: &Sent, outcome: &Outcome, now: Tick) {
        let failures = &mut self.failures[sent.target];
        match outcome.class {
            _ if outcome.stale => {}
            Class::Ok => {
                failures.count = 0;
                failures.success = now;
            }
            Class::Connect | Class::Timeout | Class::Reset | Class::Overloaded | Class::ServerError | Class::BadResponse => {
                failures.count += u32::from(sent.at >= failures.success);
                failures.last = now;
            }
            Class::RateLimited
            | Class::Auth
            | Class::Quota
            | Class::ContextWindow
            | Class::ContentPolicy
            | Class::ClientError
            | Class::Cancelled => {}
        }
    }

    /// A stream has come to its end: its target was well.
    pub(super) fn streamed(&mut self, target: usize, now: Tick) {
        self.failures[target] = Failures {
            success: now,
            ..Failures::default()
        };
    }

    /// Whether the target has failed so often in a row that it must be left alone.
    pub(super) fn failing(&self, target: usize, now: Tick) -> bool {
        let Failures { count, last, .. } = self.failures[target];
        count >= STREAK && now.since(last) <= MEMORY
    }

    /// A probe is sent to a target that is down; false where one is on its way already.
    pub(super) fn probe(&mut self, target: usize, call: usize, id: AttemptId) -> bool {
        let alone = self.probes.iter().all(|(other, ..)| *other != target);
        self.probes.push((target, call, id));
        alone
    }

    /// The target serves again: whoever still asks about its trouble is an ordinary call by now.
    pub(super) fn serves(&mut self, target: usize) {
        self.probes.retain(|(other, ..)| *other != target);
    }

    /// An attempt is over: if it was a probe, another may be sent.
    pub(super) fn stop(&mut self, call: usize, id: AttemptId) {
        self.probes.retain(|(_, other, probe)| (*other, *probe) != (call, id));
    }
}

/// The provider, the key, and whether it is one.
fn name(table: &Table, target: usize, key: usize) -> (usize, Key, bool) {
    let provider = table.targets[target].provider;
    let ring = &table.providers[provider].ring;
    let version = ring.get(key).and_then(|key| key.id.bytes().next_back());
    (provider, (key, version.unwrap_or(0)), version.is_some())
}
