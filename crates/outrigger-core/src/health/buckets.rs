//! Raw evidence in one-second buckets. It says what happened, never what that means.
//!
//! *Window.* The last 60 s, stretched to as much as 10 min while it holds fewer than 20 samples, so that a client with five calls a
//! minute still learns. The stretch is a matter of what is thrown away: a second leaves when it is older than 10 min, or older than
//! 60 s and not needed for the 20. Only seconds that saw something take room, so [`SECONDS`] of them hold any window.
//!
//! *Size.* A bucket of times keeps at most [`KEPT`] of a second's samples (a reservoir, each then standing for its share of the second),
//! so [`Samples`] never exceeds about 5 KiB and [`Tally`] 1 KiB, however long or busy the process.
//!
//! *Quantiles* are read from a grid of whole percents, rounded up (99.9 % is the greatest sample), and worked out again when a second
//! has passed or 16 samples have come that are a sixteenth of all, not at each question.

use crate::{Tick, seed};
use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;

/// Seconds that always count.
const WINDOW: u32 = 60;
/// Seconds that count where traffic is thin.
const STRETCHED: u32 = 600;
/// Samples below which the window stretches; also what it takes to know a quantile's tail.
pub(super) const NEEDED: u32 = 20;
/// Samples from which a time is known rather than guessed.
const KNOWN: u32 = 3;
/// How many outcomes show that a share of the calls has begun to fail: one for each bit of a word.
const LATEST: u32 = u32::BITS;
/// The same for a target that has not been back for long.
const FEW: u32 = 10;
/// Failures among [`LATEST`] that chance may have brought together.
const CHANCE: u32 = 3;
/// Most seconds that are kept.
const SECONDS: usize = 64;
/// Most samples that are kept of one second.
const KEPT: usize = 16;
/// New samples after which a cached quantile is worked out again within the same second, unless they are few beside those it holds:
/// below a sixteenth they cannot move it far, and a second with thousands of calls would sort thousands of times.
const FRESH: u32 = 16;
/// How long any evidence counts.
pub(super) const MEMORY: Duration = Duration::from_secs(STRETCHED as u64);

/// Outcomes: how many attempts succeeded and failed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seconds: VecDeque<Count>,
    ok: u32,
    failed: u32,
    /// The last outcomes, the newest in the lowest bit; 1 = failed.
    latest: u32,
    /// How many of them there are, up to [`LATEST`].
    told: u32,
}

#[derive(Debug)]
struct Count {
    at: u32,
    ok: u32,
    failed: u32,
}

impl Tally {
    pub(super) fn record(&mut self, ok: bool, now: Tick) {
        let at = second(now);
        if self.seconds.back().is_none_or(|last| last.at < at) {
            self.seconds.push_back(Count { at, ok: 0, failed: 0 });
        }
        self.latest = self.latest << 1 | u32::from(!ok);
        self.told = (self.told + 1).min(LATEST);
        let Some(last) = self.seconds.back_mut() else { return };
        let (all, here) = if ok {
            (&mut self.ok, &mut last.ok)
        } else {
            (&mut self.failed, &mut last.failed)
        };
        *all = all.saturating_add(1);
        *here = here.saturating_add(1);
        while let Some(first) = self.seconds.front() {
            if !leaves(at, first.at, first.ok + first.failed, self.ok + self.failed, self.seconds.len()) {
                break;
            }
            self.ok = self.ok.saturating_sub(first.ok);
            self.failed = self.failed.saturating_sub(first.failed);
            self.seconds.pop_front();
        }
    }

    /// (attempts, failed among them) of the window; nothing where the newest is out of memory.
    pub(super) fn counts(&self, now: Tick) -> (u32, u32) {
        match self.seconds.back() {
            Some(last) if remembered(last.at, now) => (self.ok + self.failed, self.failed),
            _ => (0, 0),
        }
    }

    /// Whether no failure is known, of whatever time: mostly so, and every plan asks of every target.
    pub(super) fn is_clean(&self) -> bool {
        self.failed == 0 && self.latest == 0
    }

    /// The share, in millionths, of the last attempts that failed; 0 while there are too few. It sees in seconds what a minute of good calls
    /// before it would hide. Of the last [`LATEST`], less what a bad draw may bring; of a target in `doubt` of the last [`FEW`].
    pub(super) fn lately(&self, doubt: bool, now: Tick) -> u64 {
        let (of, chance) = if doubt { (FEW, 0) } else { (LATEST, CHANCE) };
        if self.latest == 0 || self.told < of || self.counts(now).0 == 0 {
            return 0;
        }
        let failed = (self.latest << (LATEST - of)).count_ones();
        u64::from(failed.saturating_sub(chance)) * 1_000_000 / u64::from(of)
    }
}

/// Times, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Samples {
    seconds: VecDeque<Second>,
    seen: u32,
    fresh: u32,
    worked_out: u32,
    /// The value at each whole percent from 0 to 100; empty while there is none.
    grid: Vec<u32>,
    /// The second from which on there were [`NEEDED`] samples then.
    enough_from: Option<u32>,
}

#[derive(Debug)]
struct Second {
    at: u32,
    seen: u32,
    kept: [u32; KEPT],
}

impl Samples {
    pub(super) fn record(&mut self, time: Duration, now: Tick) {
        let at = second(now);
        if self.seconds.back().is_none_or(|last| last.at < at) {
            let kept = [0; KEPT];
            self.seconds.push_back(Second { at, seen: 0, kept });
        }
        let Some(last) = self.seconds.back_mut() else { return };
        let order = u64::from(last.seen);
        last.seen = last.seen.saturating_add(1);
        // Algorithm R; the order inside the second is variety enough for a seed.
        let place = if last.seen as usize <= KEPT {
            order
        } else {
            seed::below(u64::from(at), order, order + 1)
        };
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| last.kept.get_mut(place)) {
            *slot = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        }
        self.seen = self.seen.saturating_add(1);
        self.fresh = self.fresh.saturating_add(1);
        while let Some(first) = self.seconds.front() {
            if !leaves(at, first.at, first.seen, self.seen, self.seconds.len()) {
                break;
            }
            self.seen = self.seen.saturating_sub(first.seen);
            self.seconds.pop_front();
        }
        if self.seen <= NEEDED || self.fresh >= FRESH.max(self.seen / 16) || self.worked_out != at {
            self.work_out(at);
        }
    }

    /// How many samples the window holds.
    pub(super) fn count(&self, now: Tick) -> u32 {
        if self.seconds.back().is_some_and(|last| remembered(last.at, now)) {
            self.seen
        } else {
            0
        }
    }

    /// The median in microseconds, and whether it is of late: of the last minute alone, if that saw anything to speak of, so that what a
    /// seldom asked target once was does not outweigh what it has become.
    pub(super) fn pace(&self, now: Tick) -> Option<(u32, bool)> {
        let from = second(now).saturating_sub(WINDOW);
        if self.enough_from.is_some_and(|enough| enough >= from) {
            return self.median().map(|median| (median, true));
        }
        let recent = || self.seconds.iter().rev().take_while(|second| second.at >= from);
        let mut seen = 0;
        for second in recent() {
            seen += second.seen;
            if seen >= NEEDED {
                return self.median().map(|median| (median, true));
            }
        }
        if seen < KNOWN {
            let known = self.count(now) >= KNOWN;
            return known.then(|| self.median()).flatten().map(|median| (median, false));
        }
        let mut times: Vec<u32> = recent()
            .flat_map(|second| second.kept.iter().take(second.seen as usize))
            .copied()
            .collect();
        times.sort_unstable();
        let median = times.get(times.len().div_ceil(2).saturating_sub(1))?;
        Some((*median, true))
    }

    fn median(&self) -> Option<u32> {
        self.grid.get(50).copied()
    }

    /// The quantile at `ppm` millionths.
    pub(super) fn quantile(&self, ppm: u32, now: Tick) -> Option<Duration> {
        self.quantile_of(1, ppm, now)
    }

    /// The same, where there are so many samples.
    pub(super) fn quantile_of(&self, least: u32, ppm: u32, now: Tick) -> Option<Duration> {
        if self.count(now) < least {
            return None;
        }
        let percent = ppm.min(1_000_000).div_ceil(10_000);
        let value = self.grid.get(usize::try_from(percent).ok()?)?;
        Some(Duration::from_micros(u64::from(*value)))
    }

    /// Everything so far is of another time.
    pub(super) fn forget(&mut self) {
        self.seconds.clear();
        self.seen = 0;
        self.enough_from = None;
    }

    fn work_out(&mut self, at: u32) {
        self.fresh = 0;
        self.worked_out = at;
        let mut seen = 0;
        let enough = self.seconds.iter().rev().find(|second| {
            seen += second.seen;
            seen >= NEEDED
        });
        self.enough_from = enough.map(|second| second.at);
        let mut weighted: Vec<(u32, u32)> = Vec::with_capacity(self.seconds.len().saturating_mul(KEPT));
        let mut total = 0u64;
        for second in &self.seconds {
            let kept = KEPT.min(second.seen as usize);
            // In sixteenths of a sample, so that a share of 17/16 is not rounded away.
            let weight = second.seen.saturating_mul(16) / u32::try_from(kept.max(1)).unwrap_or(1);
            weighted.extend(second.kept.iter().take(kept).map(|&value| (value, weight)));
            total += u64::from(weight) * kept as u64;
        }
        weighted.sort_unstable();
        self.grid.resize(101, 0);
        let mut samples = weighted.iter();
        let (mut passed, mut value) = (0u64, 0);
        for (percent, place) in (0u64..).zip(&mut self.grid) {
            while passed * 100 < total * percent.max(1) {
                let Some(&(next, weight)) = samples.next() else { break };
                value = next;
                passed += u64::from(weight);
            }
            *place = value;
        }
    }
}

fn leaves(now: u32, at: u32, held: u32, all: u32, seconds: usize) -> bool {
    let age = now.saturating_sub(at);
    age > STRETCHED || seconds > SECONDS || (age > WINDOW && all.saturating_sub(held) >= NEEDED)
}

fn remembered(at: u32, now: Tick) -> bool {
    second(now).saturating_sub(at) <= STRETCHED
}

fn second(now: Tick) -> u32 {
    u32::try_from(now.0 / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
