//! What the controller counts. Labels are namespaces and states, never the name of a key or a model.

use crate::inject::Problem;
use outrigger_runtime::Metrics;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use std::{collections::BTreeMap, sync::atomic::AtomicU64};

type PerNamespace = Family<[(&'static str, String); 1], Gauge<u64, AtomicU64>>;
type PerState = Family<[(&'static str, String); 2], Gauge<u64, AtomicU64>>;

/// Upper ends of the buckets, seconds.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The states of a distributed version.
const STATES: [&str; 3] = ["next", "active", "draining"];

/// What became of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Injected,
    Left,
    Denied,
    /// It was none.
    Bad,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Left => "left",
            Self::Denied => "denied",
            Self::Bad => "bad",
        }
    }
}

/// What the webhook and its watchdog count.
#[derive(Clone, Debug)]
pub(crate) struct Injections {
    reviews: Family<[(&'static str, &'static str); 1], Counter>,
    certificate_ends: Gauge<u64, AtomicU64>,
    problems: PerState,
    bypassed: PerNamespace,
}

impl Injections {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            reviews: metrics.register(
                "webhook_reviews",
                "Pods that the webhook was asked about, by what came of it",
                Family::default(),
            ),
            certificate_ends: metrics.register(
                "webhook_certificate_end_timestamp_seconds",
                "When the webhook's certificate ends, in seconds since 1970; 0 = it is not the controller's own",
                Gauge::default(),
            ),
            problems: metrics.register(
                "sidecar_problems",
                "Pods that ask for the sidecar and have none or an old one, as the leader saw them last",
                Family::default(),
            ),
            bypassed: metrics.register(
                "bypassed_containers",
                "Containers of injected pods that lead an SDK past the sidecar, as the leader saw them last",
                Family::default(),
            ),
        }
    }

    /// A review was answered.
    pub(crate) fn reviewed(&self, outcome: Outcome) {
        self.reviews.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// The certificate lasts until then, seconds since 1970.
    pub(crate) fn certificate_ends(&self, at: u64) {
        self.certificate_ends.set(at);
    }

    /// What a look at all pods has found, by namespace.
    pub(crate) fn looked(&self, problems: &BTreeMap<(String, Problem), u64>, bypassed: &BTreeMap<String, u64>) {
        self.forget();
        for ((namespace, problem), count) in problems {
            let label = [("namespace", namespace.clone()), ("problem", problem.as_str().to_owned())];
            self.problems.get_or_create(&label).set(*count);
        }
        for (namespace, count) in bypassed {
            self.bypassed.get_or_create(&[("namespace", namespace.clone())]).set(*count);
        }
    }

    /// Nobody looks here any more.
    pub(crate) fn forget(&self) {
        self.problems.clear();
        self.bypassed.clear();
    }
}

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
