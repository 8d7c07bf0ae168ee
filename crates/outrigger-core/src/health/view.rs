//! What people and metrics are shown of a target. Decides nothing.

use super::{
    Grade, Health, Slots, View,
    lane::{LANES, kind_of},
    learnt::{Wanted, micros},
    site::Site,
};
use crate::{
    Tick,
    table::{Breaker, Table, TargetModel},
};
use alloc::{string::String, vec::Vec};
use core::time::Duration;

/// What a target is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetState {
    /// Serving.
    Closed,
    /// Serving where nothing faster is left: over the route's threshold.
    Slow,
    /// Left alone: it fails or hangs, or every key of it is refused.
    Open,
    /// Left alone but for probes, one of which runs or may.
    HalfOpen,
    /// It said that it is overloaded and until when.
    Overloaded,
    /// The bytes of its keys are not there yet.
    KeyPending,
}

impl TargetState {
    /// Every state, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Slow,
        Self::Open,
        Self::HalfOpen,
        Self::Overloaded,
        Self::KeyPending,
    ];

    /// The name used in metrics and on the admin port.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Slow => "slow",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Overloaded => "overloaded",
            Self::KeyPending => "key_pending",
        }
    }
}

/// What a key may do for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Serve.
    Ready,
    /// Its bytes are not there yet.
    Pending,
    /// Nothing: the provider refused it.
    Refused,
    /// Nothing until then: its money is spent.
    Spent(Tick),
    /// Nothing until then: its rate is used up.
    Limited(Tick),
}

/// What is known of a target, through the eyes of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetView {
    /// What it is doing; for calls of the kind that it sees most of.
    pub state: TargetState,
    /// Median time to first content (a unary answer: the whole) of that kind of call; `None` = nothing seen.
    pub p50: Option<Duration>,
    /// 95 % of them took no longer.
    pub p95: Option<Duration>,
    /// 99 % of them took no longer.
    pub p99: Option<Duration>,
    /// Share of failed attempts in the window, in millionths; `None` = no attempt.
    pub errors_ppm: Option<u32>,
    /// Attempts in the window, of every kind.
    pub samples: u32,
    /// Attempts without an outcome, and streams that have not ended.
    pub in_flight: u32,
    /// Health checks in a row that were not answered.
    pub unanswered: u32,
    /// By name, in the order of the ring; empty for a provider without keys.
    pub keys: Vec<(String, KeyState)>,
}

/// What a target's score is made of, beside its price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScoreView {
    /// What is left of the rate of the key that has most left, in millionths; `None` = not told.
    pub headroom_ppm: Option<u32>,
    /// The kinds of calls that anything is known of.
    pub kinds: Vec<KindView>,
}

/// What is known of calls of one size, streamed or unary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindView {
    /// The shortest prompt of that size, in reference tokens.
    pub prompt_from: u32,
    /// Of streams.
    pub stream: bool,
    /// Median time to first content of late; the whole of a unary answer.
    pub first_content: Option<Duration>,
    /// Median time per token of late.
    pub per_token: Option<Duration>,
    /// Tokens of a usual answer.
    pub output: Option<u64>,
}

impl Health {
    /// What `target`'s score is made of now.
    pub fn score(&self, slots: &Slots, target: usize, now: Tick) -> ScoreView {
        // How much a prompt's cache holds is a matter of one conversation, and what is left of a rate of none.
        let wanted = Wanted {
            time: true,
            ..Wanted::default()
        };
        let kinds = (0..LANES).map(|lane| {
            let terms = self.terms(slots, target, lane, None, wanted, now);
            let (prompt_from, stream) = kind_of(lane);
            KindView {
                prompt_from,
                stream,
                first_content: micros(terms.pace.first_content),
                per_token: micros(terms.pace.per_token),
                output: terms.pace.output,
            }
        });
        let known = |kind: &KindView| kind.first_content.is_some() || kind.per_token.is_some() || kind.output.is_some();
        ScoreView {
            headroom_ppm: self.headroom(slots, target, now),
            kinds: kinds.filter(known).collect(),
        }
    }

    /// What is known of `target` (an index into [`Table::targets`]), judged by `breaker`.
    pub fn view(&self, table: &Table, slots: &Slots, breaker: &Breaker, target: usize, now: Tick) -> TargetView {
        let site = self.site(slots, target);
        let busiest = site.and_then(|site| {
            (0..LANES)
                .rev()
                .max_by_key(|&lane| site.lanes.get(lane).map_or(0, |lane| lane.first.count(now)))
        });
        let lane = busiest.unwrap_or(0);
        let times = site.and_then(|site| site.lanes.get(lane)).map(|lane| &lane.first);
        let quantile = |ppm| times.and_then(|times| times.quantile(ppm, now));
        let (samples, failed) = site.map_or((0, 0), |site| site.tally.counts(now));
        let share = u64::from(failed).saturating_mul(1_000_000).checked_div(u64::from(samples));
        let reasoning = table.targets.get(target).is_some_and(|target| match &target.model {
            TargetModel::Fixed { facts, .. } => facts.reasoning,
            TargetModel::AsAsked { .. } => false,
        });
        TargetView {
            state: self.state(slots, target, View { breaker, lane, reasoning }, now),
            p50: quantile(500_000),
            p95: quantile(950_000),
            p99: quantile(990_000),
            errors_ppm: share.and_then(|share| u32::try_from(share).ok()),
            samples,
            in_flight: site.map_or(0, Site::busy),
            unanswered: site.map_or(0, |site| site.unanswered),
            keys: self.key_states(table, slots, target, now),
        }
    }

    fn state(&self, slots: &Slots, target: usize, view: View<'_>, now: Tick) -> TargetState {
        if slots.pending(target) {
            return TargetState::KeyPending;
        }
        if self.bars(slots, target, now).all(|bar| bar == super::Bar::Never) {
            return TargetState::Open;
        }
        let standing = self.standing(slots, target, view, now);
        match standing.grade {
            Grade::Up => TargetState::Closed,
            Grade::Slow => TargetState::Slow,
            Grade::Down if standing.half_open => TargetState::HalfOpen,
            Grade::Down => TargetState::Open,
            Grade::Overloaded(_) => TargetState::Overloaded,
        }
    }

    fn key_states(&self, table: &Table, slots: &Slots, target: usize, now: Tick) -> Vec<(String, KeyState)> {
        let provider = table.targets.get(target).and_then(|target| table.providers.get(target.provider));
        let ring = provider.map(|provider| provider.ring.as_slice()).unwrap_or_default();
        let states = slots.pairs(target).iter().map(|slot| {
            let key = slot.key.and_then(|key| self.keys.find(key));
            let limited = self.pairs.find(slot.pair).map_or(Tick(0), |pair| pair.until);
            match key {
                _ if slot.pending => KeyState::Pending,
                Some(key) if key.refused => KeyState::Refused,
                Some(key) if key.spent_until > now => KeyState::Spent(key.spent_until),
                _ if limited > now => KeyState::Limited(limited),
                _ => KeyState::Ready,
            }
        });
        ring.iter().zip(states).map(|(key, state)| (key.name.clone(), state)).collect()
    }
}
