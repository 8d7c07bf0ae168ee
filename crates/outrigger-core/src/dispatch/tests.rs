use super::*;
use crate::{
    health::Slots,
    plan::{Shape, plan},
    router::Matched,
    testing::{Spec, at, chain, ms, table},
};
use alloc::{vec, vec::Vec};

mod first;
mod incidents;
mod properties;
mod turns;

pub(super) const SHAPE: Shape<'static> = Shape {
    model: "m",
    stream: true,
    prompt_tokens: 100,
    needs: crate::Needs::NONE,
    max_output: None,
    affinity: None,
};
const DEADLINE: Tick = Tick(60_000_000);

/// A table and what was learnt of it; requests come one at a time.
struct World {
    table: Table,
    health: Health,
    slots: Slots,
    attempts: Attempts,
}

impl World {
    fn new(specs: &[Spec]) -> Self {
        let table = table(specs);
        let mut health = Health::new();
        let slots = health.attach(&table, &|_| false, at(0));
        Self {
            table,
            health,
            slots,
            attempts: Attempts::default(),
        }
    }

    fn request(&mut self, now: Tick, deadline: Tick) -> Request<'_> {
        let matched = Matched { route: 0, rule: 0 };
        let plan = plan(&self.table, &self.slots, matched, SHAPE, &self.health, now, 1);
        Request {
            dispatch: Dispatch::new(plan, self.attempts, self.table.routes[0].breaker, deadline, 1),
            world: self,
        }
    }

    /// Requests that try only `target` and end so, until it is down.
    fn break_down(&mut self, target: usize, now: Tick) {
        let mut alone = self.table.clone();
        alone.routes[0].rules[0].candidates.retain(|candidate| candidate.target == target);
        core::mem::swap(&mut self.table, &mut alone);
        self.attempts.max = 3;
        let mut request = self.request(now, DEADLINE);
        let mut now = now;
        for _ in 0..3 {
            if let Step::WaitUntil(until) = request.next(now) {
                now = until;
                request.send(now);
            }
            request.end(Class::Connect, now);
        }
        self.attempts = Attempts::default();
        self.table = alone;
    }
}

struct Request<'a> {
    world: &'a mut World,
    dispatch: Dispatch,
}

impl Request<'_> {
    fn next(&mut self, now: Tick) -> Step {
        self.dispatch.next(&self.world.table, &mut self.world.health, now)
    }

    /// The next step, which must be an attempt.
    fn send(&mut self, now: Tick) -> Attempt {
        let step = self.next(now);
        let Step::Send(attempt) = step else { panic!("{step:?}") };
        attempt
    }

    fn target(&mut self, now: Tick) -> usize {
        self.send(now).target
    }

    /// The last attempt ends.
    fn end(&mut self, class: Class, now: Tick) {
        self.outcome(Outcome::of(class), now);
    }

    fn outcome(&mut self, outcome: Outcome, now: Tick) {
        let id = AttemptId(self.dispatch.tried().len() - 1);
        self.dispatch.observe(&mut self.world.health, id, outcome, now);
    }
}

fn told(class: Class, until: Tick) -> Outcome {
    Outcome {
        until: Some(until),
        ..Outcome::of(class)
    }
}

fn stale() -> Outcome {
    Outcome {
        stale: true,
        ..Outcome::of(Class::Reset)
    }
}

#[test]
fn every_class_moves_to_the_next_target_or_ends_the_request() {
    for class in Class::ALL {
        let mut world = World::new(&chain(2));
        let mut request = world.request(at(0), DEADLINE);
        assert_eq!(request.target(at(0)), 0);
        request.end(class, at(10));
        let step = request.next(at(10));
        match class {
            Class::Ok => assert_eq!(step, Step::Finish(Verdict::Committed(AttemptId(0)))),
            Class::ClientError | Class::ContentPolicy => assert_eq!(step, Step::Finish(Verdict::Refused(AttemptId(0)))),
            Class::Connect
            | Class::Timeout
            | Class::Reset
            | Class::Overloaded
            | Class::RateLimited
            | Class::Auth
            | Class::Quota
            | Class::ServerError
            | Class::ContextWindow
            | Class::BadResponse
            | Class::Cancelled => assert!(matches!(step, Step::Send(Attempt { target: 1, .. })), "{class:?}: {step:?}"),
        }
    }
}

#[test]
fn a_key_at_fault_is_followed_by_another_of_its_target_any_other_fault_by_another_target() {
    let mut specs = chain(2);
    specs[0].keys = 2;
    for (class, next) in [
        (Class::Auth, 0),
        (Class::Quota, 0),
        (Class::RateLimited, 0),
        (Class::ServerError, 1),
        (Class::Connect, 1),
    ] {
        let mut world = World::new(&specs);
        let mut request = world.request(at(0), DEADLINE);
        let first = request.send(at(0));
        request.end(class, at(1));
        let second = request.send(at(1));
        assert_eq!(second.target, next, "{class:?}");
        assert!(second.target == 1 || second.key != first.key);
        request.end(class, at(2));
        let third = request.send(at(2));
        assert_eq!(third.target, 1 - next, "{class:?}: then what is left untried");
    }
}

#[test]
fn a_prompt_that_is_too_long_goes_only_where_the_window_is_larger_or_unknown() {
    let mut specs = chain(5);
    for (spec, window) in specs.iter_mut().zip([Some(8_000), Some(4_000), None, Some(8_000), Some(16_000)]) {
        spec.window = window;
    }
    let mut world = World::new(&specs);
    let mut request = world.request(at(0), DEADLINE);
    for target in [0, 2, 4] {
        assert_eq!(request.target(at(0)), target);
        request.end(Class::ContextWindow, at(0));
    }
    let verdict = Verdict::Refused(AttemptId(2));
    assert_eq!(request.next(at(0)), Step::Finish(verdict), "the caller learns why");
}

#[test]
fn nothing_is_sent_after_commit_and_what_else_runs_is_cancelled() {
    let mut world = World::new(&chain(3));
    let mut request = world.request(at(0), DEADLINE);
    request.send(at(0));
    // A second one beside the first, as hedging will have it.
    let pair = Pair {
        rank: 1,
        key: 0,
        probe: false,
    };
    let table = request.world.table.clone();
    request.dispatch.plan.go_on(&table, &request.world.health, true, at(5));
    request.dispatch.send(&table, &mut request.world.health, pair, false, at(5));
    request
        .dispatch
        .observe(&mut request.world.health, AttemptId(0), Outcome::of(Class::Ok), at(10));
    assert_eq!(request.next(at(10)), Step::Cancel(AttemptId(1)));
    let committed = Step::Finish(Verdict::Committed(AttemptId(0)));
    assert_eq!(request.next(at(11)), committed);
    request
        .dispatch
        .observe(&mut request.world.health, AttemptId(1), Outcome::of(Class::ClientError), at(12));
    assert_eq!(request.next(at(12)), committed);
    let second = request.dispatch.tried()[1];
    assert_eq!((second.outcome, second.ended), (Some(Outcome::of(Class::Cancelled)), Some(at(10))));
}

#[test]
fn the_budget_counts_every_attempt() {
    let mut world = World::new(&chain(6));
    world.attempts.max = 3;
    let mut request = world.request(at(0), DEADLINE);
    for target in 0..3 {
        assert_eq!(request.target(at(0)), target);
        request.end(Class::ServerError, at(0));
    }
    assert_eq!(request.next(at(0)), Step::Finish(Verdict::Exhausted { wait: None }));
}

#[test]
fn what_was_tried_comes_again_after_a_growing_jittered_pause() {
    let mut world = World::new(&chain(1));
    world.attempts.max = 4;
    let mut request = world.request(at(0), DEADLINE);
    let mut now = at(0);
    for base in [100, 200, 400] {
        request.send(now);
        request.end(Class::ServerError, now);
        let Step::WaitUntil(until) = request.next(now) else {
            panic!("no pause")
        };
        let pause = until.since(now);
        assert!(pause >= ms(base / 2) && pause <= ms(base), "{pause:?}");
        assert_eq!(request.next(now.after(ms(1))), Step::WaitUntil(until), "asked early");
        now = until;
    }
}

#[test]
fn a_pause_that_reaches_the_deadline_is_not_begun() {
    let mut world = World::new(&chain(1));
    let mut request = world.request(at(0), at(40));
    request.send(at(0));
    request.end(Class::ServerError, at(10));
    assert_eq!(request.next(at(10)), Step::Finish(Verdict::Exhausted { wait: None }));
}

#[test]
fn a_told_time_is_waited_for_only_within_the_deadline_and_five_seconds() {
    let rows = [
        ("within", 2_000, 60_000, true),
        ("at five seconds", 5_000, 60_000, true),
        ("over five seconds", 6_000, 60_000, false),
        ("over the deadline", 5_000, 4_000, false),
    ];
    for (name, until, deadline, waits) in rows {
        let mut world = World::new(&chain(1));
        let mut request = world.request(at(0), at(deadline));
        request.send(at(0));
        request.outcome(told(Class::RateLimited, at(until)), at(0));
        let step = request.next(at(0));
        if let Step::WaitUntil(tick) = step {
            assert!(waits && tick >= at(until) && tick <= at(until + 100), "{name}");
            assert_eq!(request.target(tick), 0, "{name}");
        } else {
            assert!(!waits, "{name}");
            assert_eq!(step, Step::Finish(Verdict::Exhausted { wait: Some(at(until)) }), "{name}");
        }
    }
}

#[test]
fn nobody_waits_for_a_key_while_another_pair_is_untried() {
    let mut specs = chain(2);
    specs[0].keys = 3;
    let mut world = World::new(&specs);
    world.attempts.max = 16;
    let mut request = world.request(at(0), DEADLINE);
    for target in [0, 0, 0, 1] {
        assert_eq!(request.target(at(0)), target);
        request.outcome(told(Class::RateLimited, at(1_000)), at(0));
    }
    assert!(matches!(request.next(at(0)), Step::WaitUntil(tick) if tick >= at(1_000)));
}

#[test]
fn a_fresh_request_waits_for_the_only_key_rather_than_fail_at_once() {
    let mut world = World::new(&chain(1));
    let mut request = world.request(at(0), DEADLINE);
    request.send(at(0));
    request.outcome(told(Class::RateLimited, at(3_000)), at(0));
    let mut second = world.request(at(100), DEADLINE);
    let Step::WaitUntil(tick) = second.next(at(100)) else { panic!() };
    assert_eq!(second.target(tick), 0);
    let mut hurried = world.request(at(100), at(1_000));
    assert_eq!(hurried.next(at(100)), Step::Finish(Verdict::NoTarget { wait: Some(at(3_000)) }));
}

#[test]
fn without_a_usable_key_there_is_no_target_and_nothing_to_wait_for() {
    let mut world = World::new(&chain(1));
    let mut request = world.request(at(0), DEADLINE);
    request.send(at(0));
    request.end(Class::Auth, at(0));
    assert_eq!(request.next(at(0)), Step::Finish(Verdict::Exhausted { wait: None }));
    let mut second = world.request(at(0), DEADLINE);
    assert_eq!(second.next(at(0)), Step::Finish(Verdict::NoTarget { wait: None }));
}

#[test]
fn a_stale_connection_costs_nothing_once() {
    let mut world = World::new(&chain(1));
    world.attempts.max = 1;
    let mut request = world.request(at(0), DEADLINE);
    let first = request.send(at(0));
    request.outcome(stale(), at(1));
    let again = request.send(at(1));
    assert!(!first.fresh && again.fresh);
    assert_eq!((again.target, again.key), (first.target, first.key));
    request.outcome(stale(), at(2));
    assert_eq!(request.next(at(2)), Step::Finish(Verdict::Exhausted { wait: None }));
    assert!(!request.dispatch.tried()[1].outcome.unwrap().stale, "that one counts");
}

#[test]
fn the_deadline_cancels_what_runs_and_holds_for_stale_retries_too() {
    let mut world = World::new(&chain(2));
    let mut request = world.request(at(0), at(1_000));
    request.send(at(0));
    assert_eq!(request.next(at(10)), Step::WaitUntil(at(1_000)));
    assert_eq!(request.next(at(1_000)), Step::Cancel(AttemptId(0)));
    assert_eq!(request.next(at(1_000)), Step::Finish(Verdict::DeadlinePassed));
    let mut request = world.request(at(0), at(1_000));
    request.send(at(0));
    request.outcome(stale(), at(1_000));
    assert_eq!(request.next(at(1_000)), Step::Finish(Verdict::DeadlinePassed));
    let mut request = world.request(at(0), at(0));
    assert_eq!(request.next(at(0)), Step::Finish(Verdict::DeadlinePassed));
}

#[test]
fn an_attempt_that_the_deadline_cut_short_is_not_held_against_its_target() {
    for (deadline, errors) in [(1_900, None), (2_100, Some(1_000_000))] {
        let mut world = World::new(&chain(1));
        let mut request = world.request(at(0), at(deadline));
        request.send(at(0));
        request.end(Class::Timeout, at(deadline));
        assert_eq!(request.next(at(deadline)), Step::Finish(Verdict::DeadlinePassed));
        let breaker = Breaker::default();
        let view = world.health.view(&world.table, &world.slots, &breaker, 0, at(deadline));
        assert_eq!(view.errors_ppm, errors, "two seconds are what an unknown target may take");
    }
}

#[test]
fn a_target_that_is_down_gets_one_probe_at_a_time_and_the_others_go_elsewhere() {
    let mut world = World::new(&chain(2));
    world.break_down(0, at(0));
    let now = at(2_600);
    let mut prober = world.request(now, DEADLINE);
    let probe = prober.send(now);
    assert!(probe.probe && probe.target == 0);
    let mut running = prober.dispatch;
    let mut other = world.request(now, DEADLINE);
    assert_eq!(other.target(now), 1);
    let mut other = world.request(now.after(ms(400)), DEADLINE);
    assert_eq!(other.target(now.after(ms(400))), 1);
    // Nothing learnt: two seconds are patience, four end the probe.
    let cut = now.after(ms(4_000));
    assert_eq!(running.next(&world.table, &mut world.health, now), Step::WaitUntil(cut));
    assert_eq!(running.next(&world.table, &mut world.health, cut), Step::Cancel(AttemptId(0)));
    let Step::Send(next) = running.next(&world.table, &mut world.health, cut) else {
        panic!()
    };
    assert_eq!((next.target, next.probe), (1, false));
}

#[test]
fn no_probe_takes_the_last_attempt_or_the_last_of_the_time() {
    let now = at(2_600);
    for (max, deadline, target) in [(1, 60_000, 1), (2, 60_000, 0), (2, 2_600 + 7_999, 1), (2, 2_600 + 8_000, 0)] {
        let mut world = World::new(&chain(2));
        world.break_down(0, at(0));
        world.attempts.max = max;
        let mut request = world.request(now, at(deadline));
        assert_eq!(request.target(now), target, "{max} attempts, {deadline} ms");
    }
}

/// Two targets, the first of which takes 300 ms where 200 are slow; and when a probe of it is due.
fn slow_first(specs: &[Spec]) -> (World, Tick) {
    let mut world = World::new(specs);
    world.table.routes[0].breaker = crate::testing::slow(crate::SlowOf::FirstContent, ms(200));
    let mut now = at(0);
    for _ in 0..12 {
        let mut request = world.request(now, DEADLINE);
        request.send(now);
        now = now.after(ms(300));
        request.end(Class::Ok, now);
    }
    (world, now.after(ms(600)))
}

#[test]
fn a_probe_of_a_slow_target_that_another_took_leaves_the_call_to_the_next() {
    let (mut world, now) = slow_first(&chain(2));
    let mut planned = world.request(now, DEADLINE).dispatch;
    let mut first = world.request(now, DEADLINE);
    let attempt = first.send(now);
    assert_eq!((attempt.target, attempt.probe), (0, true));
    let Step::Send(attempt) = planned.next(&world.table, &mut world.health, now) else {
        panic!()
    };
    assert_eq!((attempt.target, attempt.probe), (1, false));
}

#[test]
fn a_slow_target_is_not_cut_short_where_there_is_no_other() {
    let (mut world, now) = slow_first(&chain(1));
    let mut request = world.request(now, DEADLINE);
    assert!(!request.send(now).probe);
    assert_eq!(request.next(now), Step::WaitUntil(DEADLINE));
}

#[test]
fn when_all_are_down_the_first_by_rule_is_tried_at_once() {
    let mut world = World::new(&chain(2));
    world.break_down(0, at(0));
    world.break_down(1, at(0));
    let mut request = world.request(at(2_001), DEADLINE);
    for target in [0, 1] {
        let attempt = request.send(at(2_001));
        assert_eq!(
            (attempt.target, attempt.probe),
            (target, false),
            "not cut short: there is nothing better"
        );
        request.end(Class::Connect, at(2_001));
    }
    assert!(matches!(request.next(at(2_001)), Step::WaitUntil(_)));
}

#[test]
fn an_overloaded_target_is_left_until_its_time_and_tried_when_that_is_too_late() {
    let mut specs = chain(1);
    specs[0].keys = 2;
    let mut world = World::new(&specs);
    let mut request = world.request(at(0), DEADLINE);
    request.send(at(0));
    request.outcome(told(Class::Overloaded, at(3_000)), at(0));
    assert!(matches!(request.next(at(0)), Step::WaitUntil(tick) if tick >= at(3_000)));
    let mut hurried = world.request(at(0), at(2_000));
    assert_eq!(hurried.target(at(0)), 0, "an instant error would help nobody");
    hurried.outcome(told(Class::Overloaded, at(10_000)), at(1));
    assert_eq!(hurried.next(at(1)), Step::Finish(Verdict::Exhausted { wait: Some(at(10_000)) }));
}

#[test]
fn a_model_that_thinks_first_gets_ten_times_the_first_token_clock() {
    for (reasoning, seconds) in [(false, 60), (true, 600)] {
        let spec = Spec {
            reasoning,
            ..Spec::default()
        };
        let mut world = World::new(&[spec]);
        let mut request = world.request(at(0), DEADLINE);
        let attempt = request.send(at(0));
        assert_eq!(attempt.timeouts.first_token, Duration::from_secs(seconds));
        assert_eq!(
            (attempt.timeouts.connect, attempt.deadline),
            (Timeouts::default().connect, DEADLINE)
        );
    }
}

#[test]
fn keys_share_by_weight_and_a_provider_without_keys_has_none() {
    let mut specs = chain(1);
    specs[0].keys = 3;
    let mut world = World::new(&specs);
    for (key, weight) in world.table.providers[0].ring.iter_mut().zip([1, 2, 7]) {
        key.weight = weight;
    }
    world.slots = world.health.attach(&world.table, &|_| false, at(0));
    let mut counts = [0i32; 3];
    for seed in 0..5_000 {
        let matched = Matched { route: 0, rule: 0 };
        let plan = plan(&world.table, &world.slots, matched, SHAPE, &world.health, at(0), seed);
        let mut dispatch = Dispatch::new(plan, Attempts::default(), Breaker::default(), DEADLINE, seed);
        let Step::Send(attempt) = dispatch.next(&world.table, &mut world.health, at(0)) else {
            panic!()
        };
        counts[attempt.key.unwrap()] += 1;
        dispatch.abandon(&mut world.health, at(0));
    }
    for (count, expected) in counts.iter().zip([500, 1_000, 3_500]) {
        assert!((count - expected).abs() < 150, "{counts:?}");
    }
    let keyless = Spec {
        keys: 0,
        ..Spec::default()
    };
    let mut world = World::new(&[keyless]);
    assert_eq!(world.request(at(0), DEADLINE).send(at(0)).key, None);
}

#[test]
fn keys_with_room_come_first_by_weight_and_those_near_their_limit_after_them() {
    let mut specs = chain(1);
    (specs[0].keys, specs[0].standby) = (3, 1);
    let mut world = World::new(&specs);
    for (key, weight) in world.table.providers[0].ring.iter_mut().zip([1, 3, 9, 0]) {
        key.weight = weight;
    }
    world.slots = world.health.attach(&world.table, &|_| false, at(0));
    let near = |world: &mut World, key| {
        let slot = world.slots.slot(0, key, 1, false, at(0)).unwrap();
        let headroom = Some(crate::Headroom {
            remaining_ppm: 99_999,
            resets: Some(at(9_000)),
        });
        world.health.learn(slot, crate::Learnt { usage: None, headroom }, at(0));
    };
    let shares = |world: &mut World, now| {
        let mut counts = [0i32; 4];
        for seed in 0..2_000 {
            let matched = Matched { route: 0, rule: 0 };
            let plan = plan(&world.table, &world.slots, matched, SHAPE, &world.health, now, seed);
            let mut dispatch = Dispatch::new(plan, Attempts::default(), Breaker::default(), DEADLINE, seed);
            let Step::Send(attempt) = dispatch.next(&world.table, &mut world.health, now) else {
                panic!()
            };
            counts[attempt.key.unwrap()] += 1;
            dispatch.abandon(&mut world.health, now);
        }
        counts
    };
    near(&mut world, 2);
    let counts = shares(&mut world, at(1));
    assert!((counts[0] - 500).abs() < 100 && counts[2] == 0 && counts[3] == 0, "{counts:?}");
    let mut request = world.request(at(1), DEADLINE);
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(request.send(at(1)).key.unwrap());
        request.end(Class::RateLimited, at(1));
    }
    keys[..2].sort_unstable();
    assert_eq!(keys, [0, 1, 2, 3], "near its limit it is still better than one that stands by");
    let mut world = World::new(&specs);
    for key in 0..3 {
        near(&mut world, key);
    }
    let counts = shares(&mut world, at(1));
    assert!(
        counts[..3].iter().all(|count| *count > 500) && counts[3] == 0,
        "as without a word: {counts:?}"
    );
}

/// One key with weight and one that stands by, at the only target.
fn rotated() -> World {
    let mut specs = chain(1);
    specs[0].standby = 1;
    World::new(&specs)
}

#[test]
fn after_a_refusal_of_one_version_the_one_that_stands_by_is_tried_at_once_and_serves_from_then_on() {
    for class in [Class::Auth, Class::Quota, Class::RateLimited] {
        let mut world = rotated();
        let mut request = world.request(at(0), DEADLINE);
        assert_eq!(request.send(at(0)).key, Some(0));
        request.end(class, at(10));
        assert_eq!(request.send(at(10)).key, Some(1), "{class:?}");
        request.end(Class::Ok, at(20));
        assert_eq!(world.request(at(30), DEADLINE).send(at(30)).key, Some(1), "{class:?}");
    }
}

#[test]
fn a_key_that_stands_by_is_left_alone_while_another_can_be_sent() {
    let mut world = rotated();
    world.attempts.max = 4;
    let mut request = world.request(at(0), DEADLINE);
    let mut now = at(0);
    for _ in 0..4 {
        assert_eq!(request.send(now).key, Some(0));
        request.end(Class::BadResponse, now);
        let Step::WaitUntil(until) = request.next(now) else { break };
        now = until;
    }
    assert_eq!(request.dispatch.tried().len(), 4);
    assert!(request.dispatch.tried().iter().all(|tried| tried.attempt.key == Some(0)));

    // Of a ring with several keys the others share what the refused one leaves.
    let mut specs = chain(1);
    (specs[0].keys, specs[0].standby) = (2, 2);
    let mut world = World::new(&specs);
    let mut request = world.request(at(0), DEADLINE);
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(request.send(at(0)).key.unwrap());
        request.end(Class::Auth, at(0));
    }
    keys[..2].sort_unstable();
    assert_eq!(keys, [0, 1, 2, 3]);
}

#[test]
fn where_the_first_versions_bytes_are_missing_the_one_that_stands_by_serves() {
    let mut world = rotated();
    let first = world.table.providers[0].ring[0].id.clone();
    world.slots = world.health.attach(&world.table, &|id| id == first, at(0));
    assert_eq!(world.request(at(0), DEADLINE).send(at(0)).key, Some(1));
    world.slots = world.health.attach(&world.table, &|_| true, at(0));
    assert_eq!(
        world.request(at(0), DEADLINE).next(at(0)),
        Step::Finish(Verdict::NoTarget { wait: None })
    );
}

#[test]
fn an_abandoned_request_leaves_nothing_in_flight_and_no_trace() {
    let mut world = World::new(&chain(1));
    let mut request = world.request(at(0), DEADLINE);
    request.send(at(0));
    request.dispatch.abandon(&mut request.world.health, at(500));
    assert!(matches!(request.next(at(500)), Step::Finish(Verdict::Exhausted { wait: None })));
    let breaker = Breaker::default();
    let view = world.health.view(&world.table, &world.slots, &breaker, 0, at(500));
    assert_eq!((view.in_flight, view.samples), (0, 0));
    assert_eq!(world.health.in_flight(&world.slots, 0), (0, 0, 0));
}

#[test]
fn a_plan_without_candidates_has_no_target() {
    let mut world = World::new(&[]);
    let mut request = world.request(at(0), DEADLINE);
    let none = Step::Finish(Verdict::NoTarget { wait: None });
    assert_eq!(vec![request.next(at(0)), request.next(at(1))], Vec::from([none, none]));
}
