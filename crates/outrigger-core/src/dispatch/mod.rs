//! The attempt loop of one request, as a state machine that its driver obeys. Decides what is sent when and when to give up; it must
//! never send after the deadline, beyond the budget, or once an answer is committed.
//!
//! ```text
//! loop { match dispatch.next(…) {
//!     Send(attempt)   => start it; when it ends or commits: dispatch.observe(…)
//!     Cancel(id)      => drop it; it is settled already
//!     WaitUntil(tick) => until then, or until a running attempt ends, whichever is first
//!     Finish(verdict) => done
//! } }
//! ```
//!
//! | outcome | what follows |
//! |---|---|
//! | `ok` | committed: whatever else runs is cancelled, nothing is sent any more |
//! | `client_error` | refused at once: no other target would answer differently |
//! | `content_policy` | the same, unless the route wants another target to be asked |
//! | `context_window` | a candidate with a larger or unknown window |
//! | `auth`, `quota`, `rate_limited` | another key of the same target, one that stands by only if no other can be sent; then the next target |
//! | everything else | the next target, then other keys of those tried; the last attempt of a budget of three or more leaves a priority to which all before it went |
//! | *stale* | the same pair once more on a new connection, free of charge, at most once a pair |
//!
//! What was tried comes again only when nothing untried can be sent, and after a pause: the back-off, or the time that the provider told
//! if that is at most a minute away. A pause that would reach the deadline is not begun.
//!
//! A call that comes again to a target which has failed it, with that key or another, takes its turn there with others like it, so that
//! they are never more than the calls that come meanwhile: a provider that is the only one is spared their rush when it is well again.

mod pick;

use crate::{
    Class, Outcome, Tick,
    health::{Bar, Health, Slot, View},
    plan::{Plan, Ranked},
    seed,
    table::{Attempts, Breaker, Table, Timeouts},
};
use alloc::vec::Vec;
use core::time::Duration;
use pick::Pair;

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start this attempt.
    Send(Attempt),
    /// Drop this attempt. Its end is written down already; observing it is harmless and does nothing.
    Cancel(AttemptId),
    /// Call again at that time, or after an attempt has been observed. Always later than now, never after the deadline.
    WaitUntil(Tick),
    /// Nothing more will be sent. Comes again at each further call.
    Finish(Verdict),
}

/// An attempt within its request: the first is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(
    /// Index into [`Dispatch::tried`].
    pub usize,
);

/// One call to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number.
    pub id: AttemptId,
    /// Index into [`Table::targets`].
    pub target: usize,
    /// Index into the provider's ring; `None` for a provider without keys.
    pub key: Option<usize>,
    /// Where its evidence goes; for [`Health::settle`].
    pub slot: Slot,
    /// It asks whether a target is well again and is cut short.
    pub probe: bool,
    /// Take a new connection: the one before it had gone stale.
    pub fresh: bool,
    /// Its clocks; `first_token` is already longer for a model that thinks first.
    pub timeouts: Timeouts,
    /// When the whole request ends.
    pub deadline: Tick,
}

/// How a request's attempts ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This attempt's answer is the answer.
    Committed(AttemptId),
    /// This attempt's error is the answer: the caller's to mend. Also where a prompt is too long for every model that is left.
    Refused(AttemptId),
    /// The budget is spent, or nothing is left that could be sent within the deadline.
    Exhausted {
        /// When something can be sent again, where the providers told.
        wait: Option<Tick>,
    },
    /// The request's time is over.
    DeadlinePassed,
    /// Nothing could be sent at all.
    NoTarget {
        /// When something can be sent, where the providers told.
        wait: Option<Tick>,
    },
}

/// An attempt and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was sent.
    pub attempt: Attempt,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// When it was sent.
    pub started: Tick,
    /// When its outcome was known.
    pub ended: Option<Tick>,
    rank: usize,
    /// When it is cancelled for being a probe that takes too long.
    cut: Option<Tick>,
}

/// The attempt loop of one request. See the module.
#[derive(Clone, Debug)]
pub struct Dispatch {
    plan: Plan,
    attempts: Attempts,
    breaker: Breaker,
    deadline: Tick,
    seed: u64,
    tried: Vec<Tried>,
    /// Attempts that count against the budget.
    counted: u32,
    verdict: Option<Verdict>,
    /// An attempt to repeat on a new connection.
    stale: Option<AttemptId>,
    /// The target whose key was at fault last: another key of it comes first.
    stay: Option<usize>,
    /// The largest window that was too small.
    beyond: Option<u32>,
    /// The end of the pause that is being made.
    rest: Option<Tick>,
    rests: u32,
    /// The turn that it has taken at a target.
    turn: Option<(usize, Tick)>,
}

impl Tried {
    /// `key` counts along the ring and is 0 for a provider without keys.
    fn is(&self, target: usize, key: usize) -> bool {
        self.attempt.target == target && self.attempt.key.unwrap_or(0) == key
    }
}

impl Dispatch {
    /// Begins. `deadline` bounds all attempts together; the same seed makes the same choices.
    pub fn new(plan: Plan, attempts: Attempts, breaker: Breaker, deadline: Tick, seed: u64) -> Self {
        Self {
            plan,
            attempts,
            breaker,
            deadline,
            seed,
            tried: Vec::new(),
            counted: 0,
            verdict: None,
            stale: None,
            stay: None,
            beyond: None,
            rest: None,
            rests: 0,
            turn: None,
        }
    }

    /// What to do now. `table` must be the one that the plan was made from.
    pub fn next(&mut self, table: &Table, health: &mut Health, now: Tick) -> Step {
        if self.verdict.is_none() && now >= self.deadline {
            self.verdict = Some(Verdict::DeadlinePassed);
        }
        if let Some(verdict) = self.verdict {
            let Some(id) = self.running() else {
                return Step::Finish(verdict);
            };
            let class = if verdict == Verdict::DeadlinePassed {
                Class::Timeout
            } else {
                Class::Cancelled
            };
            self.end(health, id, Outcome::of(class), now);
            return Step::Cancel(id);
        }
        if let Some(id) = self.stale.take()
            && let Some(before) = self.tried.get(id.0).copied()
        {
            let pair = Pair {
                rank: before.rank,
                key: before.attempt.key.unwrap_or(0),
                probe: before.attempt.probe,
            };
            // Another request may have learnt better of the key in the meantime.
            if health
                .bars(&self.plan.slots, before.attempt.target, now)
                .nth(pair.key)
                .is_some_and(Bar::open)
            {
                return self.send(table, health, pair, true, now);
            }
        }
        if self.running().is_some() {
            return self.watch(health, now);
        }
        if let Some(pair) = self.calm(health, now) {
            return self.send(table, health, pair, false, now);
        }
        self.plan.go_on(table, health, !self.tried.is_empty(), now);
        if self.counted >= self.attempts.max.max(1) {
            return self.give_up(health, now);
        }
        let untried = self.untried(health, now).map(|pair| (now, pair));
        let Some((at, pair)) = untried.or_else(|| {
            let pause = *self.rest.get_or_insert_with(|| {
                self.rests += 1;
                now.after(pause(&self.attempts, self.rests, self.seed))
            });
            self.again(health, pause, now)
        }) else {
            return self.give_up(health, now);
        };
        match self.turn(health, pair, at, now) {
            Some(at) if at <= now => self.send(table, health, pair, false, now),
            Some(at) if at < self.deadline => Step::WaitUntil(at),
            _ => self.give_up(health, now),
        }
    }

    /// When a pair that can be sent `at` may be: then, unless its target has failed this call, which has to take its turn there. `None`
    /// where that is too far off.
    fn turn(&mut self, health: &mut Health, pair: Pair, at: Tick, now: Tick) -> Option<Tick> {
        if at > now {
            return (at.since(now) <= LONGEST_WAIT.saturating_add(pick::SPREAD)).then_some(at);
        }
        let target = self.plan.ranked.get(pair.rank)?.target;
        if !self.failed_at(target) {
            return Some(now);
        }
        if let Some((_, turn)) = self.turn.filter(|(of, _)| *of == target) {
            return Some(turn);
        }
        let turn = health.turn(&self.plan.slots, target, LONGEST_QUEUE, now)?;
        self.turn = Some((target, turn));
        Some(turn)
    }

    /// Takes in how an attempt ended. [`Class::Ok`] = committed: the first content of a stream, or a whole unary answer.
    pub fn observe(&mut self, health: &mut Health, id: AttemptId, outcome: Outcome, now: Tick) {
        let Some(tried) = self.tried.get(id.0).copied().filter(|tried| tried.ended.is_none()) else {
            return;
        };
        let repeated = |other: &Tried| other.attempt.fresh && other.is(tried.attempt.target, tried.attempt.key.unwrap_or(0));
        let free = outcome.stale && !self.tried.iter().any(repeated);
        let outcome = Outcome { stale: free, ..outcome };
        self.end(health, id, outcome, now);
        if self.verdict.is_some() {
            return;
        }
        if free {
            self.stale = Some(id);
            return;
        }
        if outcome.unsuited {
            self.counted = self.counted.saturating_sub(1);
        }
        self.stay = None;
        match outcome.class {
            Class::Ok => self.verdict = Some(Verdict::Committed(id)),
            Class::ContentPolicy if self.attempts.content_policy_moves_on => {}
            Class::ClientError | Class::ContentPolicy => self.verdict = Some(Verdict::Refused(id)),
            Class::ContextWindow => {
                let window = self.plan.ranked.get(tried.rank).and_then(|ranked| ranked.window);
                self.beyond = self.beyond.max(window);
            }
            Class::Auth | Class::Quota | Class::RateLimited => self.stay = Some(tried.attempt.target),
            Class::Connect
            | Class::Timeout
            | Class::Reset
            | Class::Overloaded
            | Class::ServerError
            | Class::BadResponse
            | Class::Cancelled => {}
        }
    }

    /// Ends whatever runs without a word against anybody: the client hung up, or the driver gives up. Must be called before a dispatch
    /// that has not finished is dropped, or its attempts count as in flight for ever.
    pub fn abandon(&mut self, health: &mut Health, now: Tick) {
        while let Some(id) = self.running() {
            self.end(health, id, Outcome::of(Class::Cancelled), now);
        }
        self.verdict.get_or_insert(Verdict::Exhausted { wait: None });
    }

    /// Why nobody may be asked at all: each reason once. Empty where somebody may.
    pub fn hopeless(&self) -> Vec<crate::Reason> {
        if !self.plan.ranked.is_empty() {
            return Vec::new();
        }
        let mut reasons: Vec<crate::Reason> = self.plan.dropped.iter().map(|(_, reason)| *reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// Every attempt, oldest first.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The oldest attempt that has not ended.
    pub fn running(&self) -> Option<AttemptId> {
        let running = self.tried.iter().find(|tried| tried.ended.is_none());
        running.map(|tried| tried.attempt.id)
    }

    /// Something runs: nothing to do before a probe's time is over, and then only if there is something else to send.
    fn watch(&mut self, health: &mut Health, now: Tick) -> Step {
        let cuts = self
            .tried
            .iter()
            .filter(|tried| tried.ended.is_none())
            .filter_map(|tried| Some((tried.cut?, tried.attempt.id)));
        let Some((cut, id)) = cuts.min() else {
            return Step::WaitUntil(self.deadline);
        };
        if cut > now {
            return Step::WaitUntil(cut.min(self.deadline));
        }
        // The budget has room: no probe is sent on the last attempt.
        self.end(health, id, Outcome::of(Class::Cancelled), now);
        Step::Cancel(id)
    }

    fn send(&mut self, table: &Table, health: &mut Health, pair: Pair, fresh: bool, now: Tick) -> Step {
        let id = AttemptId(self.tried.len());
        let Some(ranked) = self.plan.ranked.get(pair.rank).copied() else {
            return self.give_up(health, now);
        };
        let Some(slot) = self.plan.slots.slot(ranked.target, pair.key, self.plan.lane, pair.probe, now) else {
            return self.give_up(health, now);
        };
        let slot = slot.of(self.plan.affinity.map(|affinity| affinity.key));
        let patience = health.patience(&self.plan.slots, ranked.target, self.view(&ranked), now);
        let cut = pair.probe.then(|| now.after(patience.saturating_mul(2)));
        if !self.knows(ranked.target) {
            health.came(&self.plan.slots, ranked.target, now);
        }
        health.begin(&slot, cut, now);
        let attempt = Attempt {
            id,
            target: ranked.target,
            key: self.plan.slots.keyed(ranked.target).then_some(pair.key),
            slot,
            probe: pair.probe,
            fresh,
            timeouts: self.timeouts(table, &ranked),
            deadline: self.deadline,
        };
        self.tried.push(Tried {
            attempt,
            outcome: None,
            started: now,
            ended: None,
            rank: pair.rank,
            cut,
        });
        self.counted += u32::from(!fresh);
        self.rest = None;
        self.turn = None;
        Step::Send(attempt)
    }

    fn timeouts(&self, table: &Table, ranked: &Ranked) -> Timeouts {
        let route = table.routes.get(self.plan.matched.route);
        let rule = route.and_then(|route| route.rules.get(self.plan.matched.rule));
        let candidate = rule.and_then(|rule| rule.candidates.get(ranked.candidate));
        let mut timeouts = candidate.map(|candidate| candidate.timeouts).unwrap_or_default();
        if ranked.reasoning {
            timeouts.first_token = timeouts.first_token.saturating_mul(crate::health::REASONING);
        }
        timeouts
    }

    fn end(&mut self, health: &mut Health, id: AttemptId, outcome: Outcome, now: Tick) {
        let Some(tried) = self.tried.get_mut(id.0) else { return };
        tried.outcome = Some(outcome);
        tried.ended = Some(now);
        let tried = *tried;
        let Some(ranked) = self.plan.ranked.get(tried.rank).copied() else {
            return;
        };
        let view = self.view(&ranked);
        let mut said = outcome;
        let age = now.since(tried.started);
        if outcome.class == Class::Cancelled && tried.cut.is_some_and(|cut| now >= cut) {
            // A probe that ran into its own clock, whoever stopped it, has told what it was asked.
            said.class = Class::Timeout;
        } else if outcome.class == Class::Timeout
            && now >= self.deadline
            && age <= health.patience(&self.plan.slots, ranked.target, view, now)
        {
            // The request ran out of time; this attempt has had none to speak of.
            said.class = Class::Cancelled;
        }
        health.end(&tried.attempt.slot, &said, view, now);
    }

    fn give_up(&mut self, health: &Health, now: Tick) -> Step {
        let wait = self.soonest(health, now);
        let verdict = match self.tried.last() {
            None => Verdict::NoTarget { wait },
            Some(last)
                if last
                    .outcome
                    .is_some_and(|outcome| matches!(outcome.class, Class::ContextWindow | Class::ContentPolicy)) =>
            {
                Verdict::Refused(last.attempt.id)
            }
            Some(_) => Verdict::Exhausted { wait },
        };
        self.verdict = Some(verdict);
        Step::Finish(verdict)
    }

    fn view(&self, ranked: &Ranked) -> View<'_> {
        View {
            breaker: &self.breaker,
            lane: self.plan.lane,
            reasoning: ranked.reasoning,
        }
    }
}

/// The longest pause that is made for a provider's word. A caller who is told to come back later is served better than one who is kept waiting.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The longest that a call which has been at a target waits for its turn there.
const LONGEST_QUEUE: Duration = Duration::from_secs(2);

/// The `n`th pause, from 1: twice the one before, between half of it and all of it by the seed.
fn pause(attempts: &Attempts, n: u32, seed: u64) -> Duration {
    let doubled = attempts
        .backoff_base
        .saturating_mul(1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX));
    let most = u64::try_from(doubled.min(attempts.backoff_max).as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(most / 2 + seed::below(seed, u64::from(n), most / 2 + 1))
}

#[cfg(test)]
mod tests;
