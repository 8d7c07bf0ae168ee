//! The metrics registry. It decides the prefix and the text format; it never looks up a label while a request waits: callers register
//! once, keep the metric or the family, and hold resolved handles where it is hot.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::registry::{Metric, Registry};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry of a process; clones are handles to one.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// An empty registry whose names all start with `prefix_`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            registry: Arc::new(Mutex::new(Registry::with_prefix(prefix))),
        }
    }

    /// Registers a metric or a family of them and hands it back. `name` without prefix, and without `_total` for a counter: the format
    /// adds it. `help` is a sentence without its full stop, which the format adds as well.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.registry().register(name, help, metric.clone());
        metric
    }

    /// Registers a source that is asked at each scrape: for values that somebody else keeps.
    pub fn collect(&self, source: impl Collector) {
        self.registry().register_collector(Box::new(source));
    }

    /// Everything in OpenMetrics text form, to be served as [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Where a metric refuses to encode itself.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry())?;
        Ok(out)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;

    #[test]
    fn names_carry_the_prefix_and_handles_count_into_the_registry() {
        let metrics = Metrics::new("outrigger");
        let requests = metrics.register("requests", "Requests", Family::<[(&str, &str); 1], Counter>::default());
        let handle = requests.get_or_create(&[("route", "default/triage")]).clone();
        handle.inc_by(3);
        let text = metrics.encode().unwrap();
        assert!(text.contains("# HELP outrigger_requests Requests.\n"), "{text}");
        assert!(text.contains("outrigger_requests_total{route=\"default/triage\"} 3\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
