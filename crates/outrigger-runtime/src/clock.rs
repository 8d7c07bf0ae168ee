//! The process's clock: the one place that reads the time. It never hands out a point that the system's calendar could move: durations
//! come from the monotonic reading, and the calendar is for people and for providers' `Date` headers only.

use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A monotonic clock with its own zero, and the calendar beside it. Copies share the zero.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
}

impl Clock {
    /// A clock whose zero is now: make one when the process starts and hand out copies.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the time comes in; tokio's reading follows a paused runtime, so that tests own the time"
    )]
    pub fn start() -> Self {
        Self { zero: Instant::now() }
    }

    /// Microseconds since the zero; never goes backwards.
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes in")]
    pub fn now_us(&self) -> u64 {
        u64::try_from(Instant::now().saturating_duration_since(self.zero).as_micros()).unwrap_or(u64::MAX)
    }

    /// The runtime's own instant `us` microseconds after the zero, for timers.
    pub fn instant_at(&self, us: u64) -> Instant {
        // A century is for ever; the sum of anything larger may not exist.
        const CENTURY_US: u64 = 100 * 365 * 24 * 3600 * 1_000_000;
        self.zero + std::time::Duration::from_micros(us.min(CENTURY_US))
    }

    /// Milliseconds since 1970 by the system's calendar, 0 before it. May jump.
    pub fn unix_ms(&self) -> u64 {
        self.unix_us() / 1_000
    }

    /// As [`unix_ms`](Self::unix_ms), in microseconds.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the time comes in; asking the clock keeps the dependency visible in the caller"
    )]
    pub fn unix_us(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn copies_share_one_zero_and_count_microseconds() {
        let clock = Clock::start();
        let copy = clock;
        assert_eq!(clock.now_us(), 0);
        tokio::time::advance(Duration::from_millis(3)).await;
        assert_eq!(clock.now_us(), 3_000);
        assert_eq!(copy.now_us(), 3_000);
    }

    #[test]
    fn the_calendar_is_past_2020() {
        assert!(Clock::start().unix_ms() > 1_577_836_800_000);
    }
}
