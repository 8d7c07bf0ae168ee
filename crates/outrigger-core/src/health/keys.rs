//! What is known of keys. A key is barred by what the provider *says* (a status, a time), never by statistics: a bad key is not a bad
//! provider.
//!
//! Two scopes. Refusal and spent money concern the account, so they follow the key's id to every target that it serves. A rate limit is
//! counted per model by the providers, so it bars the pair of target and key and leaves the key's other models alone. A provider without
//! keys has only the pair, which then plays the key; as no new configuration would ever bring it another key, a refusal bars it for a
//! growing time instead of for good.

use super::Headroom;
use crate::{Class, Tick};
use core::time::Duration;

/// How long a key whose money is spent rests at least.
const SPENT: Duration = Duration::from_mins(10);
/// The longest that a provider's word is believed, so that an absurd header does not bar a key for good.
const LONGEST: Duration = Duration::from_hours(24);
/// First rest after a rate limit that told no time; doubles with each further one until a call succeeds.
const REST: Duration = Duration::from_secs(1);
/// Longest such rest.
const REST_MAX: Duration = Duration::from_mins(1);
/// What is left of a rate, in millionths, below which it is nearly used up.
const NEAR: u32 = 100_000;
/// How long that is believed where no time was told, and at most where one was.
const NEAR_UNTOLD: Duration = Duration::from_secs(10);
const NEAR_MAX: Duration = Duration::from_mins(10);

/// When a pair may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bar {
    /// Now.
    Free,
    /// Now, though its rate is nearly used up.
    Near,
    /// From then on.
    Until(Tick),
    /// Not with this configuration.
    Never,
}

impl Bar {
    /// Whether that is now.
    pub(crate) fn open(self) -> bool {
        self <= Self::Near
    }
}

/// What follows the key's id.
#[derive(Debug, Default)]
pub(super) struct Key {
    pub(super) refused: bool,
    pub(super) spent_until: Tick,
}

/// What follows the pair of target and key.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) until: Tick,
    pub(super) in_flight: u32,
    rests: u32,
    /// What is left of its rate, and how long that holds.
    left: Option<(u32, Tick)>,
}

impl Pair {
    /// The provider says how much of the rate is left.
    pub(super) fn left(&mut self, headroom: Headroom, now: Tick) {
        let until = headroom.resets.unwrap_or(now.after(NEAR_UNTOLD)).min(now.after(NEAR_MAX));
        self.left = Some((headroom.remaining_ppm, until));
    }

    /// What is left of the rate, in millionths, as far as that still holds.
    pub(super) fn headroom(&self, now: Tick) -> Option<u32> {
        self.left.filter(|(_, until)| *until > now).map(|(left, _)| left)
    }

    /// Takes an outcome in. `key` is absent for a provider without keys.
    pub(super) fn learn(&mut self, key: Option<&mut Key>, class: Class, told: Option<Tick>, now: Tick) {
        let told = told.map(|until| until.min(now.after(LONGEST)));
        match (class, key) {
            (Class::Ok, _) => self.rests = 0,
            // Calls that were sent together are refused together: one rest for all of them.
            (Class::RateLimited, _) | (Class::Auth, None) if told.is_none() && self.until > now => {}
            (Class::RateLimited, _) | (Class::Auth, None) => {
                let rest = REST.saturating_mul(1 << self.rests.min(6)).min(REST_MAX);
                self.rests = self.rests.saturating_add(1);
                self.until = self.until.max(told.unwrap_or(now.after(rest)));
            }
            (Class::Auth, Some(key)) => key.refused = true,
            (Class::Quota, Some(key)) => key.spent_until = key.spent_until.max(spent(told, now)),
            (Class::Quota, None) => self.until = self.until.max(spent(told, now)),
            (
                Class::Connect
                | Class::Timeout
                | Class::Reset
                | Class::Overloaded
                | Class::ServerError
                | Class::ContextWindow
                | Class::ContentPolicy
                | Class::ClientError
                | Class::BadResponse
                | Class::Cancelled,
                _,
            ) => {}
        }
    }

    pub(super) fn bar(&self, key: Option<&Key>, now: Tick) -> Bar {
        if key.is_some_and(|key| key.refused) {
            return Bar::Never;
        }
        let until = self.until.max(key.map_or(Tick(0), |key| key.spent_until));
        if until > now {
            Bar::Until(until)
        } else if self.headroom(now).is_some_and(|left| left < NEAR) {
            Bar::Near
        } else {
            Bar::Free
        }
    }
}

fn spent(told: Option<Tick>, now: Tick) -> Tick {
    now.after(SPENT).max(told.unwrap_or(now))
}
