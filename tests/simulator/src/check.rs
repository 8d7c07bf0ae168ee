//! Stands beside every loop and holds each step against the properties. What is known of keys and of failures in a row it works out for
//! itself; how a target stands it reads where people read it.

mod known;

use crate::{
    allowed::{allowed, facts},
    call::{Live, Sent},
    property::{Property, Violation},
};
use known::Known;
use outrigger_core::{Attempt, AttemptId, Class, Health, KeyState, Outcome, Slots, Table, TargetState, Tick, Verdict};

/// Violations that are kept of one world: one more says nothing new.
const KEPT: usize = 16;

/// What can be seen at a sidecar.
#[derive(Clone, Copy)]
pub(crate) struct Eyes<'a> {
    pub(crate) table: &'a Table,
    pub(crate) slots: &'a Slots,
    pub(crate) health: &'a Health,
    pub(crate) sidecar: usize,
    pub(crate) now: Tick,
}

/// How a target stands for a call.
struct Stand {
    state: TargetState,
    /// By key: whether it may be sent.
    ready: Vec<bool>,
}

/// See the module.
pub(crate) struct Check {
    known: Vec<Known>,
    pub(crate) violations: Vec<Violation>,
}

impl Check {
    pub(crate) fn new(sidecars: usize, targets: usize) -> Self {
        Self {
            known: (0..sidecars).map(|_| Known::new(targets)).collect(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn fail(&mut self, property: Property, at: Tick, call: Option<usize>, what: String) {
        // The first of each kind is never crowded out.
        if self.violations.len() < KEPT || self.violations.iter().all(|violation| violation.property != property) {
            self.violations.push(Violation { property, at, call, what });
        }
    }

    /// An attempt is being sent; `live` does not know of it yet.
    pub(crate) fn sent(&mut self, eyes: &Eyes<'_>, live: &Live, attempt: &Attempt) {
        let now = eyes.now;
        let (target, key) = (attempt.target, attempt.key.unwrap_or(0));
        let mut wrong = Vec::new();
        if now >= live.deadline {
            wrong.push((Property::Deadline, "sent at or after the deadline"));
        }
        let most = usize::try_from(eyes.table.routes[0].attempts.max).unwrap_or(usize::MAX);
        if live.counted() + usize::from(!attempt.fresh) > most {
            wrong.push((Property::Budget, "sent beyond the attempts that the route allows"));
        }
        if live.committed.is_some() || live.sent.iter().any(|sent| sent.class() == Some(Class::Ok)) {
            wrong.push((Property::Commit, "sent after the first content"));
        }
        if !allowed(eyes.table, &live.call, target) {
            wrong.push((Property::Residency, "sent where the rule or its residency does not allow"));
        } else if !live.suited[target] {
            wrong.push((Property::Residency, "sent to a target that is known not to take such a call"));
        }
        if !self.known[eyes.sidecar].ready(eyes.table, target, key, now) {
            wrong.push((Property::CoolDown, "sent with a key that rests, or that was refused"));
        }
        wrong.extend(self.pair(eyes, live, attempt));
        wrong.extend(self.open(eyes, live, attempt));
        for (property, what) in wrong {
            let key = attempt.key.map(|key| format!(" k{key}")).unwrap_or_default();
            self.fail(property, now, Some(live.number), format!("{what}: t{target}{key}"));
        }
    }

    /// An attempt has ended; `live` knows.
    pub(crate) fn ended(&mut self, eyes: &Eyes<'_>, live: &Live, id: AttemptId, outcome: &Outcome) {
        let Some(sent) = live.sent.get(id.0) else { return };
        let known = &mut self.known[eyes.sidecar];
        known.stop(live.number, id);
        known.key(eyes.table, sent.target, sent.key, outcome, eyes.now);
        // An attempt that ran into the call's own end is not the target's fault.
        if eyes.now < live.deadline {
            known.target(sent, outcome, eyes.now);
        }
        self.reopen(eyes, sent.target);
    }

    /// A stream has come to its end.
    pub(crate) fn streamed(&mut self, sidecar: usize, target: usize, now: Tick) {
        self.known[sidecar].streamed(target, now);
    }

    /// The loop has ended an attempt itself.
    pub(crate) fn cut(&mut self, sidecar: usize, call: usize, id: AttemptId) {
        self.known[sidecar].stop(call, id);
    }

    /// The loop has nothing more to send.
    pub(crate) fn finished(&mut self, eyes: &Eyes<'_>, live: &Live, verdict: &Verdict) {
        let most = usize::try_from(eyes.table.routes[0].attempts.max).unwrap_or(usize::MAX);
        match verdict {
            Verdict::Exhausted { .. } | Verdict::NoTarget { .. } if live.counted() < most && eyes.now < live.deadline => {}
            Verdict::DeadlinePassed if eyes.now < live.deadline => {
                let what = "its time is said to be over before it is".to_string();
                return self.fail(Property::Deadline, eyes.now, Some(live.number), what);
            }
            Verdict::Exhausted { .. }
            | Verdict::NoTarget { .. }
            | Verdict::DeadlinePassed
            | Verdict::Committed(_)
            | Verdict::Refused(_) => return,
        }
        let untried = self
            .untried(eyes, live, |target, state| serves(state) && !failed(live, target))
            .or_else(|| {
                // Where none can serve, one that is down is better than an instant error.
                let any = (0..live.suited.len()).any(|target| {
                    let stand = fits(eyes, live, target).then(|| self.stand(eyes, target));
                    stand.is_some_and(|stand| serves(stand.state) && stand.ready.contains(&true))
                });
                (!any)
                    .then(|| self.untried(eyes, live, |target, state| is_down(state) && !failed(live, target)))
                    .flatten()
            });
        if let Some((target, key)) = untried {
            let what = format!("given up although t{target} k{key} is untried");
            self.fail(Property::GivesUp, eyes.now, Some(live.number), what);
        }
    }

    /// Nobody is on the way any more.
    pub(crate) fn settled(&mut self, eyes: &Eyes<'_>) {
        for target in 0..eyes.table.targets.len() {
            let breaker = &eyes.table.routes[0].breaker;
            let view = eyes.health.view(eyes.table, eyes.slots, breaker, target, eyes.now);
            if view.in_flight > 0 {
                let what = format!("t{target} of sidecar {} has {} left in flight", eyes.sidecar, view.in_flight);
                self.fail(Property::Settled, eyes.now, None, what);
            }
        }
    }

    fn pair(&self, eyes: &Eyes<'_>, live: &Live, attempt: &Attempt) -> Option<(Property, &'static str)> {
        let (target, key) = (attempt.target, attempt.key.unwrap_or(0));
        let same = |sent: &&Sent| (sent.target, sent.key) == (target, key);
        if attempt.fresh {
            let stale = live.sent.last().filter(same).is_some_and(|sent| sent.was(|outcome| outcome.stale));
            let again = live.sent.iter().filter(same).any(|sent| sent.fresh);
            return (!stale || again).then_some((Property::Pair, "once more for free without a stale connection, or twice"));
        }
        if !live.tried(target, key) {
            return None;
        }
        let attempts = &eyes.table.routes[0].attempts;
        let pause = attempts.backoff_base.min(attempts.backoff_max) / 2;
        let last = live.sent.iter().filter_map(|sent| sent.ended).map(|(at, _)| at).max();
        if last.is_none_or(|last| eyes.now < last.after(pause)) {
            return Some((Property::Pair, "the same target and key again without a pause"));
        }
        let untried = self
            .untried(eyes, live, |other, state| {
                serves(state) && (other == target || !failed(live, other))
            })
            .is_some();
        untried.then_some((Property::Pair, "the same target and key again while another is untried"))
    }

    fn open(&mut self, eyes: &Eyes<'_>, live: &Live, attempt: &Attempt) -> Option<(Property, &'static str)> {
        let state = self.reopen(eyes, attempt.target);
        if attempt.probe {
            // One that is only slow is asked by calls of each kind, which have a way back each.
            let alone = !is_down(state) || self.known[eyes.sidecar].probe(attempt.target, live.number, attempt.id);
            return (!alone).then_some((Property::OneProbe, "a second probe beside a first"));
        }
        let failing = self.known[eyes.sidecar].failing(attempt.target, eyes.now);
        if attempt.fresh || (serves(state) && !failing) {
            return None;
        }
        let elsewhere = (0..live.suited.len()).any(|target| {
            let other = target != attempt.target && fits(eyes, live, target) && !self.known[eyes.sidecar].failing(target, eyes.now);
            let stand = other.then(|| self.stand(eyes, target));
            stand.is_some_and(|stand| serves(stand.state) && stand.ready.contains(&true))
        });
        elsewhere.then_some((Property::Open, "an ordinary call to a target that fails while another can serve"))
    }

    /// A pair that was not tried and can be sent, at a target in such a state.
    fn untried(&self, eyes: &Eyes<'_>, live: &Live, wanted: impl Fn(usize, TargetState) -> bool) -> Option<(usize, usize)> {
        (0..live.suited.len())
            .filter(|target| fits(eyes, live, *target))
            .find_map(|target| {
                let stand = self.stand(eyes, target);
                let ring = &eyes.table.providers[eyes.table.targets[target].provider].ring;
                let weighs = |key: usize| ring.get(key).is_none_or(|key| key.weight > 0);
                let ready = |key: usize| stand.ready[key];
                let keys = 0..stand.ready.len();
                let standing_by = keys.clone().any(|key| ready(key) && weighs(key));
                let mut free = keys.filter(|key| ready(*key) && !live.tried(target, *key) && (weighs(*key) || !standing_by));
                free.next().filter(|_| wanted(target, stand.state)).map(|key| (target, key))
            })
    }

    /// How a target stands. While it serves, nobody who asks about its trouble stands in another's way.
    fn reopen(&mut self, eyes: &Eyes<'_>, target: usize) -> TargetState {
        let state = self.stand(eyes, target).state;
        if serves(state) {
            self.known[eyes.sidecar].serves(target);
        }
        state
    }

    fn stand(&self, eyes: &Eyes<'_>, target: usize) -> Stand {
        let breaker = &eyes.table.routes[0].breaker;
        let view = eyes.health.view(eyes.table, eyes.slots, breaker, target, eyes.now);
        let known = &self.known[eyes.sidecar];
        let ready = |key: usize| {
            let said = view.keys.get(key).is_none_or(|(_, state)| *state == KeyState::Ready);
            said && known.ready(eyes.table, target, key, eyes.now)
        };
        Stand {
            state: view.state,
            ready: (0..view.keys.len().max(1)).map(ready).collect(),
        }
    }
}

/// Whether the target suits the call, also after what others have said of the prompt.
fn fits(eyes: &Eyes<'_>, live: &Live, target: usize) -> bool {
    let too_long = |sent: &&Sent| sent.class() == Some(Class::ContextWindow);
    let window = |target: usize| facts(eyes.table, target).context_window;
    let largest = live.sent.iter().filter(too_long).filter_map(|sent| window(sent.target)).max();
    let here = live.sent.iter().filter(|sent| sent.target == target);
    live.suited[target]
        && window(target).is_none_or(|window| largest.is_none_or(|largest| window > largest))
        && !here.clone().any(|sent| sent.was(|outcome| outcome.unsuited) || too_long(&sent))
}

fn serves(state: TargetState) -> bool {
    matches!(state, TargetState::Closed | TargetState::Slow)
}

fn is_down(state: TargetState) -> bool {
    matches!(state, TargetState::Open | TargetState::HalfOpen)
}

/// Whether the target, and not only a key of it, has failed the call: its other keys may be left to others, if too many wait there.
fn failed(live: &Live, target: usize) -> bool {
    let of_key = |outcome: &Outcome| outcome.stale || matches!(outcome.class, Class::Auth | Class::Quota | Class::RateLimited);
    live.sent
        .iter()
        .any(|sent| sent.target == target && sent.was(|outcome| !of_key(outcome)))
}
