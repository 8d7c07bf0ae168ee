//! Evidence of one target on calls of one kind: one prompt-size class, streamed or unary. Short and long prompts, first tokens and whole
//! answers are never mixed into one figure.

use super::{
    buckets::{MEMORY, NEEDED, Samples},
    learnt::Mean,
    probation::{Probation, Returned, precedes},
};
use crate::{
    Tick,
    plan::Shape,
    table::{Breaker, SlowOf, SlowRule},
};
use alloc::collections::VecDeque;
use core::time::Duration;

/// Prompt-size classes, by the shortest prompt of each in reference tokens.
const CLASSES: [u32; 3] = [0, 4_096, 32_768];
/// How many lanes a target has.
pub(super) const LANES: usize = 2 * CLASSES.len();
/// Start times that are kept of attempts in flight; beyond it (an overload by itself) attempts run uncounted.
const WAITING: usize = 4_096;
/// Age at which an attempt in flight is no longer believed in.
const LOST: Duration = Duration::from_hours(1);
/// Overdue attempts that make a target suspect.
pub(super) const OVERDUE: usize = 3;
/// No learnt time below it makes an attempt overdue.
const FLOOR: Duration = Duration::from_millis(250);
/// What an attempt may take while nothing is learnt and the route says nothing.
const UNLEARNT: Duration = Duration::from_secs(2);
/// How much longer a model that thinks first may take.
pub(crate) const REASONING: u32 = 10;
/// Samples below which a target is not called slow.
const JUDGED: u32 = 10;

/// The lane of a call: an index below [`LANES`].
pub(crate) fn lane_of(shape: Shape) -> usize {
    // The first class takes every prompt.
    let above = CLASSES.iter().skip(1).filter(|from| shape.prompt_tokens >= **from);
    2 * above.count() + usize::from(shape.stream)
}

/// The shortest prompt of a lane's calls, in reference tokens, and whether they are streams.
pub(super) fn kind_of(lane: usize) -> (u32, bool) {
    (CLASSES.get(lane / 2).copied().unwrap_or_default(), streams(lane))
}

fn remembered(known: Option<(Duration, Tick)>, now: Tick) -> Option<Duration> {
    known.filter(|(_, at)| now.since(*at) <= MEMORY).map(|(time, _)| time)
}

/// Whether its calls want their answer as a stream.
pub(super) fn streams(lane: usize) -> bool {
    lane % 2 == 1
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// To the first content of a stream; the whole of a unary answer.
    pub(super) first: Samples,
    /// The whole of a stream.
    total: Samples,
    /// Between the tokens of a stream.
    pub(super) per_token: Samples,
    /// Tokens of an answer.
    pub(super) output: Mean,
    /// Start times of the attempts in flight, oldest first.
    waiting: VecDeque<Tick>,
    /// The latest start of an attempt that finished in time: whatever started before it has been overtaken.
    overtaken: Option<Tick>,
    /// The 99 % time to first content of a time without trouble, and when that was last so.
    learnt: Option<(Duration, Tick)>,
    /// The slowest answer since anything was last learnt, and when the last came: all there is to go by before that, and after ten
    /// minutes of trouble.
    slowest: Option<(Duration, Tick)>,
    /// Being slow, while some route finds it so, with that route's rule.
    pub(super) slow: Option<(SlowRule, Probation)>,
    /// When it last was no longer.
    pub(super) returned: Option<Returned>,
}

impl Lane {
    pub(super) fn start(&mut self, now: Tick) {
        // Nobody waits that long: its end got lost with the task that drove it.
        while self.waiting.front().is_some_and(|start| now.since(*start) > LOST) {
            self.waiting.pop_front();
        }
        if self.waiting.len() < WAITING {
            let at = self.waiting.partition_point(|start| *start <= now);
            self.waiting.insert(at, now);
        }
    }

    pub(super) fn stop(&mut self, started: Tick) {
        if let Ok(at) = self.waiting.binary_search(&started) {
            self.waiting.remove(at);
        }
    }

    /// An attempt brought content after `took`. `calm`: nothing is held against the target, so that this is how it is when all is well.
    pub(super) fn content(&mut self, started: Tick, took: Duration, patience: Duration, calm: bool, now: Tick) {
        if precedes(started, self.returned) {
            return;
        }
        self.first.record(took, now);
        if took <= patience {
            self.overtaken = self.overtaken.max(Some(started));
        }
        if calm
            && self.slow.is_none()
            && self.first.count(now) >= NEEDED
            && let Some(p99) = self.first.quantile(990_000, now)
        {
            self.learnt = Some((p99, now));
            self.slowest = None;
        } else {
            let known = remembered(self.slowest, now).unwrap_or_default();
            self.slowest = Some((took.max(known), now));
        }
    }

    /// A stream ended well.
    pub(super) fn complete(&mut self, started: Tick, total: Duration, per_token: Option<Duration>, now: Tick) {
        if precedes(started, self.returned) {
            return;
        }
        self.total.record(total, now);
        if let Some(time) = per_token {
            self.per_token.record(time, now);
        }
    }

    /// How long an attempt may go without content before it is overdue.
    ///
    /// What was learnt, else the route's threshold; but then never less than the slowest answer seen, or a target whose answers simply
    /// are long would stay suspect and never be learnt.
    pub(super) fn patience(&self, lane: usize, breaker: &Breaker, reasoning: bool, now: Tick) -> Duration {
        if let Some(p99) = remembered(self.learnt, now) {
            return p99.max(FLOOR);
        }
        let asked = breaker.slow.filter(|rule| match rule.of {
            SlowOf::FirstContent => true,
            SlowOf::Total => !streams(lane),
            SlowOf::PerToken => false,
        });
        let start = asked.map_or(UNLEARNT, |rule| rule.threshold);
        let start = start.saturating_mul(if reasoning { REASONING } else { 1 });
        remembered(self.slowest, now).unwrap_or_default().max(start)
    }

    /// Attempts that are older than `patience` and have not been overtaken, counted up to [`OVERDUE`].
    pub(super) fn overdue(&self, patience: impl FnOnce() -> Duration, now: Tick) -> usize {
        let Some(oldest) = self.waiting.front() else { return 0 };
        let patience = patience();
        // Where the oldest is not, none is: the common answer, asked of every target at every plan.
        if now.since(*oldest) <= patience {
            return 0;
        }
        let first = self.waiting.partition_point(|start| Some(*start) <= self.overtaken);
        let rest = self.waiting.iter().skip(first).take(OVERDUE);
        rest.take_while(|start| now.since(**start) > patience).count()
    }

    /// How long the oldest attempt in flight has waited, µs.
    pub(super) fn waited(&self, now: Tick) -> u64 {
        self.waiting.front().map_or(0, |start| now.0.saturating_sub(start.0))
    }

    /// The time that `rule` looks at; `None` = not known well enough to judge.
    pub(super) fn latency(&self, lane: usize, rule: &SlowRule, now: Tick) -> Option<Duration> {
        let samples = match rule.of {
            SlowOf::Total if streams(lane) => &self.total,
            SlowOf::FirstContent | SlowOf::Total => &self.first,
            SlowOf::PerToken => &self.per_token,
        };
        samples.quantile_of(JUDGED, rule.quantile_ppm, now)
    }

    /// Takes an attempt's end into the way back from being slow: a time of some kind, or none where it failed.
    pub(super) fn judge(&mut self, started: Tick, time: Option<(SlowOf, Duration)>, probe: bool, now: Tick) {
        let Some((rule, probation)) = &mut self.slow else { return };
        if started < probation.since || time.is_some_and(|(of, _)| of != rule.of) {
            return;
        }
        if time.is_none_or(|(_, time)| time > rule.threshold) {
            probation.failed(probe, now);
        } else if probation.succeeded(probe, now) {
            self.returned = Some(probation.returned(now));
            self.slow = None;
            self.forget();
        }
    }

    /// What was seen is of another time; what is in flight is not held against the target any more.
    pub(super) fn recover(&mut self, now: Tick) {
        self.overtaken = self.overtaken.max(Some(now));
        self.forget();
    }

    fn forget(&mut self) {
        self.first.forget();
        self.total.forget();
        self.per_token.forget();
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
