//! Looks at one candidate after another: may it be tried, how does it stand, what is it compared by. It never knows the others.

use super::{Ranked, Reason, Score, Shape};
use crate::{
    PicoUsd, Tick, Usage,
    health::{Bar, Grade, Health, Pace, Slots, Standing, View, Wanted, lane_of, micros},
    router::Matched,
    seed,
    table::{Balance, Breaker, Candidate, ModelFacts, Residency, Rule, Table, TargetModel},
};
use alloc::vec::Vec;

pub(super) struct Judge<'a> {
    table: &'a Table,
    slots: &'a Slots,
    health: &'a Health,
    rule: Option<&'a Rule>,
    residency: Option<&'a Residency>,
    breaker: Breaker,
    shape: Shape<'a>,
    lane: usize,
    now: Tick,
    pub(super) seed: u64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        table: &'a Table,
        slots: &'a Slots,
        matched: Matched,
        shape: Shape<'a>,
        health: &'a Health,
        now: Tick,
        seed: u64,
    ) -> Self {
        let route = table.routes.get(matched.route);
        Self {
            table,
            slots,
            health,
            rule: route.and_then(|route| route.rules.get(matched.rule)),
            residency: route.and_then(|route| route.residency.as_ref()),
            breaker: route.map(|route| route.breaker).unwrap_or_default(),
            shape,
            lane: lane_of(shape),
            now,
            seed,
        }
    }

    pub(super) fn candidates(&self) -> &'a [Candidate] {
        self.rule.map(|rule| rule.candidates.as_slice()).unwrap_or_default()
    }

    pub(super) fn balance(&self) -> Balance {
        self.rule.map(|rule| rule.balance).unwrap_or_default()
    }

    /// Every candidate that may be tried, as the rule lists them, and why the others may not.
    pub(super) fn fitting(&self) -> (Vec<Ranked>, Vec<(usize, Reason)>) {
        let candidates = self.candidates();
        let mut fitting = Vec::with_capacity(candidates.len());
        let mut dropped = Vec::new();
        for too_small in [true, false] {
            dropped.clear();
            for (at, candidate) in candidates.iter().enumerate() {
                match self.unfit(candidate.target, self.facts(candidate.target), too_small) {
                    Some(reason) => dropped.push((at, reason)),
                    None => fitting.push(self.look(at, candidate)),
                }
            }
            // Too small for all: whoever is asked will say so better than we can.
            if !fitting.is_empty() || dropped.is_empty() {
                break;
            }
        }
        (fitting, dropped)
    }

    pub(super) fn look(&self, at: usize, candidate: &Candidate) -> Ranked {
        let target = candidate.target;
        let well = self.kept(at, candidate);
        let standing = self.health.standing(self.slots, target, self.view(well.reasoning), self.now);
        let keys = self.health.best(self.slots, target, self.now);
        let bound = self.is_bound_to(target);
        // Nobody else would understand a call that is bound.
        let kept = bound && matches!(standing.grade, Grade::Up | Grade::Slow) && keys.is_some_and(Bar::open);
        Ranked {
            reason: if kept {
                Reason::Kept
            } else {
                self.reason(at, target, keys, &standing)
            },
            score: Score {
                share_ppm: u32::try_from(standing.share).unwrap_or(u32::MAX),
                bound,
                ..well.score
            },
            latency: standing.latency,
            near: keys == Some(Bar::Near),
            ..well
        }
    }

    /// A candidate that is [calm](Self::calm).
    pub(super) fn kept(&self, at: usize, candidate: &Candidate) -> Ranked {
        let facts = self.facts(candidate.target);
        Ranked {
            candidate: at,
            target: candidate.target,
            reason: Reason::Kept,
            window: facts.and_then(|facts| facts.context_window),
            reasoning: facts.is_some_and(|facts| facts.reasoning),
            score: Score {
                share_ppm: 1_000_000,
                ..Score::default()
            },
            priority: candidate.priority,
            weight: candidate.weight,
            latency: None,
            near: false,
        }
    }

    /// Whether nothing at all is the matter with a candidate, so that the balance alone decides.
    pub(super) fn calm(&self, candidate: &Candidate) -> bool {
        let target = candidate.target;
        let facts = self.facts(target);
        let reasoning = facts.is_some_and(|facts| facts.reasoning);
        self.unfit(target, facts, true).is_none()
            && !self.is_bound_to(target)
            && self.health.best(self.slots, target, self.now) == Some(Bar::Free)
            && self.health.standing(self.slots, target, self.view(reasoning), self.now).is_best()
    }

    fn view(&self, reasoning: bool) -> View<'_> {
        View {
            breaker: &self.breaker,
            lane: self.lane,
            reasoning,
        }
    }

    /// Attempts in flight and open streams of a target.
    pub(super) fn busy(&self, target: usize) -> u32 {
        self.health.busy(self.slots, target)
    }

    /// Whether the call holds items which only this target understands.
    fn is_bound_to(&self, target: usize) -> bool {
        let bound = self.shape.affinity.filter(|affinity| affinity.bound);
        bound.is_some_and(|affinity| self.health.served_last(self.slots, target, affinity, self.now))
    }

    fn reason(&self, at: usize, target: usize, keys: Option<Bar>, standing: &Standing) -> Reason {
        match (keys, standing.grade) {
            (None | Some(Bar::Never), _) if self.slots.pending(target) => Reason::KeyPending,
            (None | Some(Bar::Never), _) => Reason::KeyRefused,
            (Some(Bar::Until(_)), _) => Reason::Cooling,
            (Some(Bar::Free | Bar::Near), Grade::Overloaded(_)) => Reason::Overloaded,
            (Some(Bar::Free | Bar::Near), Grade::Down | Grade::Slow) if standing.due => Reason::Probe,
            (Some(Bar::Free | Bar::Near), Grade::Down) => Reason::Open,
            (Some(Bar::Free | Bar::Near), Grade::Slow) => Reason::Slow,
            (Some(Bar::Free | Bar::Near), Grade::Up) if seed::below(self.seed, !(at as u64), 1_000_000) >= standing.share => {
                Reason::Returning
            }
            (Some(Bar::Free | Bar::Near), Grade::Up) => Reason::Kept,
        }
    }

    /// Tokens of a target's usual answer.
    pub(super) fn usual_output(&self, target: usize) -> Option<u64> {
        self.health.usual_output(self.slots, target, self.lane, self.now)
    }

    /// The share of the prompt, in millionths, that a target's cache is believed to hold.
    pub(super) fn cached(&self, target: usize) -> u32 {
        self.health.cached(self.slots, target, self.shape.affinity, self.now)
    }

    /// How fast a target is.
    pub(super) fn pace(&self, target: usize) -> Pace {
        self.health.pace(self.slots, target, self.lane, self.now)
    }

    /// What was learnt of a candidate.
    pub(super) fn score(&self, ranked: &mut Ranked, wanted: Wanted) {
        let (lane, affinity) = (self.lane, self.shape.affinity);
        let terms = self.health.terms(self.slots, ranked.target, lane, affinity, wanted, self.now);
        ranked.score = Score {
            first_content: micros(terms.pace.first_content),
            per_token: micros(terms.pace.per_token),
            cached_ppm: terms.cached_ppm,
            in_flight: terms.in_flight,
            headroom_ppm: terms.headroom_ppm,
            pace: terms.pace,
            ..ranked.score
        };
    }

    /// The rest of the score, once it is known how long the answer will be.
    pub(super) fn expect(&self, ranked: &mut Ranked, usual: u64) {
        let facts = self.facts(ranked.target);
        ranked.score.output_tokens = self.output(facts, usual);
        ranked.score.cost = self.cost(facts, ranked.score.output_tokens, ranked.score.cached_ppm);
    }

    /// Tokens of an answer that is usually so long: no more than the model gives and the caller takes.
    pub(super) fn output(&self, facts: Option<&ModelFacts>, usual: u64) -> u64 {
        let most = facts.and_then(|facts| facts.max_output).map_or(u64::MAX, u64::from);
        usual.min(most).min(self.shape.max_output.unwrap_or(u64::MAX))
    }

    /// What the call is expected to cost; `None` = no price is known.
    pub(super) fn cost(&self, facts: Option<&ModelFacts>, output: u64, cached_ppm: u32) -> Option<PicoUsd> {
        let price = facts?.price.as_ref()?;
        let prompt = u64::from(self.shape.prompt_tokens);
        let cached = prompt * u64::from(cached_ppm) / 1_000_000;
        let usage = Usage {
            input: prompt.saturating_sub(cached),
            output,
            cached_read: cached,
            ..Usage::default()
        };
        Some(price.of(&usage))
    }

    /// Why the call must not or cannot go to `target` at all; `too_small` = what is too small for it counts.
    fn unfit(&self, target: usize, facts: Option<&ModelFacts>, too_small: bool) -> Option<Reason> {
        if let Some(residency) = self.residency {
            let found = self.table.targets.get(target);
            let provider = found.and_then(|target| self.table.providers.get(target.provider));
            if !provider.is_some_and(|provider| residency.allows(provider)) {
                return Some(Reason::Residency);
            }
        }
        let facts = facts?;
        let needs = self.shape.needs;
        let lacks = |needed: bool, known: Option<bool>| needed && known == Some(false);
        let less = |asked: u64, known: Option<u32>| too_small && known.is_some_and(|known| asked > u64::from(known));
        if lacks(needs.tools, facts.tools) {
            Some(Reason::Tools)
        } else if lacks(needs.vision, facts.vision) {
            Some(Reason::Vision)
        } else if lacks(needs.json_schema, facts.json_schema) {
            Some(Reason::JsonSchema)
        } else if less(u64::from(self.shape.prompt_tokens), facts.context_window) {
            Some(Reason::Window)
        } else if less(self.shape.max_output.unwrap_or(0), facts.max_output) {
            Some(Reason::MaxOutput)
        } else {
            None
        }
    }

    pub(super) fn facts(&self, target: usize) -> Option<&ModelFacts> {
        match &self.table.targets.get(target)?.model {
            TargetModel::Fixed { facts, .. } => Some(facts),
            TargetModel::AsAsked { facts } => facts.get(self.shape.model),
        }
    }
}
