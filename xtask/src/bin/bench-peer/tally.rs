//! Counts what happens and when. It must never count the warm-up.

use std::process;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::sample::{self, Scheduled};
use crate::spec::{Arrivals, Measured, Quantiles, Spec};

/// Two minutes: longer than any run.
const LONGEST_NS: u64 = 120_000_000_000;

/// The figures of one run.
pub(crate) struct Tally {
    pid: u32,
    by_schedule: bool,
    window: Option<(Instant, Option<Instant>)>,
    at_start: Scheduled,
    own_at_start: Scheduled,
    latency: Histogram<u64>,
    delay: Histogram<u64>,
    /// What has been found so far.
    pub(crate) found: Measured,
}

impl Tally {
    /// An empty one; takes the first look at the process's memory.
    pub(crate) fn new(spec: &Spec) -> anyhow::Result<Self> {
        let (rss_start_kib, _) = sample::memory_kib(spec.pid)?;
        Ok(Self {
            pid: spec.pid,
            by_schedule: matches!(spec.arrivals, Arrivals::Open { .. }),
            window: None,
            at_start: Scheduled::default(),
            own_at_start: Scheduled::default(),
            latency: Histogram::new_with_max(LONGEST_NS, 3)?,
            delay: Histogram::new_with_max(LONGEST_NS, 3)?,
            found: Measured {
                rss_start_kib,
                ..Measured::default()
            },
        })
    }

    /// The window opens.
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        self.own_at_start = sample::scheduled(process::id())?;
        self.at_start = sample::scheduled(self.pid)?;
        self.window = Some((sample::now(), None));
        Ok(())
    }

    /// The window closes.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        let now = sample::now();
        let at_end = sample::scheduled(self.pid)?;
        self.found.cpu_ns = at_end.ran_ns.saturating_sub(self.at_start.ran_ns);
        self.found.waited_ns = at_end.waited_ns.saturating_sub(self.at_start.waited_ns);
        let own = sample::scheduled(process::id())?;
        self.found.load_waited_ns = own.waited_ns.saturating_sub(self.own_at_start.waited_ns);
        if let Some((start, end)) = &mut self.window {
            *end = Some(now);
            self.found.window_ns = nanos(now - *start);
        }
        (self.found.rss_end_kib, self.found.hwm_kib) = sample::memory_kib(self.pid)?;
        Ok(())
    }

    /// An answer is complete.
    pub(crate) fn answered(&mut self, since: Instant, now: Instant) {
        self.found.answered += 1;
        let completed = self.in_window(now);
        self.found.completed += u64::from(completed);
        // A scheduled request counts by its schedule, so that the slowest ones, which end after the window, are not lost.
        if if self.by_schedule { self.in_window(since) } else { completed } {
            self.latency.saturating_record(nanos(now - since));
        }
    }

    /// A paced write of the upstream reached the client.
    pub(crate) fn delivered(&mut self, sent: Instant, now: Instant) {
        if self.in_window(now) {
            self.delay.saturating_record(nanos(now - sent));
        }
    }

    /// All streams are in progress: remember the process's size.
    pub(crate) fn all_open(&mut self) -> anyhow::Result<()> {
        let (rss, _) = sample::memory_kib(self.pid)?;
        self.found.rss_open_kib = self.found.rss_open_kib.max(rss);
        Ok(())
    }

    /// A request failed.
    pub(crate) fn failed(&mut self, why: impl FnOnce() -> String) {
        self.found.errors += 1;
        self.found.first_error.get_or_insert_with(why);
    }

    /// The result.
    pub(crate) fn finish(mut self) -> Measured {
        self.found.latency = quantiles(&self.latency);
        self.found.chunk_delay = (!self.delay.is_empty()).then(|| quantiles(&self.delay));
        self.found
    }

    fn in_window(&self, at: Instant) -> bool {
        matches!(self.window, Some((start, end)) if at >= start && end.is_none_or(|end| at <= end))
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    Quantiles {
        count: histogram.len(),
        p50: histogram.value_at_quantile(0.5),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
