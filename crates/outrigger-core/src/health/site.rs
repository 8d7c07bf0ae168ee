//! What is known of one model at one place, whatever key is used: is it down, slow, overloaded, on its way back? It never blames a target
//! for what is the caller's or a key's fault.
//!
//! *Why per model and place, not per key.* A provider that is down or slow is so for all its keys. Were each key to learn that alone, a
//! ring of twenty would burn twenty times the calls. What does differ by key (refusal, money, rate) the provider says in words, and
//! `keys` keeps it apart.
//!
//! *Down* is any of three, each of which sees what the others cannot:
//! - a streak: the last [`STREAK`] attempts all failed. It needs no traffic to speak of, so a pod with a call a minute leaves a dead
//!   provider after three calls; at a natural error rate of 1 % it is wrong once in a million attempts. A success counts from when
//!   its attempt started: those under way when an outage begins do not hide it. So does a failure: those that an outage has left
//!   hanging say nothing new when their clocks run out after it.
//! - a rate: of at least [`RATED`] attempts of the window more than the route's share failed, or clearly more of the last 32. It sees a
//!   provider that fails half its calls, which seldom makes a streak.
//! - a hang: [`OVERDUE`] attempts in flight are older than what is usual and none that started after them has finished in time. It
//!   sees a provider that answers nothing at all, of which the other two learn only when the clocks run out.
//!
//! *Checks* are asked beside calls, and know less: that a provider lists its models says nothing of its answers, and a listing that fails
//! says little against a target whose calls succeed. So [`STREAK`] unanswered ones, with no good call between, take a target out; answered
//! ones bring back what only checks took out; and where streak or hang did, they count for all of the way back but its last step, which is a
//! call's.
//!
//! *Slow* is a route's own word: its quantile against its threshold. It demotes, it never bars.
//!
//! A stream that brings content has succeeded. But once one has broken midway, for a minute they count only when they end, or a provider
//! whose streams all break would come back with the first content of each.
//!
//! Streak and hang concern every route, rate and slow only those whose thresholds are crossed. The way back is shared: two routes do not
//! probe twice; after three good probes what was seen before is forgotten.

use super::{
    Ending, Slot,
    buckets::{MEMORY, Tally},
    lane::{LANES, Lane, OVERDUE, streams},
    probation::{Probation, RELAPSE, Returned, WANTED, WHOLE, precedes},
    turns::Turns,
};
use crate::{Class, Tick, table::Breaker};
use core::time::Duration;

/// Failures in a row that take a target out.
const STREAK: u32 = 3;
/// Attempts from which a failure rate is believed.
const RATED: u32 = 10;
/// The same while a target is on its way back: the three good probes and one more.
const RATED_RETURNING: u32 = 4;
/// The failure rate, in millionths, where the route names none.
const RATE: u32 = 200_000;
/// The longest that a word about overload is believed.
const OVERLOAD: Duration = Duration::from_mins(1);

/// Why a target is left alone by everybody or by some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// By routes that bear less than this share of failures, in millionths: the worst that it has come to.
    Rate(u64),
    /// By all: a streak or a hang.
    Every,
    /// By all: its checks are not answered. Nothing is known against its calls.
    Unanswered,
}

/// How a target stands for one route and one kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) grade: Grade,
    /// Down or slow: a probe may be sent.
    pub(crate) due: bool,
    /// Down: it is being asked, or may be.
    pub(crate) half_open: bool,
    /// The share, in millionths, that it should get of what would come to it.
    pub(crate) share: u64,
    /// The time that the route's slow rule looks at.
    pub(crate) latency: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    Up,
    Slow,
    Down,
    Overloaded(Tick),
}

impl Standing {
    /// Whether nothing at all is held against the target.
    pub(crate) fn is_best(&self) -> bool {
        self.grade == Grade::Up && self.share >= WHOLE
    }

    /// Of a target of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        grade: Grade::Up,
        due: false,
        half_open: false,
        share: WHOLE,
        latency: None,
    };
}

/// Whose eyes: a route's thresholds and what is known of the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) breaker: &'a Breaker,
    pub(crate) lane: usize,
    pub(crate) reasoning: bool,
}

/// How an attempt ended for the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) class: Class,
    pub(super) until: Option<Tick>,
    pub(super) started: Tick,
    pub(super) probe: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) tally: Tally,
    pub(super) lanes: [Lane; LANES],
    pub(super) turns: Turns,
    /// Attempts without an outcome.
    in_flight: u32,
    /// Streams that go on after theirs.
    open: u32,
    streak: u32,
    /// When the first attempt of the streak started, and the last one failed.
    streak_from: Tick,
    failed_at: Tick,
    down: Option<(Cause, Probation)>,
    /// Checks in a row that were not answered.
    pub(super) unanswered: u32,
    overloaded: Tick,
    returned: Option<Returned>,
    /// When the first stream and the last one broke midway; a minute without any parts one time from the next.
    broke: Option<(Tick, Tick)>,
    salt: u64,
}

impl Site {
    pub(super) fn new(salt: u64) -> Self {
        Self {
            tally: Tally::default(),
            lanes: Default::default(),
            turns: Turns::default(),
            in_flight: 0,
            open: 0,
            streak: 0,
            streak_from: Tick(0),
            failed_at: Tick(0),
            down: None,
            unanswered: 0,
            overloaded: Tick(0),
            returned: None,
            broke: None,
            salt,
        }
    }

    /// Attempts without an outcome, and streams that have not ended.
    pub(super) fn busy(&self) -> u32 {
        self.in_flight.saturating_add(self.open)
    }

    /// How it stands, by what is written down and by the clock. `None` for the lane's latency = not known.
    pub(super) fn standing(&self, view: View<'_>, now: Tick) -> Standing {
        self.graded(self.failing(view, now).is_some(), view, now)
    }

    /// The standing of a target that is failing now, or is not.
    fn graded(&self, failing: bool, view: View<'_>, now: Tick) -> Standing {
        let lane = self.lanes.get(view.lane);
        let rule = view.breaker.slow.as_ref();
        let latency = rule.and_then(|rule| lane?.latency(view.lane, rule, now));
        let slow = rule.zip(latency).is_some_and(|(rule, latency)| latency > rule.threshold);
        let down = self
            .down
            .as_ref()
            .filter(|down| Self::binds(down, view.breaker, now))
            .map(|(_, probation)| probation);
        let grade = if self.overloaded > now {
            Grade::Overloaded(self.overloaded)
        } else if down.is_some() || failing {
            Grade::Down
        } else if slow {
            Grade::Slow
        } else {
            Grade::Up
        };
        let probation = match grade {
            Grade::Down => down,
            Grade::Slow => lane.and_then(|lane| lane.slow.as_ref()).map(|(_, probation)| probation),
            Grade::Up | Grade::Overloaded(_) => None,
        };
        Standing {
            grade,
            due: probation.is_some_and(|probation| probation.due(now)),
            half_open: probation.is_some_and(|probation| probation.half_open(now)),
            share: share(self.returned, now).min(share(lane.and_then(|lane| lane.returned), now)),
            latency,
        }
    }

    /// [`Self::standing`], after writing down what the clock has brought about: from then on there is a way back.
    pub(super) fn review(&mut self, view: View<'_>, now: Tick) -> Standing {
        self.forget(now);
        let found = self.failing(view, now);
        match (&mut self.down, found) {
            (Some((cause, _)), Some(Cause::Every)) => *cause = Cause::Every,
            (Some((Cause::Rate(was), _)), Some(Cause::Rate(is))) => *was = (*was).max(is),
            (None, Some(cause)) => {
                let partly = matches!(cause, Cause::Rate(_));
                self.down = Some((cause, Probation::new(self.returned, partly, self.salt, now)));
            }
            (_, Some(Cause::Rate(_) | Cause::Unanswered) | None) => {}
        }
        let standing = self.graded(found.is_some(), view, now);
        let salt = self.salt.wrapping_add(view.lane as u64);
        if let (Some(rule), Some(lane)) = (view.breaker.slow, self.lanes.get_mut(view.lane)) {
            if standing.grade == Grade::Slow && lane.slow.is_none() {
                lane.slow = Some((rule, Probation::new(lane.returned, false, salt, now)));
            } else if standing.grade == Grade::Up && lane.slow.as_ref().is_some_and(|(of, _)| *of == rule) {
                // Its time has come down without probes, because calls had nowhere better to go.
                lane.slow = None;
            }
        }
        standing
    }

    /// An attempt starts; a probe says until when.
    pub(super) fn begin(&mut self, lane: usize, probe: Option<Tick>, now: Tick) {
        self.in_flight = self.in_flight.saturating_add(1);
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        lane.start(now);
        if let Some(until) = probe {
            let slow = lane.slow.as_mut().map(|(_, probation)| probation);
            let down = self.down.as_mut().map(|(_, probation)| probation);
            for probation in [slow, down].into_iter().flatten() {
                probation.take(until);
            }
        }
    }

    /// An attempt ends, before or with its first content.
    pub(super) fn end(&mut self, view: View<'_>, end: &End, now: Tick) {
        // One that was overdue is evidence up to this very moment. Where calls are seconds apart, its end may be the first chance to look,
        // and its late answer must not pass for usual.
        if now.since(end.started) > self.patience(view, now) {
            self.review(view, now);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let calm = self.down.is_none();
        let before = precedes(end.started, self.returned);
        let Some(lane) = self.lanes.get_mut(view.lane) else { return };
        lane.stop(end.started);
        match end.class {
            Class::Ok => {
                self.open = self.open.saturating_add(u32::from(streams(view.lane)));
                let took = now.since(end.started);
                let patience = lane.patience(view.lane, view.breaker, view.reasoning, now);
                if !before {
                    lane.content(end.started, took, patience, calm, now);
                }
                lane.judge(end.started, Some((crate::SlowOf::FirstContent, took)), end.probe, now);
                if !(streams(view.lane) && self.breaks(now)) {
                    self.succeeded(end.started, end.probe, now);
                } else if let (true, Some((_, probation))) = (end.probe, &mut self.down) {
                    probation.goes_on(now);
                }
            }
            Class::Connect | Class::Timeout | Class::Reset | Class::ServerError | Class::BadResponse | Class::Overloaded => {
                lane.judge(end.started, None, end.probe, now);
                self.failed(end.started, end.probe, now);
                if end.class == Class::Overloaded {
                    let until = end.until.map_or(now, |until| until.min(now.after(OVERLOAD)));
                    self.overloaded = self.overloaded.max(until);
                }
            }
            Class::RateLimited
            | Class::Auth
            | Class::Quota
            | Class::ContextWindow
            | Class::ContentPolicy
            | Class::ClientError
            | Class::Cancelled => {
                if end.probe {
                    self.released(view.lane);
                }
            }
        }
        // The way back begins with the trouble, not with the next call.
        self.review(view, now);
    }

    /// A stream ended after its first content.
    pub(super) fn settle(&mut self, slot: &Slot, how: Ending, content: Tick, per_token: Option<Duration>, now: Tick) {
        self.open = self.open.saturating_sub(1);
        // Whether it did not count with its first content.
        let counts = self.breaks(content);
        match how {
            Ending::Whole if counts => self.succeeded(slot.started, slot.probe, now),
            Ending::Whole => {}
            Ending::Broken => {
                self.failed(slot.started, slot.probe && counts, now);
                let since = self.broke.filter(|_| self.breaks(now)).map_or(now, |(since, _)| since);
                self.broke = Some((since, now));
                return;
            }
            Ending::Left => {
                if slot.probe && counts {
                    self.released(slot.lane);
                }
                return;
            }
        }
        let before = precedes(slot.started, self.returned);
        let Some(lane) = self.lanes.get_mut(slot.lane) else { return };
        let total = now.since(slot.started);
        if !before {
            lane.complete(slot.started, total, per_token, now);
        }
        lane.judge(slot.started, Some((crate::SlowOf::Total, total)), slot.probe, now);
        if let Some(time) = per_token {
            lane.judge(slot.started, Some((crate::SlowOf::PerToken, time)), slot.probe, now);
        }
    }

    /// Whether streams broke of late, seen at that time.
    fn breaks(&self, now: Tick) -> bool {
        self.broke.is_some_and(|(since, last)| since <= now && now.since(last) <= RELAPSE)
    }

    /// A check that was sent at `started` was answered, or was not.
    pub(super) fn checked(&mut self, answered: bool, started: Tick, now: Tick) {
        self.forget(now);
        self.unanswered = if answered { 0 } else { self.unanswered.saturating_add(1) };
        let Some((cause, probation)) = &mut self.down else {
            if self.unanswered >= STREAK {
                self.down = Some((Cause::Unanswered, Probation::new(self.returned, false, self.salt, now)));
            }
            return;
        };
        if started < probation.since {
            return;
        }
        match cause {
            _ if !answered => probation.failed(false, now),
            // Such a provider answers its checks all along.
            Cause::Rate(_) => {}
            Cause::Every => probation.vouched(now),
            Cause::Unanswered => {
                if probation.succeeded(false, now) {
                    self.come_back(now);
                }
            }
        }
    }

    /// Whether it is down, no call is there and none has told anything for `quiet`, and a check could.
    pub(super) fn deserted(&self, quiet: Duration, now: Tick) -> bool {
        self.in_flight == 0
            && self.down.as_ref().is_some_and(|(cause, probation)| {
                let told = matches!(cause, Cause::Rate(_)) || probation.vouched_for();
                !told && (quiet..=MEMORY).contains(&now.since(probation.heard))
            })
    }

    /// Whatever nobody has spoken of for long is over.
    fn forget(&mut self, now: Tick) {
        if self.down.as_ref().is_some_and(|(_, probation)| now.since(probation.heard) > MEMORY) {
            self.down = None;
        }
    }

    /// How long an attempt seen so may go without content.
    pub(super) fn patience(&self, view: View<'_>, now: Tick) -> Duration {
        let lane = self.lanes.get(view.lane);
        lane.map_or(Duration::ZERO, |lane| lane.patience(view.lane, view.breaker, view.reasoning, now))
    }

    fn succeeded(&mut self, started: Tick, probe: bool, now: Tick) {
        self.tally.record(true, now);
        // One that was sent before the first failure tells of the time before it.
        if started >= self.streak_from {
            self.streak = 0;
        }
        self.unanswered = 0;
        let Some((_, probation)) = &mut self.down else { return };
        if started >= probation.since && probation.succeeded(probe, now) {
            self.come_back(now);
        }
    }

    fn come_back(&mut self, now: Tick) {
        let Some((_, probation)) = self.down.take() else { return };
        self.returned = Some(probation.returned(now));
        self.streak = 0;
        self.tally = Tally::default();
        for _ in 0..WANTED {
            self.tally.record(true, now);
        }
        for lane in &mut self.lanes {
            lane.recover(now);
        }
    }

    fn failed(&mut self, started: Tick, probe: bool, now: Tick) {
        if precedes(started, self.returned) {
            return;
        }
        self.tally.record(false, now);
        if self.streak == 0 {
            self.streak_from = started;
        }
        self.streak = self.streak.saturating_add(1);
        self.failed_at = now;
        if let Some((_, probation)) = &mut self.down
            && started >= probation.since
        {
            probation.failed(probe, now);
        }
    }

    fn released(&mut self, lane: usize) {
        let slow = self
            .lanes
            .get_mut(lane)
            .and_then(|lane| lane.slow.as_mut())
            .map(|(_, probation)| probation);
        let down = self.down.as_mut().map(|(_, probation)| probation);
        for probation in [slow, down].into_iter().flatten() {
            probation.inconclusive();
        }
    }

    fn failing(&self, view: View<'_>, now: Tick) -> Option<Cause> {
        let streak = self.streak >= STREAK && now.since(self.failed_at) <= MEMORY;
        if streak || self.hangs(view, now) {
            return Some(Cause::Every);
        }
        if self.tally.is_clean() {
            return None;
        }
        let returning = share(self.returned, now) < WHOLE;
        let enough = if returning { RATED_RETURNING } else { RATED };
        let (all, failed) = self.tally.counts(now);
        let known = if failed > 0 && all >= enough {
            u64::from(failed) * 1_000_000 / u64::from(all)
        } else {
            0
        };
        let doubt = self.returned.is_some_and(|returned| returned.is_recent(now));
        let share = known.max(self.tally.lately(doubt, now));
        exceeds(share, view.breaker).then_some(Cause::Rate(share))
    }

    fn hangs(&self, view: View<'_>, now: Tick) -> bool {
        if usize::try_from(self.in_flight).is_ok_and(|running| running < OVERDUE) {
            return false;
        }
        let overdue = self.lanes.iter().enumerate().map(|(at, lane)| {
            let patience = || lane.patience(at, view.breaker, view.reasoning, now);
            lane.overdue(patience, now)
        });
        overdue.sum::<usize>() >= OVERDUE
    }

    fn binds((cause, probation): &(Cause, Probation), breaker: &Breaker, now: Tick) -> bool {
        now.since(probation.heard) <= MEMORY
            && match cause {
                Cause::Every | Cause::Unanswered => true,
                Cause::Rate(share) => exceeds(*share, breaker),
            }
    }
}

/// Whether a route bears no such share of failures.
fn exceeds(share_ppm: u64, breaker: &Breaker) -> bool {
    share_ppm > u64::from(breaker.error_rate_ppm.unwrap_or(RATE))
}

fn share(returned: Option<Returned>, now: Tick) -> u64 {
    returned.map_or(WHOLE, |returned| returned.share(now))
}
