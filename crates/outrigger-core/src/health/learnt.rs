//! What a call tells beside how it ended: how long answers are, how much of a rate is left, what a cache held; and what a target's score
//! is made of. Nothing here says whether a target may be used.

use super::{Health, Slot, Slots, lane::Lane};
use crate::{Tick, Usage, plan::Affinity};
use core::time::Duration;

/// How long a mean counts after its last value.
const MEMORY: Duration = Duration::from_mins(10);
/// The weight of a new value is one of so many, once there have been as many.
const INERTIA: u32 = 16;
/// Who waits for so long waits in vain, µs.
const VAIN: u64 = 60_000_000;

/// What is told when a call is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// The tokens of a complete answer; absent = not reported, or broken off.
    pub usage: Option<Usage>,
    /// What is left of the key's rate.
    pub headroom: Option<Headroom>,
}

/// What a provider says is left of a key's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Share of the limit that is left, in millionths: of requests or of tokens, whichever is less.
    pub remaining_ppm: u32,
    /// When there is more; `None` = not told.
    pub resets: Option<Tick>,
}

/// A decaying mean of token counts.
#[derive(Debug, Default)]
pub(super) struct Mean {
    /// In 256ths.
    value: u64,
    count: u32,
    at: Tick,
}

impl Mean {
    pub(super) fn record(&mut self, tokens: u64, now: Tick) {
        if self.count > 0 && now.since(self.at) > MEMORY {
            *self = Self::default();
        }
        self.count = (self.count + 1).min(INERTIA);
        let new = tokens.min(u64::from(u32::MAX)) * 256;
        let rest = self.value * u64::from(self.count - 1);
        self.value = (rest + new) / u64::from(self.count);
        self.at = now;
    }

    pub(super) fn get(&self, now: Tick) -> Option<u64> {
        (self.count > 0 && now <= self.at.after(MEMORY)).then_some(self.value.div_ceil(256))
    }
}

/// Which terms are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent questions, not states")]
pub(crate) struct Wanted {
    pub(crate) headroom: bool,
    /// What an answer's length and its prompt's cache say of its cost.
    pub(crate) cost: bool,
    /// How long it takes.
    pub(crate) time: bool,
    pub(crate) busy: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self {
        headroom: true,
        cost: true,
        time: true,
        busy: true,
    };
}

/// What is known of a target for calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) pace: Pace,
    pub(crate) in_flight: u32,
    /// The share of the prompt, in millionths, that its cache is believed to hold.
    pub(crate) cached_ppm: u32,
    /// What is left of the rate of the key that has most left, in millionths.
    pub(crate) headroom_ppm: Option<u32>,
}

/// How fast a target is for calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Median time to first content, µs; the whole of a unary answer.
    pub(crate) first_content: Option<u32>,
    /// Median time per token of a stream, µs.
    pub(crate) per_token: Option<u32>,
    /// Known, but not of late; or asked, and nothing came.
    pub(crate) stale: bool,
    /// How long the oldest attempt in flight has waited, µs.
    pub(crate) waited: u64,
    /// Tokens of a usual answer.
    pub(crate) output: Option<u64>,
}

impl Health {
    /// Takes in what a call told when it was over, beside [`Self::settle`] and for unary calls too.
    pub fn learn(&mut self, slot: Slot, learnt: Learnt, now: Tick) {
        if let Some(usage) = learnt.usage {
            let lane = self.sites.touch(slot.site, now).and_then(|site| site.lanes.get_mut(slot.lane));
            if let Some(lane) = lane {
                lane.output.record(usage.output, now);
            }
            if let (Some(key), Some(cached)) = (slot.affinity, cached_ppm(&usage)) {
                self.memory.learn(key, slot.site, cached, now);
            }
        }
        if let (Some(headroom), Some(pair)) = (learnt.headroom, self.pairs.touch(slot.pair, now)) {
            pair.left(headroom, now);
        }
    }

    /// Whether the conversation's items are from this target.
    pub(crate) fn served_last(&self, slots: &Slots, target: usize, affinity: Affinity, now: Tick) -> bool {
        let last = self.memory.last(affinity.key, now);
        last.is_some() && last == slots.span(target).map(|span| span.site)
    }

    /// What is left of the rate of the key that has most left, in millionths.
    pub(super) fn headroom(&self, slots: &Slots, target: usize, now: Tick) -> Option<u32> {
        let pairs = slots.pairs(target).iter().filter_map(|slot| self.pairs.find(slot.pair));
        pairs.filter_map(|pair| pair.headroom(now)).max()
    }

    /// What a target's score is made of, as far as it is wanted.
    pub(crate) fn terms(&self, slots: &Slots, target: usize, lane: usize, affinity: Option<Affinity>, wanted: Wanted, now: Tick) -> Terms {
        let mut terms = Terms::default();
        if wanted.headroom {
            terms.headroom_ppm = self.headroom(slots, target, now);
        }
        if wanted.busy {
            terms.in_flight = self.busy(slots, target);
        }
        if wanted.cost {
            terms.cached_ppm = self.cached(slots, target, affinity, now);
        }
        if wanted.time {
            terms.pace = self.pace(slots, target, lane, now);
        } else if wanted.cost {
            terms.pace.output = self.usual_output(slots, target, lane, now);
        }
        terms
    }

    /// The share of the prompt, in millionths, that a target's cache is believed to hold.
    pub(crate) fn cached(&self, slots: &Slots, target: usize, affinity: Option<Affinity>, now: Tick) -> u32 {
        let (Some(affinity), Some(span)) = (affinity, slots.span(target)) else {
            return 0;
        };
        self.memory.cached(affinity.key, span.site, now)
    }

    /// Tokens of a target's usual answer.
    pub(crate) fn usual_output(&self, slots: &Slots, target: usize, lane: usize, now: Tick) -> Option<u64> {
        self.lane(slots, target, lane)?.output.get(now)
    }

    /// How fast a target is.
    pub(crate) fn pace(&self, slots: &Slots, target: usize, lane: usize, now: Tick) -> Pace {
        let Some(lane) = self.lane(slots, target, lane) else {
            return Pace::default();
        };
        let first = lane.first.pace(now);
        let waited = lane.waited(now);
        Pace {
            first_content: first.map(|(median, _)| median),
            per_token: lane.per_token.pace(now).map(|(median, _)| median),
            stale: first.map_or(waited > VAIN, |(_, of_late)| !of_late),
            waited,
            output: lane.output.get(now),
        }
    }

    fn lane(&self, slots: &Slots, target: usize, lane: usize) -> Option<&Lane> {
        self.site(slots, target)?.lanes.get(lane)
    }
}

/// A time that is kept in microseconds.
pub(crate) fn micros(time: Option<u32>) -> Option<Duration> {
    time.map(|micros| Duration::from_micros(u64::from(micros)))
}

/// The part of a prompt that went through the provider's cache, either way; nothing where there was no prompt.
fn cached_ppm(usage: &Usage) -> Option<u32> {
    let cached = u128::from(usage.cached_read) + u128::from(usage.cache_write);
    let prompt = cached + u128::from(usage.input);
    u32::try_from((cached * 1_000_000).checked_div(prompt)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn a_mean_follows_what_is_new_and_one_long_answer_is_not_the_rule() {
        let mut mean = Mean::default();
        assert_eq!(mean.get(at(0)), None, "not known is not zero");
        for (tokens, expected) in [(100, 100), (200, 150), (300, 200)] {
            mean.record(tokens, at(0));
            assert_eq!(mean.get(at(0)), Some(expected));
        }
        for _ in 0..1_000 {
            mean.record(100, at(1));
        }
        assert_eq!(mean.get(at(1)), Some(100));
        mean.record(1_700, at(1));
        assert_eq!(mean.get(at(1)), Some(200), "a sixteenth of the way");
        for _ in 0..100 {
            mean.record(1_700, at(2));
        }
        assert!(mean.get(at(2)).is_some_and(|mean| mean > 1_690), "half-forgotten in eleven answers");
        mean.record(u64::MAX, at(2));
        assert!(mean.get(at(2)).is_some(), "no provider's word overflows it");
        assert_eq!(mean.get(at(600_003)), None);
        mean.record(7, at(700_000));
        assert_eq!(mean.get(at(700_000)), Some(7), "what was before is of another time");
    }

    #[test]
    fn the_cached_part_of_a_prompt_is_what_was_read_and_what_was_written() {
        let usage = |input, cached_read, cache_write| Usage {
            input,
            cached_read,
            cache_write,
            ..Usage::default()
        };
        assert_eq!(cached_ppm(&usage(0, 0, 0)), None);
        assert_eq!(cached_ppm(&usage(100, 0, 0)), Some(0));
        assert_eq!(cached_ppm(&usage(100, 200, 100)), Some(750_000));
        assert_eq!(cached_ppm(&usage(u64::MAX, u64::MAX, 0)), Some(500_000));
    }
}
