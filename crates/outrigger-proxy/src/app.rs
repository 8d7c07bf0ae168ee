//! What the whole data plane shares: the snapshot in force, the health that outlives it, the connection pools that outlive both, and
//! the counts of what is in flight.

use crate::{
    body::Outgoing,
    budget::{Budget, ReadBuffers},
    checks::Checks,
    metrics::{AttemptLabels, Metrics, NO_ROUTE, ReasonLabels, RequestLabels},
    record::Ring,
    settings::Settings,
    snapshot::{Snapshot, Unusable},
    surface::Api,
    upstream::Upstreams,
};
use arc_swap::ArcSwap;
use outrigger_core::{Class, Health, Secret, Table, Tick};
use outrigger_runtime::{Clock, Tasks};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The shared state of one data plane.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) budget: Arc<Budget>,
    pub(crate) read_buffers: Arc<ReadBuffers>,
    pub(crate) upstreams: Upstreams<Outgoing>,
    pub(crate) ring: Ring,
    pub(crate) checks: Checks,
    pub(crate) tasks: Tasks,
    cell: ArcSwap<Snapshot>,
    health: Mutex<Health>,
    generations: AtomicU64,
    /// Since when bytes of keys are missing, in microseconds of the clock; [`NOT_PENDING`] = none are.
    pending_since: AtomicU64,
}

const NOT_PENDING: u64 = u64::MAX;

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}

impl App {
    pub(crate) fn new(settings: Settings, clock: Clock, metrics: Metrics, upstreams: Upstreams<Outgoing>, tasks: Tasks) -> Self {
        let mut health = Health::new();
        let slots = health.attach(&Table::default(), &|_| false, Tick(clock.now_us()));
        Self {
            budget: Budget::new(settings.max_buffered, settings.max_in_flight),
            read_buffers: ReadBuffers::new(settings.max_buffered),
            settings,
            clock,
            metrics,
            upstreams,
            ring: Ring::default(),
            checks: Checks::default(),
            tasks,
            cell: ArcSwap::from_pointee(Snapshot::empty(slots)),
            health: Mutex::new(health),
            generations: AtomicU64::new(0),
            pending_since: AtomicU64::new(NOT_PENDING),
        }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick(self.clock.now_us())
    }

    /// The snapshot in force: taken once by each request, which then never looks again.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.cell.load_full()
    }

    /// The evidence, behind one short lock; never held across an `.await`.
    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number of this process's own count.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a table into force. A table that cannot be used changes nothing but a metric.
    pub(crate) fn install(&self, generation: u64, table: Table, secrets: &BTreeMap<String, Secret>, source: &str) -> Result<(), Unusable> {
        let slots = self.health().attach(&table, &|key| !secrets.contains_key(key), self.now());
        let next = match Snapshot::prepare(table, secrets, slots, &self.upstreams) {
            Ok(next) => next,
            Err(unusable) => {
                self.reject("unusable");
                return Err(unusable);
            }
        };
        let old = self.cell.swap(Arc::new(next));
        self.retire(&old);
        self.checks.follow();
        self.metrics.generation.set(generation);
        self.metrics.source.clear();
        self.metrics
            .source
            .get_or_create(&crate::metrics::SourceLabels { source: source.to_owned() })
            .set(1);
        Ok(())
    }

    /// Says whether bytes of keys are missing.
    pub(crate) fn await_keys(&self, pending: bool) {
        if pending {
            let now = self.now().0;
            // The wait goes on from where it began.
            let _ = self
                .pending_since
                .compare_exchange(NOT_PENDING, now, Ordering::Relaxed, Ordering::Relaxed);
        } else {
            self.pending_since.store(NOT_PENDING, Ordering::Relaxed);
        }
    }

    /// How long bytes of keys have been missing; zero where none are.
    pub(crate) fn pending_for(&self) -> Duration {
        match self.pending_since.load(Ordering::Relaxed) {
            NOT_PENDING => Duration::ZERO,
            since => self.now().since(Tick(since)),
        }
    }

    /// Counts a snapshot that was refused.
    pub(crate) fn reject(&self, reason: &'static str) {
        self.metrics.rejected.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Takes the series of what is no longer configured out of the metrics.
    fn retire(&self, old: &Snapshot) {
        let now = self.snapshot();
        for route in old
            .routes
            .iter()
            .filter(|route| !now.routes.iter().any(|kept| kept.label == route.label))
        {
            self.metrics
                .retire_route(&route.label, old.targets.iter().map(|target| &*target.label));
        }
        for target in old
            .targets
            .iter()
            .filter(|target| !now.targets.iter().any(|kept| kept.label == target.label))
        {
            self.metrics.retire_target(&target.label);
        }
    }

    pub(crate) fn count_unrouted(&self, api: Api, outcome: Class) {
        if let Some(slot) = self.metrics.unrouted.get(api.index()).and_then(|row| row.get(outcome as usize)) {
            let labels = || RequestLabels {
                route: NO_ROUTE.to_owned(),
                endpoint: api.as_str(),
                outcome: outcome.as_str(),
            };
            slot.get_or_init(|| self.metrics.requests.get_or_create_owned(&labels())).inc();
        }
    }

    /// Counts a pass-through: an attempt at its provider, a request without a route.
    pub(crate) fn count_passthrough(&self, provider: &str, outcome: Class) {
        let outcome = outcome.as_str();
        self.metrics
            .requests
            .get_or_create(&RequestLabels {
                route: NO_ROUTE.to_owned(),
                endpoint: "passthrough",
                outcome,
            })
            .inc();
        self.metrics
            .attempts
            .get_or_create(&AttemptLabels {
                target: format!("{provider}/passthrough"),
                outcome,
            })
            .inc();
    }

    pub(crate) fn waste(&self, reason: Class, usd: f64) {
        self.metrics
            .wasted
            .get_or_create(&ReasonLabels { reason: reason.as_str() })
            .inc_by(usd);
    }
}
