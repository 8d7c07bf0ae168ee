//! The ledger of one admitted request. Each is settled exactly once: by its end, or by being dropped, which is a client's hang-up.

use crate::{
    app::App,
    budget::Held,
    metrics::token_counts,
    record::{AttemptRecord, Record, RequestId},
    snapshot::{RouteHandle, TargetHandle},
    surface::Api,
    traces::{Open, Told},
};
use outrigger_core::{Class, Ending, Headroom, Learnt, PicoUsd, Price, StreamEnd, Tick, Usage};
use outrigger_dialect::Report;
use std::{sync::Arc, time::Duration};

/// Who serves a committed request.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) target: Arc<TargetHandle>,
    pub(crate) target_index: usize,
    pub(crate) slot: outrigger_core::Slot,
    /// What the provider says is left of the key's rate.
    pub(crate) headroom: Option<Headroom>,
    pub(crate) model: Arc<str>,
    pub(crate) price: Option<Price>,
}

/// The open account of a request.
#[derive(Debug)]
pub(crate) struct Ledger {
    app: Arc<App>,
    /// The request's place and bytes in flight.
    pub(crate) held: Held,
    pub(crate) id: RequestId,
    pub(crate) api: Api,
    pub(crate) stream: bool,
    pub(crate) accepted: Tick,
    /// Reference tokens of the prompt: the estimate where a provider reports no usage.
    pub(crate) prompt_tokens: u32,
    pub(crate) route: Option<Arc<RouteHandle>>,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) attempts: Vec<AttemptRecord>,
    pub(crate) served: Option<Served>,
    pub(crate) first_sent: Option<Tick>,
    pub(crate) first_content: Option<Tick>,
    pub(crate) report: Report,
    /// The trace that it becomes; absent where it becomes none.
    pub(crate) trace: Option<Box<Open>>,
    settled: bool,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bill {
    pub(crate) usage: Option<Usage>,
    pub(crate) estimated: bool,
    pub(crate) cost: Option<PicoUsd>,
    pub(crate) baseline: Option<PicoUsd>,
}

impl Ledger {
    pub(crate) fn open(app: Arc<App>, held: Held, id: RequestId, api: Api, accepted: Tick) -> Self {
        Self {
            app,
            held,
            id,
            api,
            stream: false,
            accepted,
            prompt_tokens: 0,
            route: None,
            rule: None,
            attempts: Vec::new(),
            served: None,
            first_sent: None,
            first_content: None,
            report: Report::default(),
            trace: None,
            settled: false,
        }
    }

    /// Usage and cost of what has come so far. Without a report from the provider both are estimates.
    pub(crate) fn bill(&self) -> Bill {
        let Some(served) = &self.served else { return Bill::default() };
        let counts_nothing = self.api == Api::CountTokens;
        let (usage, estimated) = match self.report.usage {
            _ if counts_nothing => return Bill::default(),
            Some(usage) => (usage, false),
            None => {
                let output = self.report.content_bytes.div_ceil(4);
                (
                    Usage {
                        input: u64::from(self.prompt_tokens),
                        output,
                        ..Usage::default()
                    },
                    true,
                )
            }
        };
        let baseline = self.route.as_ref().and_then(|route| route.baseline);
        Bill {
            usage: Some(usage),
            estimated,
            cost: self.report.cost.or_else(|| served.price.map(|price| price.of(&usage))),
            baseline: baseline.map(|price| price.of(&usage)),
        }
    }

    /// Closes the account.
    pub(crate) fn settle(mut self, outcome: Class) {
        self.close(outcome);
    }

    /// The record as it stands, were the request to end now.
    pub(crate) fn record(&self, outcome: Class, now: Tick) -> Record {
        self.record_of(self.attempts.clone(), self.report.finish.clone(), outcome, now)
    }

    fn record_of(&self, attempts: Vec<AttemptRecord>, finish: Option<String>, outcome: Class, now: Tick) -> Record {
        let bill = self.bill();
        Record {
            id: self.id,
            trace: self.trace.as_ref().map(|trace| trace.trace()),
            outcome,
            route: self.route.as_ref().map(|route| Arc::clone(&route.label)),
            rule: self.rule.clone(),
            endpoint: self.api.as_str(),
            stream: self.stream,
            attempts,
            provider: self.served.as_ref().map(|served| Arc::clone(&served.target.provider.label)),
            model: self.served.as_ref().map(|served| Arc::clone(&served.model)),
            usage: bill.usage,
            cost: bill.cost,
            baseline: bill.baseline,
            wasted: if outcome == Class::Ok { None } else { bill.cost },
            estimated: bill.estimated,
            finish,
            total_us: now.0.saturating_sub(self.accepted.0),
            first_content_us: self.first_content.map(|at| at.0.saturating_sub(self.accepted.0)),
            gateway_us: self.gateway_us(now),
        }
    }

    /// Accept to sent, plus received to written. A stream's chunks are written as they come, so only a unary answer has a second part.
    fn gateway_us(&self, now: Tick) -> u64 {
        let before = self.first_sent.map_or(now, |sent| sent).0.saturating_sub(self.accepted.0);
        let after = match self.first_content {
            Some(received) if !self.stream => now.0.saturating_sub(received.0),
            _ => 0,
        };
        before + after
    }

    fn close(&mut self, outcome: Class) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let now = self.app.now();
        let (attempts, finish) = (std::mem::take(&mut self.attempts), self.report.finish.take());
        let record = self.record_of(attempts, finish, outcome, now);
        let metrics = &self.app.metrics;
        match &self.route {
            Some(route) => {
                route.count_request(metrics, self.api, outcome);
                route.saw_request(metrics, seconds(record.total_us), record.first_content_us.map(seconds));
                if let Some(baseline) = record.baseline {
                    route.would_have_spent(metrics, baseline.dollars());
                }
            }
            None => self.app.count_unrouted(self.api, outcome),
        }
        metrics.overhead_seconds.observe(seconds(record.gateway_us));
        if let Some(served) = &self.served {
            if let (Some(route), Some(cost)) = (&self.route, record.cost) {
                route.spend(metrics, (served.target_index, &served.target.label), cost.dollars());
            }
            if let Some(wasted) = record.wasted {
                self.app.waste(outcome, wasted.dollars());
            }
            if let Some(usage) = &record.usage {
                served.target.count_tokens(metrics, token_counts(usage));
            }
            self.learn(served, outcome, &record, now);
        }
        if let (Some(trace), Some(recorder)) = (self.trace.take(), &self.app.settings.traces) {
            let told = Told {
                record: &record,
                answered: self.report.model.as_deref(),
                accepted: self.accepted,
                first_content: self.first_content,
                now,
                unix_us: self.app.clock.unix_us(),
            };
            recorder.finish(*trace, &told);
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(record = %record.json(), "request");
        }
        self.app.ring.push(record);
    }

    /// Tells the target's health what the answer has shown, and how a stream went on after its first content.
    fn learn(&self, served: &Served, outcome: Class, record: &Record, now: Tick) {
        let usage = record.usage.filter(|_| outcome == Class::Ok && !record.estimated);
        if usage.is_some() || served.headroom.is_some() {
            let headroom = served.headroom;
            self.app.health().learn(served.slot, Learnt { usage, headroom }, now);
        }
        let (true, Some(first)) = (self.stream, self.first_content) else {
            return;
        };
        let tokens = record.usage.map_or(0, |usage| usage.output);
        let since_first = now.since(first);
        if outcome == Class::Ok && tokens > 1 {
            let each = since_first.as_secs_f64() / f64::from(u32::try_from(tokens - 1).unwrap_or(u32::MAX));
            served.target.saw_time_per_token(&self.app.metrics, each);
        }
        let end = StreamEnd {
            how: if outcome == Class::Ok {
                Ending::Whole
            } else if outcome == Class::Cancelled {
                Ending::Left
            } else {
                Ending::Broken
            },
            output_tokens: tokens,
            since_first,
        };
        self.app.health().settle(served.slot, end, now);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close(Class::Cancelled);
    }
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}
