//! Entries that are found by name once per table and by index ever after. A stamped index of an entry that has been dropped finds
//! nothing, never its successor.

use crate::Tick;
use alloc::{collections::BTreeMap, vec::Vec};
use core::{cmp::Reverse, time::Duration};

/// How long an entry outlives the last table that named it.
pub(super) const KEEP: Duration = Duration::from_mins(10);
/// Most entries that are kept for no table; beyond it the longest unused go first, however young.
pub(super) const RETIRED: usize = 1_024;

/// A stamped index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    at: u32,
    stamp: u32,
}

#[derive(Debug)]
struct Entry<T> {
    stamp: u32,
    /// The last attachment that named it.
    seen: u64,
    /// When it was last named by a table or used.
    used: Tick,
    value: T,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Arena<N, T> {
    names: BTreeMap<N, Id>,
    entries: Vec<Option<Entry<T>>>,
    free: Vec<u32>,
    stamp: u32,
}

impl<N: Ord + Clone, T> Arena<N, T> {
    pub(super) fn new() -> Self {
        Self {
            names: BTreeMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            stamp: 0,
        }
    }

    /// The entry of that name, made where it is new; named by attachment `seen`.
    pub(super) fn name(&mut self, name: N, seen: u64, now: Tick, make: impl FnOnce(u64) -> T) -> Id {
        if let Some(&id) = self.names.get(&name)
            && let Some(entry) = self.entry(id)
        {
            entry.seen = seen;
            entry.used = now;
            return id;
        }
        self.stamp = self.stamp.wrapping_add(1);
        let entry = Entry {
            stamp: self.stamp,
            seen,
            used: now,
            value: make(u64::from(self.stamp)),
        };
        let at = if let Some(at) = self.free.pop() {
            if let Some(place) = self.entries.get_mut(index(at)) {
                *place = Some(entry);
            }
            at
        } else {
            self.entries.push(Some(entry));
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        };
        let id = Id { at, stamp: self.stamp };
        self.names.insert(name, id);
        id
    }

    pub(super) fn find(&self, id: Id) -> Option<&T> {
        let entry = self.entries.get(index(id.at))?.as_ref()?;
        (entry.stamp == id.stamp).then_some(&entry.value)
    }

    /// For a change; the entry counts as used `now`.
    pub(super) fn touch(&mut self, id: Id, now: Tick) -> Option<&mut T> {
        let entry = self.entry(id)?;
        entry.used = entry.used.max(now);
        Some(&mut entry.value)
    }

    /// Drops what neither attachment `seen` names nor anybody has used for [`KEEP`].
    pub(super) fn sweep(&mut self, seen: u64, now: Tick) {
        let mut retired: Vec<(Reverse<Tick>, Id)> = Vec::new();
        for (at, place) in (0u32..).zip(&mut self.entries) {
            let Some(entry) = place else { continue };
            // It was in use until this very attachment left it out.
            if entry.seen.wrapping_add(1) == seen {
                entry.used = entry.used.max(now);
            }
            if entry.seen != seen {
                retired.push((Reverse(entry.used), Id { at, stamp: entry.stamp }));
            }
        }
        retired.sort_unstable();
        for (order, &(Reverse(used), id)) in retired.iter().enumerate() {
            if order >= RETIRED || now.since(used) > KEEP {
                if let Some(place) = self.entries.get_mut(index(id.at)) {
                    *place = None;
                }
                self.free.push(id.at);
            }
        }
        let entries = &self.entries;
        self.names.retain(|_, id| {
            let entry = entries.get(index(id.at)).and_then(Option::as_ref);
            entry.is_some_and(|entry| entry.stamp == id.stamp)
        });
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    fn entry(&mut self, id: Id) -> Option<&mut Entry<T>> {
        self.entries.get_mut(index(id.at))?.as_mut().filter(|entry| entry.stamp == id.stamp)
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
