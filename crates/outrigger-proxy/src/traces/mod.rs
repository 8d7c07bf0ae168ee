//! Traces: what OpenTelemetry calls the account of a request. Whether one is taken is decided before anything is built; its spans are made
//! when the request settles, and leave by a queue that forgets rather than waits. Without an endpoint there is none of it.
//!
//! ```text
//! headers ─► Recorder::begin ─► Open, in the ledger ─settle─► Recorder::finish ─► queue ─► Exporter ─► collector
//!             (sampler)           (attempts as they go)         (spans)          (capped)   (beside the calls)
//! ```

mod context;
mod export;
mod otlp;
mod sampler;
mod settings;
mod spans;

pub(crate) use context::TraceId;
pub(crate) use export::{Exporter, Surroundings};
pub use settings::TraceSettings;
pub(crate) use spans::{Open, Told};

use crate::metrics::ReasonLabels;
use context::SpanId;
use http::HeaderMap;
use prometheus_client::metrics::{counter::Counter, family::Family};
use sampler::Sampler;
use spans::Span;
use tokio::sync::mpsc;

/// Spans that were made and did not get to the collector, by reason.
pub(crate) type Dropped = Family<ReasonLabels, Counter>;

/// Begins and ends traces. Clones feed one exporter.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    sampler: Sampler,
    queue: mpsc::Sender<Vec<Span>>,
    dropped: Dropped,
}

impl Recorder {
    /// A recorder, and the exporter to be run beside the calls.
    pub(crate) fn new(settings: TraceSettings, registry: &outrigger_runtime::Metrics) -> (Self, Exporter) {
        let help = "Spans of traced requests that did not get to the collector";
        let dropped = registry.register("spans_dropped", help, Dropped::default());
        let (queue, waiting) = mpsc::channel(settings.queue);
        let recorder = Self {
            sampler: settings.sampler,
            queue,
            dropped: dropped.clone(),
        };
        (recorder, Exporter::new(settings, waiting, dropped))
    }

    /// A trace for a request with these headers, if it is to have one.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Option<Box<Open>> {
        let parent = context::parent(headers);
        let trace = parent.as_ref().map_or_else(TraceId::mint, |parent| parent.trace);
        self.sampler.takes(parent.as_ref(), trace).then(|| {
            Box::new(Open {
                trace,
                span: SpanId::mint(),
                state: parent.as_ref().and_then(|_| context::state(headers)).map(Into::into),
                parent: parent.map(|parent| parent.span),
                model: None,
                attempts: Vec::new(),
            })
        })
    }

    /// The request has settled: its spans go on their way, or are counted as dropped.
    pub(crate) fn finish(&self, open: Open, told: &Told<'_>) {
        let spans = open.close(told);
        let count = spans.len();
        if self.queue.try_send(spans).is_err() {
            drops(&self.dropped, "queue_full", count as u64);
        }
    }
}

/// Counts spans that are lost.
fn drops(dropped: &Dropped, reason: &'static str, spans: u64) {
    dropped.get_or_create(&ReasonLabels { reason }).inc_by(spans);
}
