//! Which namespace is looked at next, and when. The first event leads; those that follow within the gap become one more turn at its end; a
//! failure comes back later and later. It must never run one namespace twice at a time, nor forget one that was asked for while it ran.

use std::collections::BTreeMap;

/// The least time between the starts of two turns of one namespace, microseconds.
pub const GAP_US: u64 = 250_000;
/// The longest wait after failures.
const LONGEST_US: u64 = 30_000_000;

/// The namespaces that wait or run.
#[derive(Debug, Default)]
pub struct Queue {
    places: BTreeMap<String, Place>,
}

#[derive(Debug, Default)]
struct Place {
    due: Option<u64>,
    not_before: u64,
    running: bool,
    failures: u32,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left until something happens.
    Settled,
    /// Look again then, whatever happens; a time that has passed means as soon as the gap allows.
    Again(u64),
    /// It did not work; try again, later each time.
    Failed,
}

impl Queue {
    /// Something happened to `namespace`.
    pub fn push(&mut self, namespace: &str, now: u64) {
        self.push_at(namespace, now);
    }

    /// Something will happen to `namespace` at `at`.
    pub fn push_at(&mut self, namespace: &str, at: u64) {
        let place = self.places.entry(namespace.to_owned()).or_default();
        let at = at.max(place.not_before);
        place.due = Some(place.due.map_or(at, |due| due.min(at)));
    }

    /// The namespace whose turn it is: the one that has been due longest.
    pub fn take(&mut self, now: u64) -> Option<String> {
        let ready = self.places.iter().filter(|(_, place)| !place.running);
        let (_, namespace) = ready
            .filter_map(|(namespace, place)| Some((place.due.filter(|due| *due <= now)?, namespace)))
            .min()?;
        let namespace = namespace.clone();
        let place = self.places.get_mut(&namespace)?;
        place.due = None;
        place.running = true;
        place.not_before = now.saturating_add(GAP_US);
        Some(namespace)
    }

    /// The turn of `namespace` has ended.
    pub fn done(&mut self, namespace: &str, outcome: Outcome, now: u64) {
        let Some(place) = self.places.get_mut(namespace) else { return };
        place.running = false;
        match outcome {
            Outcome::Settled => place.failures = 0,
            Outcome::Again(at) => {
                place.failures = 0;
                self.push_at(namespace, at);
            }
            Outcome::Failed => {
                let wait = (GAP_US << place.failures.min(10)).min(LONGEST_US);
                place.failures = place.failures.saturating_add(1);
                // Only the repetition waits: an event may be what mends it, or a revocation.
                self.push_at(namespace, now.saturating_add(wait));
            }
        }
        self.places
            .retain(|_, place| place.running || place.due.is_some() || place.not_before > now);
    }

    /// When [`take`](Self::take) will have something, if nothing is pushed before.
    pub fn next_due(&self) -> Option<u64> {
        self.places
            .values()
            .filter(|place| !place.running)
            .filter_map(|place| place.due)
            .min()
    }

    /// Namespaces that are due by now, and those that run.
    pub fn depth(&self, now: u64) -> usize {
        let counts = |place: &&Place| place.running || place.due.is_some_and(|due| due <= now);
        self.places.values().filter(counts).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_leads_and_followers_become_one_turn() {
        let mut queue = Queue::default();
        queue.push("a", 1_000);
        assert_eq!(queue.take(1_000).as_deref(), Some("a"));
        queue.done("a", Outcome::Settled, 2_000);
        for follower in [3_000, 50_000, 200_000] {
            queue.push("a", follower);
            assert_eq!(queue.take(follower), None);
        }
        assert_eq!(queue.next_due(), Some(1_000 + GAP_US));
        assert_eq!(queue.take(1_000 + GAP_US).as_deref(), Some("a"));
        queue.done("a", Outcome::Settled, 1_000 + GAP_US);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn an_event_during_a_turn_is_neither_lost_nor_run_beside_it() {
        let mut queue = Queue::default();
        queue.push("a", 0);
        queue.take(0).unwrap();
        queue.push("a", 10);
        assert_eq!(queue.take(GAP_US * 2), None, "it still runs");
        queue.done("a", Outcome::Settled, GAP_US * 3);
        assert_eq!(queue.take(GAP_US * 3).as_deref(), Some("a"));
    }

    #[test]
    fn namespaces_do_not_wait_for_each_other_and_the_longest_due_goes_first() {
        let mut queue = Queue::default();
        queue.push("b", 5);
        queue.push("a", 6);
        assert_eq!(queue.depth(6), 2);
        assert_eq!(queue.take(6).as_deref(), Some("b"));
        assert_eq!(queue.take(6).as_deref(), Some("a"));
    }

    #[test]
    fn failures_come_back_later_and_later_and_a_success_starts_over() {
        let mut queue = Queue::default();
        let mut now = 0;
        queue.push("a", now);
        let mut waits = Vec::new();
        for _ in 0..9 {
            queue.take(now).unwrap();
            queue.done("a", Outcome::Failed, now);
            let due = queue.next_due().unwrap();
            waits.push((due - now) / 1_000);
            now = due;
        }
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        queue.take(now).unwrap();
        queue.done("a", Outcome::Settled, now);
        queue.push("a", now + GAP_US);
        queue.take(now + GAP_US).unwrap();
        queue.done("a", Outcome::Failed, now + GAP_US);
        assert_eq!(queue.next_due(), Some(now + 2 * GAP_US));
    }

    #[test]
    fn an_event_does_not_wait_for_the_repetition_of_a_failure() {
        let mut queue = Queue::default();
        let mut now = 0;
        queue.push("a", now);
        for _ in 0..6 {
            queue.take(now).unwrap();
            queue.done("a", Outcome::Failed, now);
            now = queue.next_due().unwrap();
        }
        queue.take(now).unwrap();
        queue.done("a", Outcome::Failed, now);
        queue.push("a", now + 1);
        assert_eq!(queue.next_due(), Some(now + GAP_US));
    }

    #[test]
    fn a_timer_fires_and_an_earlier_event_does_not_lose_it() {
        let mut queue = Queue::default();
        queue.push("a", 0);
        queue.take(0).unwrap();
        queue.done("a", Outcome::Again(60_000_000), 1);
        assert_eq!(queue.next_due(), Some(60_000_000));
        queue.push("a", 1_000_000);
        assert_eq!(queue.take(1_000_000).as_deref(), Some("a"));
        queue.done("a", Outcome::Again(60_000_000), 1_000_001);
        assert_eq!(queue.next_due(), Some(60_000_000));
    }
}
