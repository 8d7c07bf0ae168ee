//! Many requests at once against providers that fail most of the time, under a clock that crosses deadlines. Every step is held against
//! what must always be true.

use super::{SHAPE, at, table};
use crate::{
    Affinity, Attempt, AttemptId, Attempts, Balance, Breaker, Class, Dispatch, Ending, Headroom, Health, Learnt, Matched, Outcome, Reason,
    Residency, Shape, Slots, Step, Table, Tick, Usage, Verdict,
    health::{Bar, Grade, View, lane_of},
    plan::{Plan, plan},
    testing::{Spec, ending, ms, price},
};
use alloc::{string::ToString, vec, vec::Vec};
use proptest::prelude::*;

/// How long the next attempt takes and how it ends.
#[derive(Clone, Copy, Debug)]
struct End {
    millis: u64,
    class: Class,
    told: Option<u64>,
    stale: bool,
    /// What it says is left of the key's rate, in millionths.
    left: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    start: u64,
    patience: u64,
    attempts: Attempts,
    hang_up: Option<u64>,
    affinity: Option<Affinity>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Case {
    specs: Vec<Spec>,
    /// The route's calls may go to the providers of this region alone.
    resident: bool,
    balance: Balance,
    asks: Vec<Ask>,
    ends: Vec<End>,
}

fn spec() -> impl Strategy<Value = Spec> {
    let window = prop_oneof![Just(None), Just(Some(1_000)), Just(Some(2_000))];
    let keys = (0..=3usize, 0..=2usize);
    let regions = prop_oneof![4 => Just(&["eu"][..]), 1 => Just(&["us", "eu"][..]), 1 => Just(&["us"][..]), 1 => Just(&[][..])];
    let shares = (0..3u32, prop_oneof![Just(0), Just(1), Just(5)]);
    (shares, keys, window, regions).prop_map(|((priority, weight), (keys, standby), window, regions)| Spec {
        priority,
        weight,
        keys,
        standby,
        window,
        regions,
        ..Spec::default()
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let hang_up = prop_oneof![6 => Just(None), 1 => (0..2_000u64).prop_map(Some)];
    let attempts = (1..=6u32, 10..300u64, any::<bool>()).prop_map(|(max, base, content_policy_moves_on)| Attempts {
        max,
        backoff_base: ms(base),
        backoff_max: ms(base * 4),
        content_policy_moves_on,
    });
    let affinity = prop::option::of((0..3u64, any::<bool>()).prop_map(|(key, bound)| Affinity { key, bound }));
    let ask = (0..4_000u64, 20..12_000u64, attempts, hang_up, affinity, any::<u64>());
    ask.prop_map(|(start, patience, attempts, hang_up, affinity, seed)| Ask {
        start,
        patience,
        attempts,
        hang_up,
        affinity,
        seed,
    })
}

fn end() -> impl Strategy<Value = End> {
    let class = prop_oneof![
        12 => prop_oneof![Just(Class::Connect), Just(Class::Timeout), Just(Class::Reset), Just(Class::ServerError), Just(Class::BadResponse)],
        3 => Just(Class::Overloaded),
        4 => Just(Class::RateLimited),
        3 => Just(Class::Auth),
        1 => Just(Class::Quota),
        2 => Just(Class::ContextWindow),
        4 => Just(Class::Ok),
        1 => prop_oneof![Just(Class::ClientError), Just(Class::ContentPolicy)],
    ];
    let millis = prop_oneof![6 => 0..50u64, 3 => 50..1_000u64, 2 => 1_000..15_000u64];
    let told = prop_oneof![Just(None), (0..3_000u64).prop_map(Some)];
    let left = prop_oneof![Just(None), prop_oneof![0..100_000u32, 100_000..=1_000_000u32].prop_map(Some)];
    (millis, class, told, prop::bool::weighted(0.3), left).prop_map(|(millis, class, told, stale, left)| End {
        millis,
        class,
        told,
        stale: stale && class == Class::Reset,
        left,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let specs = prop::collection::vec(spec(), 1..5);
    let asks = prop::collection::vec(ask(), 1..12);
    let ends = prop::collection::vec(end(), 1..60);
    let balance = prop_oneof![
        Just(Balance::Weighted),
        Just(Balance::Cheapest),
        Just(Balance::Fastest),
        Just(Balance::LeastBusy)
    ];
    (specs, any::<bool>(), balance, asks, ends).prop_map(|(specs, resident, balance, asks, ends)| Case {
        specs,
        resident,
        balance,
        asks,
        ends,
    })
}

struct Running {
    id: AttemptId,
    until: Tick,
    end: End,
}

struct Request {
    ask: Ask,
    deadline: Tick,
    dispatch: Dispatch,
    running: Vec<Running>,
    wake: Tick,
    verdict: Option<Verdict>,
}

/// What is known of an attempt without asking the code under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    request: usize,
    now: Tick,
    target: usize,
    key: Option<usize>,
    probe: bool,
    fresh: bool,
}

struct World {
    table: Table,
    health: Health,
    slots: Slots,
    breaker: Breaker,
    requests: Vec<Request>,
    ends: Vec<End>,
    trace: Vec<Sent>,
    refused: Vec<(usize, usize)>,
    /// Told rests: target, key, until when.
    told: Vec<(usize, Option<usize>, Tick)>,
}

impl World {
    fn new(case: &Case) -> Self {
        let mut table = table(&case.specs);
        table.routes[0].residency = case.resident.then(|| Residency {
            regions: vec!["eu".to_string()],
            ..Residency::default()
        });
        table.routes[0].rules[0].balance = case.balance;
        for (cents, target) in table.targets.iter_mut().enumerate() {
            if let crate::TargetModel::Fixed { facts, .. } = &mut target.model {
                facts.price = (cents > 0).then(|| price(10 - cents as u64));
            }
        }
        let mut health = Health::new();
        let slots = health.attach(&table, &|_| false, at(0));
        Self {
            table,
            health,
            slots,
            breaker: Breaker::default(),
            requests: vec![],
            ends: case.ends.clone(),
            trace: vec![],
            refused: vec![],
            told: vec![],
        }
    }

    fn run(mut self, case: &Case) -> Vec<Sent> {
        let mut asks = case.asks.clone();
        asks.sort_by_key(|ask| core::cmp::Reverse(ask.start));
        for _ in 0..10_000 {
            let event = |request: &Request| {
                let ended = request.running.iter().map(|running| running.until).min();
                let hang_up = request.ask.hang_up.map(|after| at(request.ask.start + after));
                [Some(request.wake), ended, hang_up].into_iter().flatten().min()
            };
            let live = self.requests.iter().enumerate().filter(|(_, request)| request.verdict.is_none());
            let next = live.filter_map(|(index, request)| Some((event(request)?, index))).min();
            match (next, asks.last()) {
                (Some((now, index)), Some(ask)) if now <= at(ask.start) => self.step(index, now),
                (_, Some(&ask)) => {
                    asks.pop();
                    self.admit(ask);
                }
                (Some((now, index)), None) => self.step(index, now),
                (None, None) => {
                    self.nothing_is_left_in_flight();
                    return self.trace;
                }
            }
        }
        panic!("it does not end");
    }

    fn admit(&mut self, ask: Ask) {
        let (now, deadline) = (at(ask.start), at(ask.start + ask.patience));
        let matched = Matched { route: 0, rule: 0 };
        let shape = Shape {
            affinity: ask.affinity,
            ..SHAPE
        };
        let plan = plan(&self.table, &self.slots, matched, shape, &self.health, now, ask.seed);
        let outside = (0..self.table.targets.len()).filter(|target| !self.inside(*target)).count();
        let whole = self.complete(&plan, now);
        assert_eq!(
            whole.len() + outside,
            self.table.targets.len(),
            "nobody is left out who may be asked"
        );
        self.requests.push(Request {
            ask,
            deadline,
            dispatch: Dispatch::new(plan, ask.attempts, self.breaker, deadline, ask.seed),
            running: vec![],
            wake: now,
            verdict: None,
        });
        self.step(self.requests.len() - 1, now);
    }

    /// The whole plan, after it is made sure that the first is the first of it however many are ranked, and that it may stay there while
    /// the rest is ranked behind it.
    fn complete(&self, plan: &Plan, now: Tick) -> Vec<(usize, Reason)> {
        let order = |plan: &Plan| plan.ranked.iter().map(|one| (one.candidate, one.reason)).collect::<Vec<_>>();
        let (mut whole, mut behind) = (plan.clone(), plan.clone());
        whole.complete(&self.table, &self.health, now);
        behind.go_on(&self.table, &self.health, true, now);
        assert_eq!(order(plan).first(), order(&whole).first(), "the first is not the first of all");
        assert_eq!(order(&whole), order(&behind));
        order(&whole)
    }

    /// Delivers what has ended and obeys until there is something to wait for.
    fn step(&mut self, index: usize, now: Tick) {
        let request = &mut self.requests[index];
        if request.ask.hang_up.is_some_and(|after| now >= at(request.ask.start + after)) {
            request.dispatch.abandon(&mut self.health, now);
            request.verdict = Some(Verdict::Exhausted { wait: None });
            request.running.clear();
            return;
        }
        while let Some(place) = request.running.iter().position(|running| running.until <= now) {
            let ended = request.running.remove(place);
            let outcome = Outcome {
                unsuited: false,
                class: ended.end.class,
                until: ended.end.told.map(|after| now.after(ms(after))),
                stale: ended.end.stale,
            };
            let attempt = request.dispatch.tried()[ended.id.0].attempt;
            if let (Class::Auth, Some(key)) = (outcome.class, attempt.key) {
                self.refused.push((attempt.target, key));
            }
            if let (Class::RateLimited, Some(until)) = (outcome.class, outcome.until) {
                self.told.push((attempt.target, attempt.key, until));
            }
            request.dispatch.observe(&mut self.health, ended.id, outcome, now);
            let usage = Usage {
                input: 100,
                output: ended.end.millis,
                cached_read: ended.end.told.unwrap_or_default(),
                ..Usage::default()
            };
            let learnt = Learnt {
                usage: (outcome.class == Class::Ok).then_some(usage),
                headroom: ended.end.left.map(|remaining_ppm| Headroom {
                    remaining_ppm,
                    resets: outcome.until,
                }),
            };
            self.health.learn(attempt.slot, learnt, now);
            if outcome.class == Class::Ok {
                self.health.settle(attempt.slot, ending(Ending::Whole), now);
            }
        }
        loop {
            // Kept from before the step: what the loop knew when it chose.
            let open = self.open(index, now);
            let request = &mut self.requests[index];
            match request.dispatch.next(&self.table, &mut self.health, now) {
                Step::Send(attempt) => self.sent(index, &attempt, &open, now),
                Step::Cancel(id) => request.running.retain(|running| running.id != id),
                Step::WaitUntil(wake) => {
                    assert!(wake > now && wake <= request.deadline, "a wait lies ahead and inside the deadline");
                    request.wake = wake;
                    return;
                }
                Step::Finish(verdict) => {
                    assert!(request.running.is_empty(), "finished with something running");
                    assert_eq!(request.dispatch.next(&self.table, &mut self.health, now), Step::Finish(verdict));
                    request.verdict = Some(verdict);
                    return;
                }
            }
        }
    }

    /// Whether the route's residency allows the target.
    fn inside(&self, target: usize) -> bool {
        let asked = self.table.routes[0].residency.is_some();
        !asked || self.table.providers[target].regions.iter().any(|region| region == "eu")
    }

    /// For each target: its grade, whether the prompt may fit, and each key's bar; asked of the evidence, not of the loop.
    fn open(&self, index: usize, now: Tick) -> Vec<(Grade, bool, Vec<Bar>)> {
        let breaker = &self.breaker;
        let view = View {
            breaker,
            lane: lane_of(SHAPE),
            reasoning: false,
        };
        let window = |target: usize| match &self.table.targets[target].model {
            crate::TargetModel::Fixed { facts, .. } => facts.context_window,
            crate::TargetModel::AsAsked { .. } => None,
        };
        let tried = self.requests[index].dispatch.tried();
        let small = |tried: &&crate::Tried| tried.outcome.is_some_and(|outcome| outcome.class == Class::ContextWindow);
        let targets = 0..self.table.targets.len();
        let look = |target: usize| {
            let grade = self.health.standing(&self.slots, target, view, now).grade;
            let too_small = tried.iter().filter(small).any(|tried| {
                let known = (window(target), window(tried.attempt.target));
                tried.attempt.target == target || matches!(known, (Some(here), Some(there)) if here <= there)
            });
            (
                grade,
                !too_small && self.inside(target),
                self.health.bars(&self.slots, target, now).collect(),
            )
        };
        targets.map(look).collect()
    }

    /// Whether a key of the target is out because it stands by for one that can be sent.
    fn stands_by(&self, target: usize, key: usize, bars: &[Bar]) -> bool {
        let ring = &self.table.providers[target].ring;
        let weighs = |key: usize| ring.get(key).is_none_or(|key| key.weight > 0);
        !weighs(key) && bars.iter().enumerate().any(|(at, bar)| bar.open() && weighs(at))
    }

    fn sent(&mut self, index: usize, attempt: &Attempt, open: &[(Grade, bool, Vec<Bar>)], now: Tick) {
        let request = &self.requests[index];
        let before: Vec<Sent> = self.trace.iter().filter(|sent| sent.request == index).copied().collect();
        let same = |sent: &&Sent| (sent.target, sent.key) == (attempt.target, attempt.key);
        assert!(now < request.deadline, "sent past the deadline");
        let counted = before.iter().filter(|sent| !sent.fresh).count() + usize::from(!attempt.fresh);
        assert!(counted <= request.ask.attempts.max as usize, "sent beyond the budget");
        let ended = request.dispatch.tried().iter().filter_map(|tried| tried.outcome);
        let last = ended.clone().next_back();
        assert!(!ended.clone().any(|outcome| outcome.class == Class::Ok), "sent after commit");

        assert!(self.inside(attempt.target), "sent outside the residency");
        let (grade, fits, bars) = &open[attempt.target];
        assert!(fits, "sent to a window that is known to be too small");
        assert!(
            !attempt.key.is_some_and(|key| self.refused.contains(&(attempt.target, key))),
            "sent with a refused key"
        );
        assert!(bars[attempt.key.unwrap_or(0)].open(), "sent although barred");
        let early = |&(target, key, until): &(usize, Option<usize>, Tick)| (target, key) == (attempt.target, attempt.key) && now < until;
        assert!(!self.told.iter().any(early), "sent before its time");
        let serves = |grade: &Grade| matches!(grade, Grade::Up | Grade::Slow);
        if attempt.fresh {
            assert!(
                last.is_some_and(|outcome| outcome.stale) && before.last().as_ref().is_some_and(same),
                "fresh without a stale one before"
            );
            assert!(!before.iter().filter(same).any(|sent| sent.fresh), "stale retried twice");
        } else {
            assert!(
                !self.stands_by(attempt.target, attempt.key.unwrap_or(0), bars),
                "sent with a key that stands by"
            );
            let usable = |(grade, fits, bars): &(Grade, bool, Vec<Bar>)| *fits && serves(grade) && bars.iter().any(|bar| bar.open());
            if !attempt.probe && !serves(grade) {
                assert!(!open.iter().any(usable), "no probe, although another target can serve");
            }
            if before.iter().any(|sent| same(&sent)) {
                let untried =
                    open.iter()
                        .enumerate()
                        .filter(|(_, (grade, fits, _))| *fits && serves(grade))
                        .any(|(target, (_, _, bars))| {
                            let known = |key: usize| before.iter().any(|sent| sent.target == target && sent.key.unwrap_or(0) == key);
                            bars.iter()
                                .enumerate()
                                .any(|(key, bar)| bar.open() && !known(key) && !self.stands_by(target, key, bars))
                        });
                assert!(!untried, "the same pair again while another is untried");
            }
        }
        if attempt.probe {
            assert!(
                counted < request.ask.attempts.max as usize || attempt.fresh,
                "a probe took the last attempt"
            );
            let probing = |request: &Request| {
                let running = request.running.iter().map(|running| request.dispatch.tried()[running.id.0].attempt);
                running.filter(|other| other.probe && other.target == attempt.target).count()
            };
            assert_eq!(self.requests.iter().map(probing).sum::<usize>(), 0, "two probes at once");
        }
        let end = self.ends[self.trace.len() % self.ends.len()];
        self.requests[index].running.push(Running {
            id: attempt.id,
            until: now.after(ms(end.millis)),
            end,
        });
        let (request, target, key, probe, fresh) = (index, attempt.target, attempt.key, attempt.probe, attempt.fresh);
        self.trace.push(Sent {
            request,
            now,
            target,
            key,
            probe,
            fresh,
        });
    }

    fn nothing_is_left_in_flight(&self) {
        for target in 0..self.table.targets.len() {
            assert_eq!(self.health.in_flight(&self.slots, target), (0, 0, 0), "left in flight");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_of_the_loop_hold_and_the_same_seeds_give_the_same_trace(case in case()) {
        let trace = World::new(&case).run(&case);
        prop_assert_eq!(trace, World::new(&case).run(&case));
    }
}
