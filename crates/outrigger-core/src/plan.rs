//! In which order a call's candidates are tried. Decides by the rule, the evidence and the seed; never by who was tried before (that is
//! the attempt loop's) and it never leaves a candidate out that might work.
//!
//! 0. Out, before anything is ranked and whatever happens later: where the route's residency does not allow, and what cannot take such a
//!    call: no tools, no images, no schema; a window or an output that is too small, unless it is so for all, whose own refusal then is the
//!    answer. What is not known of a model leaves it in; what is not known of a provider's residency does not.
//! 1. Priorities ascending; inside one, drawn by weight; weight 0 last.
//! 2. What cannot serve goes behind everything that can, in the same order: down, overloaded, its keys resting or gone. A weight-0
//!    candidate whose priority has another that can serve goes behind what can, too.
//! 3. A slow candidate, and one whose share is growing back and which was not drawn, goes behind the first that is neither. If all are
//!    slow, the fastest known comes first. So no call moves to a slower target than the one it left.
//! 4. A candidate that is down or slow and due for a probe keeps its place; the attempt loop asks for the probe when it comes to it.

use crate::{
    Tick,
    health::{Bar, Grade, Health, Slots, Standing, View, lane_of},
    router::Matched,
    seed,
    table::{Breaker, Candidate, ModelFacts, Needs, Residency, Rule, Table, TargetModel},
};
use alloc::vec::Vec;
use core::time::Duration;

/// What of a call matters to its targets.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The model that the client named, for targets that serve whichever is asked for.
    pub model: &'a str,
    /// The answer is wanted as a stream.
    pub stream: bool,
    /// The prompt's length in reference tokens.
    pub prompt_tokens: u32,
    /// What it asks of its model beyond text.
    pub needs: Needs,
    /// The longest answer that the caller asks for, tokens.
    pub max_output: Option<u64>,
}

/// A call's candidates, best first. Holds indices into the table that it was made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Best first; every candidate that may be tried, those that cannot serve now at the end.
    pub ranked: Vec<Ranked>,
    /// Indices into [`Rule::candidates`] of those that are never tried for this call, and why.
    pub dropped: Vec<(usize, Reason)>,
    pub(crate) matched: Matched,
    pub(crate) slots: Slots,
    pub(crate) lane: usize,
}

/// A candidate in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Index into [`Rule::candidates`].
    pub candidate: usize,
    /// Index into [`Table::targets`].
    pub target: usize,
    /// Why it is where it is.
    pub reason: Reason,
    /// The input window of its model, where known.
    pub(crate) window: Option<u32>,
    pub(crate) reasoning: bool,
    /// Lower is tried first.
    pub priority: u32,
    /// Share inside its priority.
    pub weight: u32,
    /// The time that the route's slow rule looks at.
    latency: Option<Duration>,
}

/// Why a candidate is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Where the rule and the weights put it.
    Kept,
    /// The same, to find out whether it is well again.
    Probe,
    /// Demoted: its share is growing back after trouble, and this call is not in it.
    Returning,
    /// Demoted: over the route's latency threshold.
    Slow,
    /// Demoted: weight 0, and another of its priority can serve.
    Standby,
    /// Behind: it fails or hangs.
    Open,
    /// Behind: it said that it is overloaded.
    Overloaded,
    /// Behind: all its keys rest.
    Cooling,
    /// Dropped: the bytes of its keys are not there yet.
    KeyPending,
    /// Dropped: all its keys are refused.
    KeyRefused,
    /// Never tried: the route's residency does not allow its provider.
    Residency,
    /// Never tried: its model calls no tools.
    Tools,
    /// Never tried: its model takes no images.
    Vision,
    /// Never tried: its model honours no JSON schema.
    JsonSchema,
    /// Never tried: the prompt is longer than its model's window.
    Window,
    /// Never tried: the caller asks for a longer answer than its model gives.
    MaxOutput,
}

impl Reason {
    /// The name shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Probe => "probe",
            Self::Returning => "returning",
            Self::Slow => "slow",
            Self::Standby => "standby",
            Self::Open => "open",
            Self::Overloaded => "overloaded",
            Self::Cooling => "cooling",
            Self::KeyPending => "key_pending",
            Self::KeyRefused => "key_refused",
            Self::Residency => "residency",
            Self::Tools => "tools",
            Self::Vision => "vision",
            Self::JsonSchema => "json_schema",
            Self::Window => "window",
            Self::MaxOutput => "max_output",
        }
    }

    /// Which of the three parts of the list: can serve; could, were the others gone; cannot.
    fn part(self) -> u8 {
        match self {
            Self::Kept | Self::Probe | Self::Returning | Self::Slow => 0,
            Self::Standby => 1,
            Self::Open | Self::Overloaded => 2,
            Self::Cooling => 3,
            Self::KeyPending
            | Self::KeyRefused
            | Self::Residency
            | Self::Tools
            | Self::Vision
            | Self::JsonSchema
            | Self::Window
            | Self::MaxOutput => 4,
        }
    }
}

/// Ranks the candidates of a matched rule. The same arguments give the same plan.
pub fn plan(table: &Table, slots: &Slots, matched: Matched, shape: Shape<'_>, health: &Health, now: Tick, seed: u64) -> Plan {
    let lane = lane_of(shape);
    let route = table.routes.get(matched.route);
    let rule = route.and_then(|route| route.rules.get(matched.rule));
    let candidates = rule.map(|rule: &Rule| rule.candidates.as_slice()).unwrap_or_default();
    let breaker = route.map(|route| route.breaker).unwrap_or_default();
    let judge = Judge {
        table,
        slots,
        health,
        breaker: &breaker,
        shape,
        lane,
        now,
        seed,
    };
    let residency = route.and_then(|route| route.residency.as_ref());
    let mut dropped = Vec::new();
    let suits = |at: usize, too_small: bool, dropped: &mut Vec<(usize, Reason)>| {
        let unfit = candidates
            .get(at)
            .and_then(|candidate| judge.unfit(candidate.target, residency, too_small));
        dropped.extend(unfit.map(|reason| (at, reason)));
        unfit.is_none()
    };
    let mut ranked: Vec<Ranked> = Vec::with_capacity(candidates.len());
    for too_small in [true, false] {
        dropped.clear();
        let fitting = candidates.iter().enumerate().filter(|(at, _)| suits(*at, too_small, &mut dropped));
        ranked.extend(fitting.map(|(at, candidate)| judge.look(at, candidate)));
        // Too small for all: whoever is asked will say so better than we can.
        if !ranked.is_empty() || dropped.is_empty() {
            break;
        }
    }
    ranked.sort_by_key(|one| one.priority);
    for same in ranked.chunk_by_mut(|a, b| a.priority == b.priority) {
        draw(same, seed);
        stand_by(same);
    }
    ranked.sort_by_key(|one| one.reason.part());
    demote(&mut ranked);
    Plan {
        ranked,
        dropped,
        matched,
        slots: slots.clone(),
        lane,
    }
}

struct Judge<'a> {
    table: &'a Table,
    slots: &'a Slots,
    health: &'a Health,
    breaker: &'a Breaker,
    shape: Shape<'a>,
    lane: usize,
    now: Tick,
    seed: u64,
}

impl Judge<'_> {
    fn look(&self, at: usize, candidate: &Candidate) -> Ranked {
        let facts = self.facts(candidate.target);
        let reasoning = facts.is_some_and(|facts| facts.reasoning);
        let view = View {
            breaker: self.breaker,
            lane: self.lane,
            reasoning,
        };
        let standing = self.health.standing(self.slots, candidate.target, view, self.now);
        Ranked {
            candidate: at,
            target: candidate.target,
            reason: self.reason(at, candidate.target, &standing),
            window: facts.and_then(|facts| facts.context_window),
            reasoning,
            priority: candidate.priority,
            weight: candidate.weight,
            latency: standing.latency,
        }
    }

    fn reason(&self, at: usize, target: usize, standing: &Standing) -> Reason {
        let keys = self.health.bars(self.slots, target, self.now).min();
        match (keys, standing.grade) {
            (None | Some(Bar::Never), _) if self.slots.pending(target) => Reason::KeyPending,
            (None | Some(Bar::Never), _) => Reason::KeyRefused,
            (Some(Bar::Until(_)), _) => Reason::Cooling,
            (Some(Bar::Free), Grade::Overloaded(_)) => Reason::Overloaded,
            (Some(Bar::Free), Grade::Down | Grade::Slow) if standing.due => Reason::Probe,
            (Some(Bar::Free), Grade::Down) => Reason::Open,
            (Some(Bar::Free), Grade::Slow) => Reason::Slow,
            (Some(Bar::Free), Grade::Up) if seed::below(self.seed, !(at as u64), 1_000_000) >= standing.share => Reason::Returning,
            (Some(Bar::Free), Grade::Up) => Reason::Kept,
        }
    }

    /// Why the call must not or cannot go to `target` at all; `too_small` = what is too small for it counts.
    fn unfit(&self, target: usize, residency: Option<&Residency>, too_small: bool) -> Option<Reason> {
        if let Some(residency) = residency {
            let found = self.table.targets.get(target);
            let provider = found.and_then(|target| self.table.providers.get(target.provider));
            if !provider.is_some_and(|provider| residency.allows(provider)) {
                return Some(Reason::Residency);
            }
        }
        let facts = self.facts(target)?;
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

    fn facts(&self, target: usize) -> Option<&ModelFacts> {
        match &self.table.targets.get(target)?.model {
            TargetModel::Fixed { facts, .. } => Some(facts),
            TargetModel::AsAsked { facts } => facts.get(self.shape.model),
        }
    }
}

/// Draws one after another without putting back, so that those who cannot serve leave the shares among the others as they are.
fn draw(mut rest: &mut [Ranked], seed: u64) {
    loop {
        let total = rest.iter().map(|one| u64::from(one.weight)).sum();
        let mut left = seed::below(seed, rest.len() as u64, total);
        let drawn = rest.iter().position(|one| {
            let weight = u64::from(one.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        // Nothing is drawn where all that is left has no weight.
        let Some(head) = drawn.and_then(|at| rest.get_mut(..=at)) else {
            return;
        };
        head.rotate_right(1);
        let Some((_, tail)) = rest.split_first_mut() else { return };
        rest = tail;
    }
}

fn stand_by(same: &mut [Ranked]) {
    let serves = |one: &Ranked| matches!(one.reason, Reason::Kept | Reason::Returning | Reason::Slow);
    if same.iter().any(|one| one.weight > 0 && serves(one)) {
        for one in same.iter_mut().filter(|one| one.weight == 0 && one.reason.part() == 0) {
            one.reason = Reason::Standby;
        }
    }
}

/// Puts the first that is well before the slow and the returning ones that precede it.
fn demote(ranked: &mut [Ranked]) {
    let can_serve = || ranked.iter().take_while(|one| one.reason.part() == 0);
    let find = |reason: Reason| can_serve().position(|one| one.reason == reason);
    let better = find(Reason::Kept).or_else(|| find(Reason::Returning)).or_else(|| {
        let slow = can_serve().enumerate().filter(|(_, one)| one.reason == Reason::Slow);
        slow.min_by_key(|(_, one)| one.latency).map(|(at, _)| at)
    });
    let worse = can_serve().position(|one| matches!(one.reason, Reason::Slow | Reason::Returning));
    if let (Some(better), Some(worse)) = (better, worse)
        && worse < better
        && let Some(stretch) = ranked.get_mut(worse..=better)
    {
        stretch.rotate_right(1);
    }
}

#[cfg(test)]
mod tests;
