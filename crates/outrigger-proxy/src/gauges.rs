//! Gauges that are asked for when somebody reads the metrics, so that nothing keeps them up to date in between.

use crate::{app::App, metrics::StateLabels};
use outrigger_core::{Breaker, Table};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
};
use std::{fmt, sync::Arc};

/// What is in flight, and the state of each target.
#[derive(Debug)]
pub(crate) struct Gauges(pub(crate) Arc<App>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let app = &self.0;
        let calls = ConstGauge::new(i64::try_from(app.budget.calls()).unwrap_or(i64::MAX));
        calls.encode(encoder.encode_descriptor("in_flight", "Calls in flight", None, calls.metric_type())?)?;
        let bytes = ConstGauge::new(i64::try_from(app.budget.bytes()).unwrap_or(i64::MAX));
        let help = "Bytes of prompts and held answers in memory";
        bytes.encode(encoder.encode_descriptor("buffered_bytes", help, None, bytes.metric_type())?)?;
        let pending = ConstGauge::new(app.pending_for().as_secs_f64());
        let help = "How long bytes of keys that the snapshot refers to have been missing";
        pending.encode(encoder.encode_descriptor("snapshot_pending_seconds", help, None, pending.metric_type())?)?;
        let states = self.states();
        states.encode(encoder.encode_descriptor("target_state", "1 for the state that a target is in", None, states.metric_type())?)
    }
}

impl Gauges {
    fn states(&self) -> Family<StateLabels, Gauge> {
        let snapshot = self.0.snapshot();
        let now = self.0.now();
        let health = self.0.health();
        let states = Family::<StateLabels, Gauge>::default();
        for (index, target) in snapshot.targets.iter().enumerate() {
            let view = health.view(&snapshot.table, &snapshot.slots, &breaker(&snapshot.table, index), index, now);
            let labels = StateLabels {
                target: target.label.to_string(),
                state: view.state.as_str(),
            };
            states.get_or_create(&labels).set(1);
        }
        states
    }
}

/// The thresholds by which a target is shown: those of the first route that uses it. Evidence is shared, verdicts are each route's own.
pub(crate) fn breaker(table: &Table, target: usize) -> Breaker {
    let uses = |route: &&outrigger_core::Route| route.rules.iter().any(|rule| rule.candidates.iter().any(|c| c.target == target));
    table.routes.iter().find(uses).map(|route| route.breaker).unwrap_or_default()
}
