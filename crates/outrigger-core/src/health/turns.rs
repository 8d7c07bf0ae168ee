//! Whose turn it is where calls come again to a target that has failed them. Were each sent as soon as its pause is over, a provider that
//! is the only one would get several times its calls in the moment when it is well again, and as long as it is not. So they take turns, a
//! little fewer than calls come for the first time: together they are never more than about twice those.
//!
//! Where calls are seldom, turns are a second apart at most. A few turns that nobody has taken are there at once, so the one call that fails
//! among many good ones is repeated as soon as it likes.

use crate::Tick;
use core::time::Duration;

/// Most time between two turns, µs.
const APART: u64 = 1_000_000;
/// The longest gap between two calls that counts, µs: more says that there are few, not how few.
const SELDOM: u64 = 4_000_000;
/// The weight of a new gap is one of so many.
const INERTIA: u64 = 16;
/// Turns that may be taken before their time, where few were taken of late.
const AHEAD: u64 = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// When the last call came.
    last: Tick,
    /// How many have come, up to [`INERTIA`].
    count: u64,
    /// The usual time from one call to the next, µs.
    gap: u64,
    /// When the next turn would be, were they taken evenly.
    even: Tick,
}

impl Turns {
    /// A call comes for the first time.
    pub(super) fn came(&mut self, now: Tick) {
        let gap = now.0.saturating_sub(self.last.0).min(SELDOM);
        self.count = (self.count + 1).min(INERTIA);
        self.gap = (self.gap * (self.count - 1) + gap) / self.count;
        self.last = now;
    }

    /// When the next turn is.
    pub(super) fn next(&self, now: Tick) -> Tick {
        Tick(self.even.0.saturating_sub(AHEAD * self.apart())).max(now)
    }

    /// Takes the next turn; `None` where that is further off than `longest`.
    pub(super) fn take(&mut self, longest: Duration, now: Tick) -> Option<Tick> {
        let turn = self.next(now);
        if turn.since(now) > longest {
            return None;
        }
        self.even = self.even.max(now).after(Duration::from_micros(self.apart()));
        Some(turn)
    }

    /// From one turn to the next, µs.
    fn apart(&self) -> u64 {
        (self.gap + self.gap / 4).min(APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, ms};

    const LONGEST: Duration = Duration::from_secs(2);

    /// Calls that come so far apart, up to that time.
    fn coming(apart: u64, until: u64) -> Turns {
        let mut turns = Turns::default();
        (0..=until / apart).for_each(|call| turns.came(at(call * apart)));
        turns
    }

    #[test]
    fn a_few_are_there_at_once_and_the_others_come_more_slowly_than_calls() {
        let mut turns = coming(100, 60_000);
        let now = at(60_000);
        let mut take = || turns.take(LONGEST, now).unwrap().since(now);
        assert_eq!([take(), take(), take()], [ms(0); 3]);
        for turn in 1..=3 {
            let wait = take();
            assert!((ms(turn * 122)..=ms(turn * 125)).contains(&wait), "{turn}: {wait:?}");
        }
        // A turn that nobody took is not kept beyond those few.
        let later = at(70_000);
        let at_once = (0..10).filter(|_| turns.take(LONGEST, later) == Some(later)).count();
        assert_eq!(at_once, 3);
    }

    #[test]
    fn who_would_wait_too_long_takes_no_turn_from_others() {
        let mut turns = coming(100, 60_000);
        let now = at(60_000);
        assert_eq!(
            (0..100).filter_map(|_| turns.take(LONGEST, now)).count(),
            19,
            "three, and two seconds of them"
        );
        let next = turns.next(now);
        assert_eq!((turns.take(LONGEST, now), turns.next(now)), (None, next));
        assert_eq!(turns.take(LONGEST, next), Some(next));
    }

    #[test]
    fn where_calls_are_seldom_or_none_has_come_turns_are_not_far_apart() {
        for mut turns in [coming(60_000, 600_000), Turns::default()] {
            let now = at(600_000);
            let last = (0..4).filter_map(|_| turns.take(LONGEST, now)).last().unwrap();
            assert!(last.since(now) <= ms(1_000), "{last:?}");
        }
    }
}
