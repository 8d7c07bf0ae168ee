//! The data plane's metrics. Label values come from configuration alone, never from a request; handles are resolved with the snapshot
//! or at their first use, so that counting on the request path is one addition.

use outrigger_core::Class;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
};
use std::{
    fmt,
    sync::{OnceLock, atomic::AtomicU64},
};

/// Dollars, and anything else that is not whole.
pub(crate) type Dollars = Counter<f64, AtomicU64>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: String,
    pub(crate) endpoint: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct AttemptLabels {
    pub(crate) target: String,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TargetLabels {
    pub(crate) target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TokenLabels {
    pub(crate) target: String,
    pub(crate) class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct CostLabels {
    pub(crate) route: String,
    pub(crate) target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ReasonLabels {
    pub(crate) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct StateLabels {
    pub(crate) target: String,
    pub(crate) state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct SourceLabels {
    pub(crate) source: String,
}

/// Buckets for latencies that a caller feels, seconds.
#[derive(Clone, Copy)]
pub(crate) struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0,
        ])
    }
}

/// Buckets for the time per token, seconds.
#[derive(Clone, Copy)]
pub(crate) struct PerToken;

impl MetricConstructor<Histogram> for PerToken {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64])
    }
}

/// Every family of the data plane.
pub(crate) struct Metrics {
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) attempts: Family<AttemptLabels, Counter>,
    pub(crate) request_seconds: Family<RouteLabels, Histogram, Latency>,
    pub(crate) first_content_seconds: Family<RouteLabels, Histogram, Latency>,
    pub(crate) attempt_first_content_seconds: Family<TargetLabels, Histogram, Latency>,
    pub(crate) attempt_per_token_seconds: Family<TargetLabels, Histogram, PerToken>,
    pub(crate) overhead_seconds: Histogram,
    pub(crate) tokens: Family<TokenLabels, Counter>,
    pub(crate) cost: Family<CostLabels, Dollars>,
    pub(crate) wasted: Family<ReasonLabels, Dollars>,
    pub(crate) baseline: Family<RouteLabels, Dollars>,
    pub(crate) generation: Gauge<u64, AtomicU64>,
    pub(crate) rejected: Family<ReasonLabels, Counter>,
    pub(crate) source: Family<SourceLabels, Gauge>,
    /// Calls for which no route was found; not a route's series.
    pub(crate) unrouted: Vec<[OnceLock<Counter>; Class::ALL.len()]>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// The label value of calls that belong to no route.
pub(crate) const NO_ROUTE: &str = "none";

impl Metrics {
    /// Makes the families and registers them.
    pub(crate) fn register(registry: &outrigger_runtime::Metrics) -> Self {
        let metrics = Self {
            requests: Family::default(),
            attempts: Family::default(),
            request_seconds: Family::new_with_constructor(Latency),
            first_content_seconds: Family::new_with_constructor(Latency),
            attempt_first_content_seconds: Family::new_with_constructor(Latency),
            attempt_per_token_seconds: Family::new_with_constructor(PerToken),
            overhead_seconds: Histogram::new([
                0.000_025, 0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_6, 0.003_2, 0.006_4, 0.012_8, 0.05, 0.25, 1.0,
            ]),
            tokens: Family::default(),
            cost: Family::default(),
            wasted: Family::default(),
            baseline: Family::default(),
            generation: Gauge::default(),
            rejected: Family::default(),
            source: Family::default(),
            unrouted: crate::surface::Api::ALL.iter().map(|_| Default::default()).collect(),
        };
        metrics.describe(registry);
        metrics
    }

    fn describe(&self, registry: &outrigger_runtime::Metrics) {
        registry.register("requests", "Requests by route, endpoint and outcome", self.requests.clone());
        registry.register("attempts", "Attempts by target and outcome", self.attempts.clone());
        registry.register(
            "request_duration_seconds",
            "From accept to the last byte of the answer",
            self.request_seconds.clone(),
        );
        registry.register(
            "first_content_seconds",
            "From accept to the first content of a stream, or the whole unary answer",
            self.first_content_seconds.clone(),
        );
        registry.register(
            "attempt_first_content_seconds",
            "From the attempt's start to its first content",
            self.attempt_first_content_seconds.clone(),
        );
        registry.register(
            "attempt_time_per_token_seconds",
            "Time per generated token after the first",
            self.attempt_per_token_seconds.clone(),
        );
        registry.register(
            "overhead_seconds",
            "Accept to sent, plus received to written",
            self.overhead_seconds.clone(),
        );
        registry.register("tokens", "Tokens by target and class", self.tokens.clone());
        registry.register("cost_usd", "What was spent, US dollars", self.cost.clone());
        registry.register(
            "wasted_usd",
            "The part that was spent on answers that nobody got whole, US dollars",
            self.wasted.clone(),
        );
        registry.register(
            "baseline_usd",
            "What the routes' baseline models would have cost, US dollars",
            self.baseline.clone(),
        );
        registry.register(
            "snapshot_generation",
            "Generation of the routing snapshot in force",
            self.generation.clone(),
        );
        registry.register(
            "snapshot_rejected",
            "Snapshots that were refused; the last good one stayed in force",
            self.rejected.clone(),
        );
        registry.register(
            "snapshot_source",
            "1 for where the snapshot in force came from",
            self.source.clone(),
        );
    }

    /// Removes the series of a route that is no longer configured.
    pub(crate) fn retire_route<'a>(&self, route: &str, targets: impl Iterator<Item = &'a str>) {
        for api in crate::surface::Api::ALL {
            for class in Class::ALL {
                let labels = RequestLabels {
                    route: route.to_owned(),
                    endpoint: api.as_str(),
                    outcome: class.as_str(),
                };
                self.requests.remove(&labels);
            }
        }
        let labels = RouteLabels { route: route.to_owned() };
        self.request_seconds.remove(&labels);
        self.first_content_seconds.remove(&labels);
        self.baseline.remove(&labels);
        for target in targets {
            self.cost.remove(&CostLabels {
                route: route.to_owned(),
                target: target.to_owned(),
            });
        }
    }

    /// Removes the series of a target that is no longer configured.
    pub(crate) fn retire_target(&self, target: &str) {
        for class in Class::ALL {
            self.attempts.remove(&AttemptLabels {
                target: target.to_owned(),
                outcome: class.as_str(),
            });
        }
        for class in TOKEN_CLASSES {
            self.tokens.remove(&TokenLabels {
                target: target.to_owned(),
                class,
            });
        }
        let labels = TargetLabels { target: target.to_owned() };
        self.attempt_first_content_seconds.remove(&labels);
        self.attempt_per_token_seconds.remove(&labels);
    }
}

/// The classes of `outrigger_tokens_total`, in the order of [`token_counts`].
pub(crate) const TOKEN_CLASSES: [&str; 5] = ["input", "output", "cached_read", "cache_write", "reasoning"];

/// The counts of a usage in the order of [`TOKEN_CLASSES`].
pub(crate) fn token_counts(usage: &outrigger_core::Usage) -> [u64; 5] {
    [usage.input, usage.output, usage.cached_read, usage.cache_write, usage.reasoning]
}
