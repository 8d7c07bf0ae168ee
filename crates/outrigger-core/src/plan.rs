//! In which order a call's candidates are tried. Decides by the rule, the evidence and the seed; never by who was tried before (that is
//! the attempt loop's) and it never leaves a candidate out that might work.
//!
//! 0. Out, before anything is ranked and whatever happens later: where the route's residency does not allow, and what cannot take such a
//!    call: no tools, no images, no schema; a window or an output that is too small, unless it is so for all, whose own refusal then is the
//!    answer. What is not known of a model leaves it in; what is not known of a provider's residency does not.
//! 1. Priorities ascending; inside one the cheapest first or the fastest, where the rule wants that; equals drawn by weight, and of the
//!    first two that were drawn the less busy, where it wants that. Weight 0 last.
//! 2. A candidate whose keys have nearly used up their rate goes behind those of its priority that have room. A call that holds items
//!    which only their origin understands goes to that one first, if it is in the priority.
//! 3. What cannot serve goes behind everything that can, in the same order: down, overloaded, its keys resting or gone. A weight-0
//!    candidate whose priority has another that can serve goes behind what can, too.
//! 4. A slow candidate, and one whose share is growing back and which was not drawn, goes behind the first that is neither. If all are
//!    slow, the fastest known comes first. So no call moves to a slower target than the one it left.
//! 5. A candidate that is down or slow and due for a probe keeps its place; the attempt loop asks for the probe when it comes to it.
//!
//! While nothing is the matter with any candidate of the first priority, its first is found and no other is ranked: most calls never need
//! one. [`Plan::complete`] ranks the rest, in the order that it would have had at once.

mod head;
mod judge;
mod order;

use crate::{
    PicoUsd, Tick,
    health::{Health, Pace, Slots, Wanted, lane_of},
    router::Matched,
    table::{Candidate, Needs, Table, TargetModel},
};
use alloc::{boxed::Box, vec, vec::Vec};
use core::time::Duration;
use judge::Judge;

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
    /// What binds it to the target that served its conversation last.
    pub affinity: Option<Affinity>,
}

/// What a call has in common with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// A hash of what a provider's prompt cache would share: the system prompt, the tools and the first message, or the key that the
    /// caller gave it for that.
    pub key: u64,
    /// It holds items that only their origin understands, such as signed thinking.
    pub bound: bool,
}

/// A call's candidates, best first. Holds indices into the table that it was made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Best first. The first alone until the plan is [complete](Self::complete); then every candidate that may be tried, those that
    /// cannot serve now at the end.
    pub ranked: Vec<Ranked>,
    /// Indices into [`crate::Rule::candidates`] of those that are never tried for this call, and why. Empty until the plan is complete.
    pub dropped: Vec<(usize, Reason)>,
    pub(crate) matched: Matched,
    pub(crate) slots: Slots,
    pub(crate) lane: usize,
    pub(crate) affinity: Option<Affinity>,
    whole: bool,
    /// Without the model's name, which is in `asked` where a target wants to know it.
    shape: Shape<'static>,
    asked: Option<Box<str>>,
    seed: u64,
}

/// A candidate in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Index into [`crate::Rule::candidates`].
    pub candidate: usize,
    /// Index into [`Table::targets`].
    pub target: usize,
    /// Why it is where it is.
    pub reason: Reason,
    /// The input window of its model, where known.
    pub(crate) window: Option<u32>,
    pub(crate) reasoning: bool,
    /// What it is compared by with others of its priority. Known in a plan that was [completed](Plan::complete); before that not in each.
    pub score: Score,
    /// Lower is tried first.
    pub priority: u32,
    /// Share inside its priority.
    pub weight: u32,
    /// The time that the route's slow rule looks at.
    latency: Option<Duration>,
    /// Its keys have nearly used up their rate.
    near: bool,
}

/// What a candidate is compared by. What is not known is never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// What the call is expected to cost.
    pub cost: Option<PicoUsd>,
    /// How long it is expected to take: to the first content, and on for each token.
    pub time: Option<Duration>,
    /// Median time to first content; the whole of a unary answer.
    pub first_content: Option<Duration>,
    /// Median time per token of a stream.
    pub per_token: Option<Duration>,
    /// Tokens that the answer is expected to have.
    pub output_tokens: u64,
    /// The share of the prompt, in millionths, that the provider's cache is expected to hold.
    pub cached_ppm: u32,
    /// Attempts without an outcome, and streams that have not ended.
    pub in_flight: u32,
    /// What is left of the rate of the key that has most left, in millionths.
    pub headroom_ppm: Option<u32>,
    /// The call's items are from there.
    pub bound: bool,
    /// The share, in millionths, that it gets of what would come to it: less than all after trouble.
    pub share_ppm: u32,
    /// Not asked for a minute, and this call finds out how it is.
    pub refreshed: bool,
    pace: Pace,
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
    /// Demoted: its keys have nearly used up their rate, and another of its priority has room.
    NearLimit,
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
            Self::NearLimit => "near_limit",
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
            Self::Kept | Self::Probe | Self::Returning | Self::Slow | Self::NearLimit => 0,
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

/// Ranks the candidates of a matched rule, as far as a call without trouble needs them. The same arguments give the same plan.
pub fn plan(table: &Table, slots: &Slots, matched: Matched, shape: Shape<'_>, health: &Health, now: Tick, seed: u64) -> Plan {
    let judge = Judge::new(table, slots, matched, shape, health, now, seed);
    let head = judge.head();
    let by_name = |candidate: &Candidate| {
        let target = table.targets.get(candidate.target);
        target.is_some_and(|target| matches!(target.model, TargetModel::AsAsked { .. }))
    };
    let mut plan = Plan {
        whole: head.is_none(),
        ranked: head.map_or_else(Vec::new, |head| vec![head]),
        dropped: Vec::new(),
        matched,
        slots: slots.clone(),
        lane: lane_of(shape),
        affinity: shape.affinity,
        asked: judge.candidates().iter().any(by_name).then(|| shape.model.into()),
        shape: Shape { model: "", ..shape },
        seed,
    };
    if plan.whole {
        (plan.ranked, plan.dropped) = judge.all(judge.wanted());
    }
    plan
}

impl Plan {
    /// Ranks every candidate with all terms of its score, by what is known `now`; for people, and for whoever wants the whole order.
    /// `table` must be the one that the plan was made from.
    pub fn complete(&mut self, table: &Table, health: &Health, now: Tick) {
        self.rank(table, health, Some(Wanted::ALL), now);
    }

    /// Ranks every candidate, unless that is done. What has been `tried` is the first and stays where it is.
    pub(crate) fn go_on(&mut self, table: &Table, health: &Health, tried: bool, now: Tick) {
        if self.whole {
            return;
        }
        let first = self.ranked.first().copied().filter(|_| tried);
        self.rank(table, health, None, now);
        if let Some(first) = first {
            self.ranked.retain(|one| one.candidate != first.candidate);
            self.ranked.insert(0, first);
        }
    }

    /// The first candidate, while it is the only one that is ranked.
    pub(crate) fn head(&self) -> Option<&Ranked> {
        self.ranked.first().filter(|_| !self.whole)
    }

    /// Without `wanted`, the terms that the balance compares.
    fn rank(&mut self, table: &Table, health: &Health, wanted: Option<Wanted>, now: Tick) {
        let shape = Shape {
            model: self.asked.as_deref().unwrap_or(""),
            ..self.shape
        };
        let judge = Judge::new(table, &self.slots, self.matched, shape, health, now, self.seed);
        (self.ranked, self.dropped) = judge.all(wanted.unwrap_or(judge.wanted()));
        self.whole = true;
    }
}

#[cfg(test)]
mod tests;
