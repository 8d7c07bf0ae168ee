//! Which pair of target and key comes next. It never picks one that is barred.

use super::{Dispatch, Tried, seed};
use crate::{
    Class, Tick,
    health::{Bar, Grade, Health, Standing},
    plan::{Ranked, Reason},
};
use core::time::Duration;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) rank: usize,
    pub(super) key: usize,
    pub(super) probe: bool,
}

/// How welcome an untried pair is; the rank decides inside each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// A target of a later priority, where none but the last attempt has not been spent on those before it.
    LastElsewhere,
    /// Another key of the target whose key was at fault.
    SameTarget,
    /// A target that this request has not tried.
    NewTarget,
    /// Another key of a target that it has.
    OtherKey,
    /// A slow target that kept its place for a probe which another request has taken since.
    ProbeTaken,
}

/// What is tried when nothing can serve, the better first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hope {
    Down,
    /// It said that it would not answer.
    Overloaded,
}

impl Dispatch {
    /// The common call: nothing was the matter with the first candidate or any of its priority, and nothing is with it now.
    pub(super) fn calm(&self, health: &mut Health, now: Tick) -> Option<Pair> {
        let head = self.plan.head().filter(|_| self.tried.is_empty())?;
        let standing = health.review(&self.plan.slots, head.target, self.view(head), now);
        let key = self.free_key(health, head, now)?;
        let (rank, probe) = (0, false);
        (standing.grade == Grade::Up).then_some(Pair { rank, key, probe })
    }

    /// The best pair that was not tried and can be sent now. While any target can serve, those that are down get nothing but probes,
    /// and no probe takes the last attempt. When none can, the first by rank that is down is better than an instant error.
    pub(super) fn untried(&self, health: &mut Health, now: Tick) -> Option<Pair> {
        let spare = self.attempts.max.saturating_sub(self.counted) > 1;
        let mut serving = 0;
        let mut best: Option<(Tier, Pair, Grade)> = None;
        let mut last_hope: Option<((bool, Hope), Pair)> = None;
        for (rank, ranked) in self.plan.ranked.iter().enumerate().filter(|(_, ranked)| self.fits(ranked)) {
            let standing = health.review(&self.plan.slots, ranked.target, self.view(ranked), now);
            let up = matches!(standing.grade, Grade::Up | Grade::Slow);
            serving += u32::from(up && health.bars(&self.plan.slots, ranked.target, now).any(Bar::open));
            let Some(key) = self
                .free_key(health, ranked, now)
                .filter(|_| !self.crowded(health, ranked.target, now))
            else {
                continue;
            };
            let pair = |probe| Pair { rank, key, probe };
            // A probe must leave as much time for what comes after it.
            let patience = || health.patience(&self.plan.slots, ranked.target, self.view(ranked), now);
            let may_probe = standing.due && spare && self.deadline >= now.after(patience().saturating_mul(4));
            if let Some((tier, probe)) = self.tier(ranked, &standing, may_probe)
                && best.is_none_or(|(than, _, _)| tier < than)
            {
                best = Some((tier, pair(probe), standing.grade));
            }
            // An overloaded target is waited for, unless that would take too long.
            let hope = match standing.grade {
                Grade::Up | Grade::Slow => None,
                Grade::Down => Some(Hope::Down),
                Grade::Overloaded(until) => {
                    (until >= self.deadline.min(now.after(super::LONGEST_WAIT)) && !self.knows(ranked.target)).then_some(Hope::Overloaded)
                }
            };
            // One that has not failed this call is the better of two that are down.
            let hope = hope.map(|hope| (self.failed_at(ranked.target), hope));
            if let Some(hope) = hope
                && last_hope.is_none_or(|(than, _)| hope < than)
            {
                last_hope = Some((hope, pair(false)));
            }
        }
        if serving == 0 {
            return last_hope.map(|(_, pair)| pair);
        }
        best.map(|(_, pair, grade)| {
            // A probe is cut short, so there must be somewhere else to go: a slow target is one of those that can serve itself.
            let elsewhere = serving > u32::from(grade == Grade::Slow);
            let probe = pair.probe && elsewhere;
            Pair { probe, ..pair }
        })
    }

    /// The pair that can be sent soonest, and when, given that nothing untried can be sent now: one that was tried, at the end of
    /// `pause`; or one whose time has not come.
    pub(super) fn again(&self, health: &Health, pause: Tick, now: Tick) -> Option<(Tick, Pair)> {
        let standing = |ranked: &Ranked| health.standing(&self.plan.slots, ranked.target, self.view(ranked), now);
        let fitting = || self.plan.ranked.iter().enumerate().filter(|(_, ranked)| self.fits(ranked));
        let free = |ranked: &Ranked| health.bars(&self.plan.slots, ranked.target, now).any(Bar::open);
        let serving = fitting().any(|(_, ranked)| matches!(standing(ranked).grade, Grade::Up | Grade::Slow) && free(ranked));
        let spread = u64::try_from(SPREAD.as_micros()).unwrap_or(u64::MAX);
        let mut best: Option<((Tick, usize), Pair)> = None;
        for (rank, ranked) in fitting() {
            let open_from = match standing(ranked).grade {
                Grade::Down if serving => continue,
                _ if self.crowded(health, ranked.target, now) => continue,
                Grade::Up | Grade::Slow | Grade::Down => now,
                Grade::Overloaded(until) => until,
            };
            let standing_by = self.standing_by(health, ranked, now);
            for (key, bar) in health.bars(&self.plan.slots, ranked.target, now).enumerate() {
                if standing_by && self.plan.slots.weight(ranked.target, key) == 0 {
                    continue;
                }
                let told = match bar {
                    Bar::Never => continue,
                    Bar::Free | Bar::Near => open_from,
                    Bar::Until(until) => until.max(open_from),
                };
                // Those who wait for the same time do not all come at it.
                let spread = if told > now { seed::below(self.seed, !0, spread) } else { 0 };
                let times = self.tried.iter().filter(|tried| tried.is(ranked.target, key)).count();
                let at = Tick(told.0.saturating_add(spread)).max(if times > 0 { pause } else { now });
                if best.is_none_or(|(than, _)| (at, times) < than) {
                    let probe = false;
                    best = Some(((at, times), Pair { rank, key, probe }));
                }
            }
        }
        best.map(|((at, _), pair)| (at, pair))
    }

    /// When the first pair can be sent that cannot now; nothing where one can, or where none ever will.
    pub(super) fn soonest(&self, health: &Health, now: Tick) -> Option<Tick> {
        let fitting = self.plan.ranked.iter().filter(|ranked| self.fits(ranked));
        let soonest = fitting.flat_map(|ranked| {
            let grade = health.standing(&self.plan.slots, ranked.target, self.view(ranked), now).grade;
            let from = if let Grade::Overloaded(until) = grade { until } else { now };
            health.bars(&self.plan.slots, ranked.target, now).filter_map(move |bar| match bar {
                Bar::Free | Bar::Near => Some(from),
                Bar::Until(until) => Some(until.max(from)),
                Bar::Never => None,
            })
        });
        soonest.min().filter(|at| *at > now)
    }

    fn tier(&self, ranked: &Ranked, standing: &Standing, may_probe: bool) -> Option<(Tier, bool)> {
        let known = self.knows(ranked.target);
        let plain = if known { Tier::OtherKey } else { Tier::NewTarget };
        match standing.grade {
            Grade::Up | Grade::Slow if !known && self.leaves(ranked) => Some((Tier::LastElsewhere, false)),
            Grade::Up | Grade::Slow if self.stay == Some(ranked.target) => Some((Tier::SameTarget, false)),
            Grade::Slow if ranked.reason == Reason::Probe && may_probe => Some((plain, true)),
            Grade::Slow if ranked.reason == Reason::Probe && !known => Some((Tier::ProbeTaken, false)),
            Grade::Up | Grade::Slow => Some((plain, false)),
            Grade::Down if may_probe => Some((plain, true)),
            Grade::Down | Grade::Overloaded(_) => None,
        }
    }

    /// Whether all attempts but the last, two or more, went to earlier priorities. What makes several targets of one priority fail, a dark
    /// region say, may well make all of them fail: a budget that is used up among them would end a call that another would have served.
    fn leaves(&self, ranked: &Ranked) -> bool {
        let last = self.counted >= 2 && self.attempts.max.saturating_sub(self.counted) == 1;
        let priority = |tried: &Tried| self.plan.ranked.get(tried.rank).map(|ranked| ranked.priority);
        last && self
            .tried
            .iter()
            .all(|tried| priority(tried).is_some_and(|tried| tried < ranked.priority))
    }

    /// Whether the target suits the call: its window is larger than those that were too small, or not known, and it can be asked so.
    fn fits(&self, ranked: &Ranked) -> bool {
        let too_small = |tried: &Tried| {
            let out = |outcome: crate::Outcome| outcome.unsuited || outcome.class == Class::ContextWindow;
            tried.attempt.target == ranked.target && tried.outcome.is_some_and(out)
        };
        ranked.window.is_none_or(|window| self.beyond.is_none_or(|beyond| window > beyond)) && !self.tried.iter().any(too_small)
    }

    pub(super) fn knows(&self, target: usize) -> bool {
        self.tried.iter().any(|tried| tried.attempt.target == target)
    }

    /// Whether it has failed this call, and not only a key of it.
    pub(super) fn failed_at(&self, target: usize) -> bool {
        let failed = |outcome: crate::Outcome| !(outcome.stale || matches!(outcome.class, Class::Auth | Class::Quota | Class::RateLimited));
        let here = self.tried.iter().filter(|tried| tried.attempt.target == target);
        here.filter_map(|tried| tried.outcome).any(failed)
    }

    /// Whether it has failed this call, and so many wait for their turn there that this one is given up.
    fn crowded(&self, health: &Health, target: usize, now: Tick) -> bool {
        let next = || health.next_turn(&self.plan.slots, target, now);
        let late = |turn: Tick| turn >= self.deadline || turn.since(now) > super::LONGEST_QUEUE;
        self.failed_at(target) && self.turn.is_none_or(|(of, _)| of != target) && late(next())
    }

    /// Whether keys without weight are out: one with weight can be sent, tried or not. What stands by replaces a key that is barred, not
    /// the pause before a call is repeated.
    fn standing_by(&self, health: &Health, ranked: &Ranked, now: Tick) -> bool {
        let mut bars = health.bars(&self.plan.slots, ranked.target, now).enumerate();
        bars.any(|(key, bar)| bar.open() && self.plan.slots.weight(ranked.target, key) > 0)
    }

    /// An untried key that may be sent, drawn by weight: of those with room in their rate, if there are any.
    fn free_key(&self, health: &Health, ranked: &Ranked, now: Tick) -> Option<usize> {
        let tried = |key: usize| self.tried.iter().any(|tried| tried.is(ranked.target, key));
        let weight = |key| u64::from(self.plan.slots.weight(ranked.target, key));
        let standing_by = self.standing_by(health, ranked, now);
        let within = |most: Bar| {
            let bars = health.bars(&self.plan.slots, ranked.target, now).enumerate();
            bars.filter(move |(key, bar)| *bar <= most && !tried(*key)).map(|(key, _)| key)
        };
        if !standing_by {
            // Of those that stand by the first is the best.
            return within(Bar::Free).next().or_else(|| within(Bar::Near).next());
        }
        let roomy = within(Bar::Free).map(weight).sum();
        let (most, total) = if roomy > 0 {
            (Bar::Free, roomy)
        } else {
            (Bar::Near, within(Bar::Near).map(weight).sum())
        };
        let mut left = seed::below(self.seed, self.tried.len() as u64, total);
        within(most).find(|key| {
            let here = left < weight(*key);
            left = left.saturating_sub(weight(*key));
            here
        })
    }
}

/// Over how long those spread who wait for the same time.
pub(super) const SPREAD: Duration = Duration::from_millis(100);
