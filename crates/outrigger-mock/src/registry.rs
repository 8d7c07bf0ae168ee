//! Every provider of a mock: its script, the calls it received, its connections.
//!
//! Decides what is remembered and for how long. It must never hold a lock across an await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tokio::sync::watch;

use crate::behaviour::Behaviour;
use crate::call::{Body, Call};
use crate::files::Shelf;

/// Calls remembered for each provider; the oldest go first.
const CALLS_KEPT: usize = 10_000;
/// Bytes of bodies remembered for each provider; beyond them only lengths are.
const BODIES_KEPT: usize = 64 << 20;
/// Providers of one mock; a client that makes up names must not fill the memory.
const PROVIDERS_KEPT: usize = 10_000;

/// All providers of one mock, by name.
#[derive(Debug)]
pub(crate) struct Registry {
    started: Instant,
    providers: Mutex<BTreeMap<String, Arc<Provider>>>,
    connections: AtomicU64,
}

impl Registry {
    #[expect(
        clippy::disallowed_methods,
        reason = "the mock plays a foreign machine: its clock is its own, and no decision depends on it"
    )]
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            providers: Mutex::default(),
            connections: AtomicU64::new(0),
        }
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The provider of this name; a new name behaves healthily.
    pub(crate) fn provider(&self, name: &str) -> Arc<Provider> {
        let mut providers = lock(&self.providers);
        if let Some(known) = providers.get(name) {
            return Arc::clone(known);
        }
        let provider = Arc::new(Provider::new(name));
        if providers.len() < PROVIDERS_KEPT {
            providers.insert(name.to_owned(), Arc::clone(&provider));
        }
        provider
    }

    pub(crate) fn behaviours(&self) -> BTreeMap<String, Behaviour> {
        lock(&self.providers)
            .iter()
            .map(|(name, provider)| (name.clone(), provider.behaviour()))
            .collect()
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Connections of one provider: those that carried at least one call to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// Open now.
    pub open: usize,
    /// Opened since the mock started.
    pub opened: usize,
}

/// One scripted provider.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: String,
    script: Mutex<Script>,
    log: Mutex<Log>,
    /// Bumped whenever the log changes, so that those who wait need not poll.
    changes: watch::Sender<u64>,
    in_flight: AtomicUsize,
    answers: AtomicU64,
    open: AtomicUsize,
    opened: AtomicUsize,
    /// Files uploaded to it.
    pub(crate) shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Script {
    behaviour: Arc<Behaviour>,
    calls: u64,
}

#[derive(Debug, Default)]
struct Log {
    calls: VecDeque<Entry>,
    /// Number of the newest call; never starts over, as calls in flight outlive a clearing.
    newest: u64,
    /// The newest call when the log was last cleared.
    cleared: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    call: Call,
    body: Body,
}

/// What is known of a call when it arrives.
pub(crate) struct Arrival {
    pub(crate) call: Call,
    pub(crate) described: Option<serde_json::Value>,
    pub(crate) bytes: bytes::Bytes,
}

impl Provider {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            script: Mutex::default(),
            log: Mutex::default(),
            changes: watch::Sender::new(0),
            in_flight: AtomicUsize::new(0),
            answers: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            shelf: Mutex::default(),
        }
    }

    /// Replaces the script; its schedule of faults starts over.
    pub(crate) fn set(&self, behaviour: Behaviour) {
        *lock(&self.script) = Script {
            behaviour: Arc::new(behaviour),
            calls: 0,
        };
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        lock(&self.script).behaviour.as_ref().clone()
    }

    /// The script as it is for the next call, which brings this key: with its faults, or without them.
    pub(crate) fn next_behaviour(&self, key: Option<&str>) -> Behaviour {
        let mut script = lock(&self.script);
        script.calls += 1;
        let behaviour = script.behaviour.of_key(key);
        if behaviour.strikes(script.calls) {
            behaviour.struck()
        } else {
            behaviour.healthy()
        }
    }

    /// Number of the next answer: ids and creation times follow from it.
    pub(crate) fn next_answer(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Writes a call down; the turn that comes back closes the entry when it is dropped.
    pub(crate) fn record(self: &Arc<Self>, mut arrival: Arrival) -> Turn {
        let mut log = lock(&self.log);
        log.newest += 1;
        let number = log.newest;
        arrival.call.number = number;
        let body = match arrival.described {
            Some(value) => Body::Described(value),
            None => Body::of(&arrival.bytes, BODIES_KEPT.saturating_sub(log.bytes)),
        };
        log.bytes += body.kept();
        log.calls.push_back(Entry { call: arrival.call, body });
        if log.calls.len() > CALLS_KEPT
            && let Some(oldest) = log.calls.pop_front()
        {
            log.bytes -= oldest.body.kept();
        }
        drop(log);
        let concurrent = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.changed();
        Turn {
            provider: Arc::clone(self),
            number,
            concurrent,
            ended: false,
        }
    }

    fn close_entry(&self, number: u64, aborted: bool) {
        let mut log = lock(&self.log);
        // From the back: the call that ends is mostly a recent one.
        if let Some(entry) = log.calls.iter_mut().rev().find(|entry| entry.call.number == number) {
            entry.call.aborted = aborted;
            entry.call.done = !aborted;
        }
        drop(log);
        self.changed();
    }

    /// The calls received, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let log = lock(&self.log);
        log.calls
            .iter()
            .map(|entry| Call {
                body: entry.body.value(),
                raw: entry.body.raw(),
                ..entry.call.clone()
            })
            .collect()
    }

    /// How many calls were received, and how many of the remembered ones were given up by their clients.
    pub(crate) fn counts(&self) -> (u64, usize) {
        let log = lock(&self.log);
        (
            log.newest - log.cleared,
            log.calls.iter().filter(|entry| entry.call.aborted).count(),
        )
    }

    pub(crate) fn clear(&self) {
        let mut log = lock(&self.log);
        *log = Log {
            newest: log.newest,
            cleared: log.newest,
            ..Log::default()
        };
        drop(log);
        self.changed();
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    pub(crate) fn connections(&self) -> Connections {
        Connections {
            open: self.open.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn connection_opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.changed();
    }

    pub(crate) fn connection_closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.changed();
    }
}

/// The life of one call from its arrival to the end of its answer. Dropped before its end, it was the client who hung up.
#[derive(Debug)]
pub(crate) struct Turn {
    provider: Arc<Provider>,
    number: u64,
    /// Calls of this provider in flight when this one arrived, itself included.
    pub(crate) concurrent: usize,
    ended: bool,
}

impl Turn {
    /// The answer is complete, or the script breaks it off: either way the client is not to blame.
    pub(crate) fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.provider.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.provider.close_entry(self.number, false);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            self.provider.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.provider.close_entry(self.number, true);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
