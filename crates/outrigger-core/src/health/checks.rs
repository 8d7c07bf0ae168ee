//! Evidence that is fetched, not met: what a health check tells. What it weighs beside calls is decided in `site`.

use super::{Bar, Health, Slots};
use crate::Tick;
use core::time::Duration;

impl Health {
    /// Whether `target` is down while no call is there and none has told anything for `quiet`, so that nobody but a check finds out how it is.
    /// Once checks have told all that they can, it is a call's turn again.
    pub fn deserted(&self, slots: &Slots, target: usize, quiet: Duration, now: Tick) -> bool {
        self.site(slots, target).is_some_and(|site| site.deserted(quiet, now))
    }

    /// The first key of the ring that may be sent to `target` now; 0 for a provider without keys.
    pub fn first_key(&self, slots: &Slots, target: usize, now: Tick) -> Option<usize> {
        self.bars(slots, target, now).position(Bar::open)
    }

    /// A check of `target`'s provider that was sent at `started` was answered, or was not. Where it told neither, there is nothing to say.
    pub fn checked(&mut self, slots: &Slots, target: usize, answered: bool, started: Tick, now: Tick) {
        if let Some(site) = self.site_mut(slots, target, now) {
            site.checked(answered, started, now);
        }
    }
}
