//! The way back. Decides when a target that was left may be asked again, never whether it was right to leave it.
//!
//! One probe at a time, counted when it is sent. The first comes 250 ms after the target was left; each that fails doubles the gap, up
//! to 5 s; each that succeeds lets the next one go at once. [`WANTED`] in a row end it. Gaps are shortened by up to a quarter, by an
//! amount that depends on the target and the count, so that many clients of one provider do not knock in step.

use crate::{Tick, seed};
use core::time::Duration;

/// Successes in a row that bring a target back.
pub(super) const WANTED: u32 = 3;
const FIRST_GAP: Duration = Duration::from_millis(250);
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probation {
    /// Only attempts that started at or after it count.
    pub(super) since: Tick,
    /// The last time that anything was learnt.
    pub(super) heard: Tick,
    /// Successes since the last failure.
    pub(super) good: u32,
    gap: Duration,
    next: Tick,
    /// While a probe runs: when it will have been cancelled, so that a lost one does not block for ever.
    running: Option<Tick>,
    count: u64,
    salt: u64,
}

impl Probation {
    /// Begins. `relapse`: the gap at the end of the last one, where that was a moment ago.
    pub(super) fn new(relapse: Option<Duration>, salt: u64, now: Tick) -> Self {
        let gap = relapse.map_or(FIRST_GAP, |gap| gap.saturating_mul(2)).min(LONGEST_GAP);
        let mut new = Self {
            since: now,
            heard: now,
            good: 0,
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
        self.good += 1;
        self.next = now;
        if probe {
            self.running = None;
        }
        self.good >= WANTED
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

    /// How long the gap has become.
    pub(super) fn gap(&self) -> Duration {
        self.gap
    }

    fn rest(&mut self, now: Tick) {
        let micros = u64::try_from(self.gap.as_micros()).unwrap_or(u64::MAX);
        let shorter = seed::below(self.salt, self.count, micros / 4);
        self.next = now.after(self.gap.saturating_sub(Duration::from_micros(shorter)));
    }
}
