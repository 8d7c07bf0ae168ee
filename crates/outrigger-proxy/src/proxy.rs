//! The data plane as a library: what the sidecar, `dev`, `demo` and the tests run.

use crate::{
    admin::Admin,
    app::App,
    checks, connection,
    gauges::Gauges,
    metrics::Metrics,
    settings::Settings,
    snapshot::Unusable,
    upstream::{PoolSettings, Tls, TlsError, Upstreams},
};
use outrigger_core::{Secret, Table};
use outrigger_runtime::{Clock, Draining, Listeners, Tasks};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tokio::sync::Semaphore;

/// A data plane. Clones are handles to one.
#[derive(Clone, Debug)]
pub struct Proxy {
    app: Arc<App>,
}

impl Proxy {
    /// A data plane without routes. `roots` is a PEM file of certificates to trust beside the public ones. Its metrics go into `registry`, its
    /// connections into `tasks`.
    ///
    /// # Errors
    /// Where `roots` cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime: that of the calls.
    pub fn new(
        settings: Settings,
        roots: Option<&Path>,
        registry: &outrigger_runtime::Metrics,
        tasks: Tasks,
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let tls = Arc::new(Tls::new(roots)?);
        let upstreams = Upstreams::new(PoolSettings::default(), tls, tasks.clone(), clock);
        let app = Arc::new(App::new(settings, clock, Metrics::register(registry), upstreams, tasks));
        registry.collect(Gauges(Arc::clone(&app)));
        app.tasks.background("health checks", checks::run(Arc::clone(&app)));
        Ok(Self { app })
    }

    /// Puts a routing table into force at once; calls under way go on by the one they began with. `secrets` are the bytes of its keys, by id;
    /// a key without bytes is skipped. `source` says where it came from, for the metrics. Returns the generation.
    ///
    /// # Errors
    /// A table that contradicts itself changes nothing.
    pub fn install(&self, table: Table, secrets: &BTreeMap<String, Secret>, source: &str) -> Result<u64, Unusable> {
        let generation = self.app.next_generation();
        self.app.install(generation, table, secrets, source)?;
        Ok(generation)
    }

    /// As [`install`](Self::install), for a table that comes with a number.
    ///
    /// # Errors
    /// A table that contradicts itself changes nothing.
    pub fn publish(&self, generation: u64, table: Table, secrets: &BTreeMap<String, Secret>, source: &str) -> Result<(), Unusable> {
        self.app.install(generation, table, secrets, source)
    }

    /// Says whether bytes of keys that the table refers to are still on their way, for the metrics.
    pub fn await_keys(&self, pending: bool) {
        self.app.await_keys(pending);
    }

    /// Counts a routing table that was refused before it came here; `reason` is a constant.
    pub fn reject(&self, reason: &'static str) {
        self.app.reject(reason);
    }

    /// Whom its connections trust.
    pub(crate) fn tls(&self) -> Arc<Tls> {
        self.app.upstreams.tls()
    }

    /// What the admin port shows.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.app))
    }

    /// Serves `listeners` until the drain begins; connections then end with their current request.
    pub async fn serve(&self, mut listeners: Listeners, draining: Draining) {
        let places = Arc::new(Semaphore::new(self.app.settings.max_connections));
        let mut ear = draining.clone();
        let mut stop = std::pin::pin!(ear.graceful());
        loop {
            // With all places taken further clients wait in the kernel's queue.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let stream = tokio::select! {
                biased;
                () = stop.as_mut() => return,
                (stream, _) = listeners.accept() => stream,
            };
            let served = connection::serve(Arc::clone(&self.app), stream, draining.clone());
            self.app.tasks.spawn("connection", async move {
                served.await;
                drop(place);
            });
        }
    }
}
