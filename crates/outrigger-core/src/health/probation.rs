//! The way back. Decides when a target that was left may be asked again, never whether it was right to leave it.
//!
//! One probe at a time, counted when it is sent. The first comes 250 ms after the target was left; each that fails doubles the gap, up
//! to 5 s; each that succeeds lets the next one go at once. [`WANTED`] in a row end it; then the share grows back over two seconds, and
//! trouble within a minute goes on with the gap that had been reached. Gaps are shortened by up to a quarter, by an amount that depends
//! on the target and the count, so that many clients of one provider do not knock in step.
//!
//! Three good answers in a row say little of a provider that fails every third call. So where it is a share of its calls that fails, twice as
//! many are asked for, with each relapse twice as many again, up to [`MOST_WANTED`], or as many as come in [`TRIAL`].

use crate::{Tick, seed};
use core::time::Duration;

/// Successes in a row that bring a target back.
pub(super) const WANTED: u32 = 3;
/// The same after relapses.
const MOST_WANTED: u32 = 12;
/// However many are wanted, [`WANTED`] are enough that took so long, or a pod with a call a second would not have it back in ten.
const TRIAL: Duration = Duration::from_secs(2);
const FIRST_GAP: Duration = Duration::from_millis(250);
const LONGEST_GAP: Duration = Duration::from_secs(5);
/// How long the share takes to grow back.
const RAMP: Duration = Duration::from_secs(2);
/// The share, in millionths, that it starts from.
const RAMP_START: u64 = 250_000;
/// All of what would come to a target, in millionths.
pub(super) const WHOLE: u64 = 1_000_000;
/// Trouble within it goes on with the gap that the last one had come to.
pub(super) const RELAPSE: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probation {
    /// Only attempts that started at or after it count.
    pub(super) since: Tick,
    /// The last time that anything was learnt.
    pub(super) heard: Tick,
    /// Successes since the last failure.
    pub(super) good: u32,
    /// When the first of them came.
    good_from: Tick,
    wanted: u32,
    gap: Duration,
    next: Tick,
    /// While a probe runs: when it will have been cancelled, so that a lost one does not block for ever.
    running: Option<Tick>,
    count: u64,
    salt: u64,
}

impl Probation {
    /// Begins. `last`: how the one before ended; `partly`: a share of its calls fails, not all.
    pub(super) fn new(last: Option<Returned>, partly: bool, salt: u64, now: Tick) -> Self {
        let relapse = last.filter(|last| last.is_recent(now));
        let gap = relapse.map_or(FIRST_GAP, |last| last.gap.saturating_mul(2)).min(LONGEST_GAP);
        let before = relapse.map_or(WANTED, |last| last.wanted);
        let wanted = if partly { before * 2 } else { before };
        let mut new = Self {
            since: now,
            heard: now,
            good: 0,
            good_from: now,
            wanted: wanted.min(MOST_WANTED),
            gap,
            next: now,
            running: None,
            count: 0,
            salt,
        };
        new.rest(now);
        new
    }

    /// Whether a probe may be sent.
    pub(super) fn due(&self, now: Tick) -> bool {
        now >= self.next && self.running.is_none_or(|until| now >= until.after(self.gap))
    }

    /// Whether it is being asked, or may be.
    pub(super) fn half_open(&self, now: Tick) -> bool {
        self.good > 0 || self.running.is_some() || self.due(now)
    }

    /// A probe is sent that will be cancelled at `until`.
    pub(super) fn take(&mut self, until: Tick) {
        self.running = Some(until);
        self.count = self.count.wrapping_add(1);
    }

    /// An attempt succeeded. True = that was the last one wanted.
    pub(super) fn succeeded(&mut self, probe: bool, now: Tick) -> bool {
        self.heard = now;
        if self.good == 0 {
            self.good_from = now;
        }
        self.good += 1;
        self.next = now;
        if probe {
            self.running = None;
        }
        self.good >= self.wanted || (self.good >= WANTED && now.since(self.good_from) >= TRIAL)
    }

    /// A probe has brought content, but that is not the end of it.
    pub(super) fn goes_on(&mut self, now: Tick) {
        self.running = Some(now.after(RELAPSE));
    }

    /// Something less than an attempt succeeded: it counts for all of the way but the last step, and for no time.
    pub(super) fn vouched(&mut self, now: Tick) {
        if !self.vouched_for() {
            self.good += 1;
            self.good_from = now;
        }
    }

    /// Whether that is as far as it gets.
    pub(super) fn vouched_for(&self) -> bool {
        self.good >= WANTED - 1
    }

    /// An attempt failed. Only a probe makes the gap grow: the others were not sent for the target's sake.
    pub(super) fn failed(&mut self, probe: bool, now: Tick) {
        self.heard = now;
        self.good = 0;
        if probe {
            self.gap = self.gap.saturating_mul(2).min(LONGEST_GAP);
            self.running = None;
        }
        self.rest(now);
    }

    /// A probe ended without telling anything.
    pub(super) fn inconclusive(&mut self) {
        self.running = None;
    }

    /// It is over.
    pub(super) fn returned(&self, now: Tick) -> Returned {
        Returned {
            at: now,
            gap: self.gap,
            wanted: self.wanted,
        }
    }

    fn rest(&mut self, now: Tick) {
        let micros = u64::try_from(self.gap.as_micros()).unwrap_or(u64::MAX);
        let shorter = seed::below(self.salt, self.count, micros / 4);
        self.next = now.after(self.gap.saturating_sub(Duration::from_micros(shorter)));
    }
}

/// The end of a probation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returned {
    at: Tick,
    gap: Duration,
    wanted: u32,
}

/// Whether what started then is of a time that is over.
pub(super) fn precedes(started: Tick, returned: Option<Returned>) -> bool {
    returned.is_some_and(|returned| started < returned.at)
}

impl Returned {
    /// Whether trouble now would be a relapse.
    pub(super) fn is_recent(&self, now: Tick) -> bool {
        now.since(self.at) <= RELAPSE
    }

    /// The share that it should get, in millionths of what would come to it.
    pub(super) fn share(&self, now: Tick) -> u64 {
        let passed = now.since(self.at).min(RAMP).as_micros();
        let grown = passed.saturating_mul(u128::from(WHOLE)) / RAMP.as_micros();
        u64::try_from(grown).unwrap_or(WHOLE).max(RAMP_START)
    }
}
