//! Which target served a conversation last, and how much of its prompt the provider's cache held. It remembers a hash and a place; never
//! a word of the conversation.
//!
//! *Size.* [`SETS`] sets of [`WAYS`] entries, 4,096 in all and some 160 KiB, made when the first conversation is remembered. A set that
//! is full gives up its oldest entry; so may a set here and there before all of them are full, which costs a cached prompt and no more.

use super::arena::Id;
use crate::{Tick, seed};
use alloc::vec::Vec;
use core::time::Duration;

const SETS: usize = 512;
const WAYS: usize = 8;
/// How long a conversation is remembered.
pub(super) const KEEP: Duration = Duration::from_mins(10);
/// How long a provider's cache is believed to hold a prompt.
pub(super) const WARM: Duration = Duration::from_mins(5);
/// What share of a prompt, in millionths, is believed to be in the cache of a target that served it and has not told yet.
const UNTOLD: u32 = 500_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory {
    sets: Vec<[Option<Served>; WAYS]>,
}

#[derive(Clone, Copy, Debug)]
struct Served {
    key: u64,
    site: Id,
    at: Tick,
    /// Calls of it that this target has served, up to two.
    calls: u32,
    cached_ppm: Option<u32>,
}

impl Memory {
    /// The conversation `key` is being served at `site`.
    pub(super) fn remember(&mut self, key: u64, site: Id, now: Tick) {
        if self.sets.is_empty() {
            self.sets.resize(SETS, [None; WAYS]);
        }
        let Some(set) = self.sets.get_mut(place(key)) else { return };
        if let Some(known) = set.iter_mut().flatten().find(|served| served.key == key) {
            // What a cache held of it ten minutes ago says nothing.
            if known.site == site && now.since(known.at) <= WARM {
                known.calls = 2;
                known.at = known.at.max(now);
                return;
            }
            *known = Served::new(key, site, now);
            return;
        }
        let oldest = set.iter_mut().min_by_key(|served| served.map(|served| served.at));
        if let Some(place) = oldest {
            *place = Some(Served::new(key, site, now));
        }
    }

    /// A call of it has told how much of its prompt went through the cache. The first one tells nothing: the cache was cold.
    pub(super) fn learn(&mut self, key: u64, site: Id, cached_ppm: u32, now: Tick) {
        let set = self.sets.get_mut(place(key));
        let known = set.and_then(|set| set.iter_mut().flatten().find(|served| served.key == key));
        if let Some(known) = known.filter(|known| known.site == site)
            && (known.calls > 1 || cached_ppm > 0)
        {
            known.cached_ppm = Some(cached_ppm);
            known.at = known.at.max(now);
        }
    }

    /// Where it was served last.
    pub(super) fn last(&self, key: u64, now: Tick) -> Option<Id> {
        self.find(key, KEEP, now).map(|served| served.site)
    }

    /// The share of its prompt, in millionths, that the cache at `site` is believed to hold.
    pub(super) fn cached(&self, key: u64, site: Id, now: Tick) -> u32 {
        let served = self.find(key, WARM, now).filter(|served| served.site == site);
        served.map_or(0, |served| served.cached_ppm.unwrap_or(UNTOLD))
    }

    fn find(&self, key: u64, age: Duration, now: Tick) -> Option<&Served> {
        let set = self.sets.get(place(key))?;
        let served = set.iter().flatten().find(|served| served.key == key)?;
        (now.since(served.at) <= age).then_some(served)
    }

    /// How many it remembers, and for how many it has room.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.sets.iter().flatten().flatten().count(), self.sets.len() * WAYS)
    }
}

impl Served {
    fn new(key: u64, site: Id, at: Tick) -> Self {
        let (calls, cached_ppm) = (1, None);
        Self {
            key,
            site,
            at,
            calls,
            cached_ppm,
        }
    }
}

fn place(key: u64) -> usize {
    usize::try_from(seed::below(key, 0, SETS as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
