//! What the controller counts. Labels are namespaces and states, never the name of a key or a model.

use outrigger_runtime::Metrics;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use std::{collections::BTreeMap, sync::atomic::AtomicU64};

type PerNamespace = Family<[(&'static str, String); 1], Gauge<u64, AtomicU64>>;
type PerState = Family<[(&'static str, String); 2], Gauge<u64, AtomicU64>>;

/// Upper ends of the buckets, seconds.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The states of a distributed version.
const STATES: [&str; 3] = ["next", "active", "draining"];

/// The controller's metrics.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) duration: Histogram,
    pub(crate) errors: Counter,
    pub(crate) depth: Gauge,
    pub(crate) leader: Gauge,
    generation: PerNamespace,
    bytes: PerNamespace,
    states: PerState,
}

impl Counts {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let register = |name: &str, help: &str| metrics.register(name, help, PerNamespace::default());
        Self {
            duration: metrics.register(
                "controller_reconcile_duration_seconds",
                "Time from looking at a namespace to its status written",
                Histogram::new(SECONDS),
            ),
            errors: metrics.register("controller_reconcile_errors", "Turns that ended in an error", Counter::default()),
            depth: metrics.register(
                "controller_queue_depth",
                "Namespaces that are due or being looked at",
                Gauge::default(),
            ),
            leader: metrics.register("controller_leader", "1 while this replica is the one that writes", Gauge::default()),
            generation: register("controller_published_generation", "Generation of the namespace's snapshot"),
            bytes: register("controller_published_bytes", "Compressed size of the namespace's snapshot"),
            states: metrics.register(
                "controller_key_states",
                "Versions of keys in the namespace's Secret, by state",
                PerState::default(),
            ),
        }
    }

    /// A namespace was published.
    pub(crate) fn published(&self, namespace: &str, generation: u64, bytes: usize, states: &BTreeMap<&'static str, usize>) {
        let label = [("namespace", namespace.to_owned())];
        self.generation.get_or_create(&label).set(generation);
        self.bytes.get_or_create(&label).set(u64::try_from(bytes).unwrap_or(u64::MAX));
        for state in STATES {
            let count = states.get(state).copied().unwrap_or_default();
            let label = [("namespace", namespace.to_owned()), ("state", state.to_owned())];
            self.states.get_or_create(&label).set(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// Nothing is published in a namespace any more.
    pub(crate) fn withdrawn(&self, namespace: &str) {
        let label = [("namespace", namespace.to_owned())];
        self.generation.remove(&label);
        self.bytes.remove(&label);
        for state in STATES {
            self.states
                .remove(&[("namespace", namespace.to_owned()), ("state", state.to_owned())]);
        }
    }
}
