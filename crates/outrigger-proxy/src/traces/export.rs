//! The way of spans to the collector: batches by OTLP over HTTP, tried again as the protocol says, beside the calls and never in their way.
//! A collector that is down, slow or talks nonsense costs spans, which are counted, and two lines in the log.

use super::{Dropped, TraceSettings, drops, otlp, spans::Span};
use crate::{
    names,
    upstream::{Destination, PoolSettings, SendOptions, Tls, Upstreams},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use outrigger_runtime::{Clock, InFlight, Tasks};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// Spans that travel together, give or take a request's.
const BATCH: usize = 512;
/// Tries for a batch, and the pause after the first; each next pause is twice as long.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long spans may still leave once the last call has ended.
const FLUSH: Duration = Duration::from_secs(5);
/// Most bytes of a collector's answer that are read.
const ANSWER: usize = 64 << 10;

/// Carries spans from the queue to the collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    settings: TraceSettings,
    queue: mpsc::Receiver<Vec<Span>>,
    dropped: Dropped,
    /// Taken from the queue.
    batch: Vec<Span>,
    /// How many are with the collector, who has not answered yet.
    under_way: u64,
    /// Whether the last batch was lost: it is told once.
    failing: bool,
}

/// What the exporter needs of the process.
pub(crate) struct Surroundings {
    pub(crate) tls: Arc<Tls>,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
    /// Closed when the last call has ended.
    pub(crate) calls: watch::Receiver<()>,
    /// The drain waits for this.
    pub(crate) in_flight: InFlight,
}

/// What a collector made of a batch.
enum Answer {
    /// It has it, all but so many spans.
    Taken(u64),
    /// It may take it later, in so long where it said so.
    Later(Cow<'static, str>, Option<Duration>),
    /// It never will.
    Refused(StatusCode),
}

impl Exporter {
    pub(super) fn new(settings: TraceSettings, queue: mpsc::Receiver<Vec<Span>>, dropped: Dropped) -> Self {
        Self {
            settings,
            queue,
            dropped,
            batch: Vec::new(),
            under_way: 0,
            failing: false,
        }
    }

    /// Works until the last call has ended and its spans have left, or had the time to.
    pub(crate) async fn run(mut self, surroundings: Surroundings) {
        let Surroundings {
            tls,
            tasks,
            clock,
            calls,
            in_flight,
        } = surroundings;
        let pool = PoolSettings {
            max_idle_per_origin: 1,
            max_connections_per_origin: 2,
            ..PoolSettings::default()
        };
        let upstreams = Upstreams::new(pool, tls, tasks, clock);
        let collector = match upstreams.destination(&self.settings.origin, None) {
            Ok(destination) => Collector { upstreams, destination },
            Err(error) => {
                tracing::warn!(%error, "traces are off");
                return;
            }
        };
        tracing::info!(collector = %self.settings.origin.authority(), "requests are traced");
        let late = {
            let mut calls = calls.clone();
            async move {
                over(&mut calls).await;
                sleep(FLUSH).await;
            }
        };
        tokio::select! {
            biased;
            () = self.work(&collector, calls) => {}
            () = late => self.abandon(),
        }
        drop(in_flight);
    }

    /// Delivers what comes until the last call has ended and nothing is left.
    async fn work(&mut self, collector: &Collector, mut calls: watch::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                () = over(&mut calls) => self.take(),
                () = self.gather() => {}
            }
            if self.batch.is_empty() {
                return;
            }
            self.deliver(collector).await;
        }
    }

    /// Waits for a batch: a full one, or what has come within the delay of its first. Cut short it keeps what it has.
    async fn gather(&mut self) {
        self.receive().await;
        let _ = timeout(self.settings.delay, async {
            while self.batch.len() < BATCH {
                self.receive().await;
            }
        })
        .await;
    }

    async fn receive(&mut self) {
        match self.queue.recv().await {
            Some(spans) => self.batch.extend(spans),
            // Nobody is left to send any.
            None => std::future::pending().await,
        }
    }

    /// Takes what waits, up to a batch.
    fn take(&mut self) {
        while self.batch.len() < BATCH
            && let Ok(spans) = self.queue.try_recv()
        {
            self.batch.extend(spans);
        }
    }

    /// Sends the batch until the collector has taken it or will not.
    async fn deliver(&mut self, collector: &Collector) {
        let body = Bytes::from(otlp::export(&self.settings.resource, self.batch.iter()));
        self.under_way = self.batch.len() as u64;
        self.batch.clear();
        let mut pause = PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let wait = match collector.post(&self.settings, body.clone()).await {
                Answer::Taken(rejected) => {
                    self.arrived(rejected);
                    return;
                }
                Answer::Refused(status) => {
                    self.lose("refused", &format!("the collector answers {status}"));
                    return;
                }
                Answer::Later(problem, _) if tries == TRIES => {
                    self.lose("unreachable", &problem);
                    return;
                }
                // Half of it for all, the rest by chance: a thousand sidecars must not come back at once.
                Answer::Later(_, None) => pause.mul_f64(0.5 + fastrand::f64()),
                Answer::Later(_, Some(asked)) => asked.min(LONGEST_PAUSE).mul_f64(1.0 + fastrand::f64() / 10.0),
            };
            sleep(wait).await;
            pause *= 2;
        }
    }

    fn arrived(&mut self, rejected: u64) {
        let rejected = rejected.min(std::mem::take(&mut self.under_way));
        if rejected > 0 {
            drops(&self.dropped, "rejected", rejected);
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("traces get to the collector again");
        }
    }

    fn lose(&mut self, reason: &'static str, problem: &str) {
        drops(&self.dropped, reason, std::mem::take(&mut self.under_way));
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                reason,
                problem,
                "traces do not get to the collector: until they do they are dropped and counted"
            );
        }
    }

    /// Counts whatever has not arrived: the process ends.
    fn abandon(&mut self) {
        self.queue.close();
        let mut lost = std::mem::take(&mut self.under_way) + self.batch.drain(..).len() as u64;
        while let Ok(spans) = self.queue.try_recv() {
            lost += spans.len() as u64;
        }
        drops(&self.dropped, "shutdown", lost);
        tracing::warn!(spans = lost, "the last traces did not get to the collector in time");
    }
}

/// Resolves when the last call has ended.
async fn over(calls: &mut watch::Receiver<()>) {
    while calls.changed().await.is_ok() {}
}

/// The collector's end of the wire.
struct Collector {
    upstreams: Upstreams<Full<Bytes>>,
    destination: Destination<Full<Bytes>>,
}

impl Collector {
    async fn post(&self, settings: &TraceSettings, body: Bytes) -> Answer {
        match timeout(settings.timeout, self.exchange(settings, body)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Later("the collector does not answer in time".into(), None),
        }
    }

    async fn exchange(&self, settings: &TraceSettings, body: Bytes) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = settings.path.clone();
        *request.headers_mut() = settings.headers.clone();
        let out = request.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(otlp::MEDIA_TYPE));
        out.insert(header::USER_AGENT, names::AGENT.clone());
        let options = SendOptions {
            connect_timeout: settings.timeout,
            fresh: false,
        };
        let (head, body) = match self.upstreams.send(&self.destination, request, options).await {
            Ok(sent) => sent.response.into_parts(),
            Err(error) => return Answer::Later(error.message, None),
        };
        // Read whatever the status: read to its end the answer gives its connection back.
        let said = Limited::new(body, ANSWER).collect().await;
        match head.status {
            // A collector that took the spans and then says something odd has taken them.
            status if status.is_success() => Answer::Taken(said.map_or(0, |said| otlp::rejected(&said.to_bytes()))),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Answer::Later(format!("the collector answers {}", head.status).into(), retry_after(&head.headers))
            }
            status => Answer::Refused(status),
        }
    }
}

/// `Retry-After` in seconds; as a date it is left alone.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
