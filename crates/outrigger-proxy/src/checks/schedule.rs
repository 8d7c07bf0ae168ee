//! Who is asked when. A provider that stays keeps its rhythm, whatever else a new table changes.

use outrigger_core::{HealthCheck, Tick};
use std::{collections::BTreeMap, time::Duration};

/// The next check of every provider that wants any.
#[derive(Debug, Default)]
pub(super) struct Schedule(BTreeMap<String, Due>);

#[derive(Debug)]
struct Due {
    check: HealthCheck,
    at: Tick,
}

impl Schedule {
    /// Takes in a table: who is new or asks for something else begins at `first`, who asks for nothing any more is let go.
    pub(super) fn follow(&mut self, wanted: &BTreeMap<&str, &HealthCheck>, first: impl Fn(&HealthCheck) -> Tick) {
        self.0.retain(|provider, due| wanted.get(provider.as_str()) == Some(&&due.check));
        for (provider, check) in wanted {
            if !self.has(provider) {
                let due = Due {
                    check: (*check).clone(),
                    at: first(check),
                };
                self.0.insert((*provider).to_owned(), due);
            }
        }
    }

    /// Whether `provider` is in it.
    pub(super) fn has(&self, provider: &str) -> bool {
        self.0.contains_key(provider)
    }

    /// Up to `places` providers whose time has come, those first that have waited longest. Each comes again after its interval and `more`.
    pub(super) fn take(&mut self, now: Tick, places: usize, more: impl Fn(&HealthCheck) -> Duration) -> Vec<String> {
        let mut due: Vec<_> = self.0.iter_mut().filter(|(_, due)| due.at <= now).collect();
        due.sort_by_key(|(_, due)| due.at);
        let taken = due.into_iter().take(places).map(|(provider, due)| {
            due.at = now.after(due.check.interval.saturating_add(more(&due.check)));
            provider.clone()
        });
        taken.collect()
    }

    /// When the next time comes.
    pub(super) fn next(&self) -> Option<Tick> {
        self.0.values().map(|due| due.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn every(seconds: u64) -> HealthCheck {
        HealthCheck {
            interval: Duration::from_secs(seconds),
            timeout: Duration::from_secs(1),
            path: "/models".to_owned(),
        }
    }

    fn at(seconds: u64) -> Tick {
        Tick(seconds * SECOND)
    }

    fn take(schedule: &mut Schedule, now: Tick) -> Vec<String> {
        schedule.take(now, usize::MAX, |_| Duration::from_secs(1))
    }

    #[test]
    fn each_comes_at_its_first_time_and_then_after_its_interval_and_some_more() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.next(), None);
        schedule.follow(&[("a", &every(10)), ("b", &every(3))].into(), |check| Tick(0).after(check.interval));
        assert_eq!(schedule.next(), Some(at(3)));
        assert!(take(&mut schedule, Tick(3 * SECOND - 1)).is_empty());
        assert_eq!(take(&mut schedule, at(3)), ["b"]);
        assert!(take(&mut schedule, at(3)).is_empty());
        assert_eq!(schedule.next(), Some(at(7)));
        // Late by much: once, not once for every time that was missed.
        assert_eq!(take(&mut schedule, at(100)), ["b", "a"]);
        assert_eq!(schedule.next(), Some(at(104)));
    }

    #[test]
    fn who_stays_keeps_its_rhythm_and_who_changed_begins_anew() {
        let mut schedule = Schedule::default();
        let (ten, twenty) = (every(10), every(20));
        schedule.follow(&[("a", &ten), ("b", &ten), ("c", &ten)].into(), |_| at(0));
        assert_eq!(take(&mut schedule, at(0)).len(), 3);
        schedule.follow(&[("a", &ten), ("b", &twenty)].into(), |_| at(5));
        assert!(!schedule.has("c"));
        assert_eq!(take(&mut schedule, at(5)), ["b"]);
        assert_eq!(take(&mut schedule, at(11)), ["a"]);
        schedule.follow(&BTreeMap::new(), |_| at(5));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn where_places_are_short_nobody_waits_for_ever() {
        let mut schedule = Schedule::default();
        let check = every(1);
        schedule.follow(&[("a", &check), ("b", &check), ("c", &check)].into(), |_| at(0));
        let mut asked = Vec::new();
        for second in 0..6 {
            asked.extend(schedule.take(at(10 * second), 1, |_| Duration::ZERO));
        }
        assert_eq!(asked, ["a", "b", "c", "a", "b", "c"]);
        assert!(schedule.take(at(100), 0, |_| Duration::ZERO).is_empty());
    }
}
