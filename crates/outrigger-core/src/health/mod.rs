//! What was learnt of targets and keys. It outlives tables and must never hold an operator's wish: limits and thresholds come in with each
//! question.
//!
//! | kept per | what | module |
//! |---|---|---|
//! | place (origin, path) and model | outcomes, times, attempts in flight, the way back | `site` |
//! | that and key id | in flight, rate limit | `keys` |
//! | key id | refused, money spent | `keys` |
//! | conversation | where it was served last, what the cache held of it | `affinity` |
//!
//! A key id contains the version of the key's bytes, so a rotated key starts clean. Two tables that name the same target and key mean the
//! same entry: a reload forgets nothing. What no table has named for ten minutes is dropped, and of more than 1,024 such entries the
//! oldest at once.
//!
//! *Size.* A target takes at most 24 series of 5 KiB and 6 lists of 4,096 start times, and that only with every kind of call at
//! hundreds a second; one that serves short streams takes some 15 KiB. A key takes under 100 bytes. Conversations take 160 KiB once any is remembered, however many there are.

mod affinity;
mod arena;
mod buckets;
mod checks;
mod keys;
mod lane;
mod learnt;
mod probation;
mod site;
mod turns;
mod view;

pub(crate) use keys::Bar;
pub(crate) use lane::{REASONING, lane_of};
pub use learnt::{Headroom, Learnt};
pub(crate) use learnt::{Pace, Wanted, micros};
pub(crate) use site::{Grade, Standing, View};
pub use view::{KeyState, KindView, ScoreView, TargetState, TargetView};

use crate::{
    Class, Outcome, Tick,
    table::{Origin, Table, TargetModel},
};
use affinity::Memory;
use alloc::{string::String, sync::Arc, vec::Vec};
use arena::{Arena, Id};
use core::time::Duration;
use keys::{Key, Pair};
use site::{End, Site};

/// Evidence on every target and key, of this table and those before it.
#[derive(Debug)]
pub struct Health {
    sites: Arena<Place, Site>,
    pairs: Arena<(Id, Option<Id>), Pair>,
    keys: Arena<String, Key>,
    memory: Memory,
    attached: u64,
}

/// A model at a place; no model = the one that is asked for.
type Place = (Origin, String, Option<String>);

/// Where the evidence of one table's targets and keys is. Cheap to clone; good for requests of that table for as long as they run.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` for a target whose provider the table lacks: nothing can be sent there.
    targets: Vec<Option<Span>>,
    pairs: Vec<PairSlot>,
}

/// One target's stretch of [`Inner::pairs`], in the order of the ring.
#[derive(Clone, Copy, Debug)]
struct Span {
    site: Id,
    first: usize,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct PairSlot {
    pair: Id,
    key: Option<Id>,
    /// Share of the traffic inside the ring; 0 = stands by.
    weight: u32,
    /// The key's bytes are not there yet.
    pending: bool,
}

/// Where the evidence of one attempt goes. It may outlive its target's entry; what it brings then is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    site: Id,
    pair: Id,
    key: Option<Id>,
    lane: usize,
    started: Tick,
    probe: bool,
    /// The conversation that it serves.
    affinity: Option<u64>,
}

/// How a stream ended that had been committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// Whose doing its end was.
    pub how: Ending,
    /// Tokens generated, as far as known; 0 = not known.
    pub output_tokens: u64,
    /// From the first content to the end.
    pub since_first: Duration,
}

/// Whose doing a stream's end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It came to its end.
    Whole,
    /// The provider broke it off or fell silent.
    Broken,
    /// The client left it, which says nothing of the provider.
    Left,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Knows nothing.
    pub fn new() -> Self {
        Self {
            sites: Arena::new(),
            pairs: Arena::new(),
            keys: Arena::new(),
            memory: Memory::default(),
            attached: 0,
        }
    }

    /// Makes `table` the one in use: finds or makes the entries of its targets and keys and drops what no table has named for ten
    /// minutes. `pending` says of a key id that its bytes are not there yet; ask again when they are.
    pub fn attach(&mut self, table: &Table, pending: &dyn Fn(&str) -> bool, now: Tick) -> Slots {
        self.attached = self.attached.wrapping_add(1);
        let seen = self.attached;
        let mut pairs = Vec::new();
        let mut targets = Vec::with_capacity(table.targets.len());
        for target in &table.targets {
            let Some(provider) = table.providers.get(target.provider) else {
                // Indices stay in step with the table's.
                targets.push(None);
                continue;
            };
            let model = match &target.model {
                TargetModel::Fixed { name, .. } => Some(name.clone()),
                TargetModel::AsAsked { .. } => None,
            };
            let place = (provider.origin.clone(), provider.path.clone(), model);
            let site = self.sites.name(place, seen, now, Site::new);
            let first = pairs.len();
            for key in &provider.ring {
                let id = self.keys.name(key.id.clone(), seen, now, |_| Key::default());
                let pair = self.pairs.name((site, Some(id)), seen, now, |_| Pair::default());
                pairs.push(PairSlot {
                    pair,
                    key: Some(id),
                    weight: key.weight,
                    pending: pending(&key.id),
                });
            }
            if provider.ring.is_empty() && provider.auth == crate::Auth::None {
                let pair = self.pairs.name((site, None), seen, now, |_| Pair::default());
                pairs.push(PairSlot {
                    pair,
                    key: None,
                    weight: 1,
                    pending: false,
                });
            }
            let len = pairs.len() - first;
            targets.push(Some(Span { site, first, len }));
        }
        self.pairs.sweep(seen, now);
        self.keys.sweep(seen, now);
        self.sites.sweep(seen, now);
        Slots(Arc::new(Inner { targets, pairs }))
    }

    /// Takes in how a committed stream ended: its time per token, or that it broke midway, which counts as a failure. Each must be told
    /// of once, or its target passes for busy. Unary calls have told everything with their outcome.
    pub fn settle(&mut self, slot: Slot, end: StreamEnd, now: Tick) {
        let Some(site) = self.sites.touch(slot.site, now) else { return };
        // The first token came with the first content; the others share the rest of the time.
        let others = u32::try_from(end.output_tokens.saturating_sub(1)).unwrap_or(u32::MAX);
        let per_token = end.since_first.checked_div(others);
        let content = Tick(now.0.saturating_sub(u64::try_from(end.since_first.as_micros()).unwrap_or(u64::MAX)));
        site.settle(&slot, end.how, content, per_token, now);
    }

    /// How a target stands for one route and kind of call.
    pub(crate) fn standing(&self, slots: &Slots, target: usize, view: View<'_>, now: Tick) -> Standing {
        self.site(slots, target).map_or(Standing::UNKNOWN, |site| site.standing(view, now))
    }

    /// The same, writing down what the clock has brought about.
    pub(crate) fn review(&mut self, slots: &Slots, target: usize, view: View<'_>, now: Tick) -> Standing {
        self.site_mut(slots, target, now)
            .map_or(Standing::UNKNOWN, |site| site.review(view, now))
    }

    /// Whether each key of a target may be sent, in the order of the ring; one for a provider without keys.
    pub(crate) fn bars<'a>(&'a self, slots: &'a Slots, target: usize, now: Tick) -> impl Iterator<Item = Bar> + 'a {
        slots.pairs(target).iter().map(move |slot| self.bar(slot, now))
    }

    /// The best that any key of a target may do; `None` where it has none.
    pub(crate) fn best(&self, slots: &Slots, target: usize, now: Tick) -> Option<Bar> {
        let mut best = None;
        for bar in self.bars(slots, target, now) {
            if bar == Bar::Free {
                return Some(bar);
            }
            best = Some(best.map_or(bar, |best: Bar| best.min(bar)));
        }
        best
    }

    /// Attempts without an outcome at a target, and streams that have not ended.
    pub(crate) fn busy(&self, slots: &Slots, target: usize) -> u32 {
        self.site(slots, target).map_or(0, Site::busy)
    }

    /// How long an attempt may go without content before it is overdue.
    pub(crate) fn patience(&self, slots: &Slots, target: usize, view: View<'_>, now: Tick) -> Duration {
        self.site(slots, target).map_or(Duration::ZERO, |site| site.patience(view, now))
    }

    /// A call comes to a target for the first time.
    pub(crate) fn came(&mut self, slots: &Slots, target: usize, now: Tick) {
        if let Some(site) = self.site_mut(slots, target, now) {
            site.turns.came(now);
        }
    }

    /// Takes the next turn at a target; `None` where that is further off than `longest`.
    pub(crate) fn turn(&mut self, slots: &Slots, target: usize, longest: Duration, now: Tick) -> Option<Tick> {
        self.site_mut(slots, target, now)
            .map_or(Some(now), |site| site.turns.take(longest, now))
    }

    /// When the next turn at a target is.
    pub(crate) fn next_turn(&self, slots: &Slots, target: usize, now: Tick) -> Tick {
        self.site(slots, target).map_or(now, |site| site.turns.next(now))
    }

    /// An attempt starts; a probe says until when it will be let run.
    pub(crate) fn begin(&mut self, slot: &Slot, until: Option<Tick>, now: Tick) {
        if let Some(site) = self.sites.touch(slot.site, now) {
            site.begin(slot.lane, until, now);
        }
        if let Some(pair) = self.pairs.touch(slot.pair, now) {
            pair.in_flight = pair.in_flight.saturating_add(1);
        }
    }

    /// An attempt ends, before or with its first content.
    pub(crate) fn end(&mut self, slot: &Slot, outcome: &Outcome, view: View<'_>, now: Tick) {
        if let Some(site) = self.sites.touch(slot.site, now) {
            let end = End {
                class: if outcome.stale { Class::Cancelled } else { outcome.class },
                until: outcome.until,
                started: slot.started,
                probe: slot.probe,
            };
            site.end(view, &end, now);
        }
        if let (Class::Ok, Some(key)) = (outcome.class, slot.affinity) {
            self.memory.remember(key, slot.site, now);
        }
        let key = slot.key.and_then(|key| self.keys.touch(key, now));
        if let Some(pair) = self.pairs.touch(slot.pair, now) {
            pair.in_flight = pair.in_flight.saturating_sub(1);
            pair.learn(key, outcome.class, outcome.until, now);
        }
    }

    /// Attempts in flight: by target, by pair, and start times.
    #[cfg(test)]
    pub(crate) fn in_flight(&self, slots: &Slots, target: usize) -> (u32, u32, usize) {
        let site = self.sites.find(slots.span(target).unwrap().site).unwrap();
        let pairs = slots.pairs(target).iter().map(|slot| self.pairs.find(slot.pair).unwrap().in_flight);
        (site.busy(), pairs.sum(), site.lanes.iter().map(lane::Lane::waiting).sum())
    }

    fn site(&self, slots: &Slots, target: usize) -> Option<&Site> {
        self.sites.find(slots.span(target)?.site)
    }

    /// For a change; it counts as used `now`.
    fn site_mut(&mut self, slots: &Slots, target: usize, now: Tick) -> Option<&mut Site> {
        self.sites.touch(slots.span(target)?.site, now)
    }

    fn bar(&self, slot: &PairSlot, now: Tick) -> Bar {
        if slot.pending {
            return Bar::Never;
        }
        let key = slot.key.map(|key| self.keys.find(key));
        // Who has forgotten a key must not send it: it may have been refused. Its table is long gone.
        let (Some(pair), Some(key)) = (self.pairs.find(slot.pair), key.map_or(Some(None), |key| key.map(Some))) else {
            return Bar::Never;
        };
        pair.bar(key, now)
    }
}

impl Slot {
    /// The same for a call of that conversation.
    pub(crate) fn of(self, affinity: Option<u64>) -> Self {
        Self { affinity, ..self }
    }
}

impl Slots {
    /// The slot of an attempt; `key` counts along the ring and is 0 for a provider without keys.
    pub(crate) fn slot(&self, target: usize, key: usize, lane: usize, probe: bool, now: Tick) -> Option<Slot> {
        let slot = self.pairs(target).get(key)?;
        Some(Slot {
            site: self.span(target)?.site,
            pair: slot.pair,
            key: slot.key,
            lane,
            started: now,
            probe,
            affinity: None,
        })
    }

    /// A key's share of the traffic inside its ring.
    pub(crate) fn weight(&self, target: usize, key: usize) -> u32 {
        self.pairs(target).get(key).map_or(0, |slot| slot.weight)
    }

    /// Whether the target's provider has keys.
    pub(crate) fn keyed(&self, target: usize) -> bool {
        self.pairs(target).iter().any(|slot| slot.key.is_some())
    }

    /// Whether every key of a target is still on its way.
    pub(crate) fn pending(&self, target: usize) -> bool {
        self.pairs(target).iter().all(|slot| slot.pending)
    }

    fn span(&self, target: usize) -> Option<Span> {
        self.0.targets.get(target).copied().flatten()
    }

    fn pairs(&self, target: usize) -> &[PairSlot] {
        let span = self.span(target);
        let pairs = span.and_then(|span| self.0.pairs.get(span.first..span.first.saturating_add(span.len)));
        pairs.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
