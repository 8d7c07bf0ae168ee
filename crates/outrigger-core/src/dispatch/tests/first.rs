//! A plan that has ranked its first candidate alone.

use super::*;
use crate::{Affinity, Shape};

#[test]
fn what_breaks_between_the_plan_and_the_first_attempt_is_passed_over() {
    let mut world = World::new(&chain(3));
    let mut early = world.request(at(0), DEADLINE).dispatch;
    let mut alone = world.request(at(0), DEADLINE).dispatch;
    alone.attempts.max = 1;
    world.break_down(0, at(0));
    // It is due for a probe, which may not be the only attempt.
    for (mut dispatch, expected) in [(early.clone(), (0, true)), (alone, (1, false))] {
        let Step::Send(attempt) = dispatch.next(&world.table, &mut world.health, at(2_001)) else {
            panic!()
        };
        assert_eq!((attempt.target, attempt.probe), expected);
        dispatch.abandon(&mut world.health, at(2_001));
    }
    // A key that has gone in the meantime is as good as a target.
    let mut world = World::new(&chain(2));
    let mut request = world.request(at(0), DEADLINE);
    request.send(at(0));
    request.end(Class::Auth, at(0));
    let Step::Send(attempt) = early.next(&world.table, &mut world.health, at(1)) else {
        panic!()
    };
    assert_eq!(attempt.target, 1);
}

#[test]
fn the_last_attempt_leaves_a_priority_all_of_whose_targets_may_share_a_fate() {
    let of = |priority| Spec {
        priority,
        keys: 2,
        ..Spec::default()
    };
    // How many attempts there are, and how each ends; which priorities they go to.
    let rows: [(u32, &[Class], &[u32]); 4] = [
        (4, &[Class::Connect; 4], &[0, 0, 0, 1]),
        (3, &[Class::Auth; 3], &[0, 0, 1]),
        // Of two the second is no last one of many.
        (2, &[Class::Connect; 2], &[0, 0]),
        (6, &[Class::Connect; 6], &[0, 0, 0, 0, 1, 2]),
    ];
    for (max, ends, expected) in rows {
        let mut world = World::new(&[of(0), of(0), of(0), of(0), of(1), of(2)]);
        world.attempts.max = max;
        let mut request = world.request(at(0), DEADLINE);
        let mut went = vec![];
        for end in ends {
            let attempt = request.send(at(0));
            went.push(request.world.table.routes[0].rules[0].candidates[attempt.target].priority);
            request.end(*end, at(0));
        }
        assert_eq!(went, expected, "{max} attempts");
    }
}

#[test]
fn what_was_tried_stays_the_first_while_the_rest_is_ranked_behind_it() {
    let mut world = World::new(&chain(3));
    let mut plan = world.request(at(0), DEADLINE).dispatch.plan;
    let mut untried = plan.clone();
    world.break_down(0, at(0));
    let targets = |plan: &Plan| plan.ranked.iter().map(|ranked| ranked.target).collect::<Vec<_>>();
    plan.go_on(&world.table, &world.health, true, at(1));
    assert_eq!(targets(&plan), [0, 1, 2]);
    untried.go_on(&world.table, &world.health, false, at(1));
    assert_eq!(targets(&untried), [1, 2, 0]);
    untried.go_on(&world.table, &Health::new(), true, at(1));
    assert_eq!(targets(&untried), [1, 2, 0], "once is enough");
}

#[test]
fn how_long_to_wait_is_asked_of_all_though_only_the_first_was_ranked() {
    let mut world = World::new(&chain(2));
    let early = world.request(at(0), DEADLINE).dispatch;
    for (target, until) in [(0, 30_000), (1, 20_000)] {
        let mut request = world.request(at(0), DEADLINE);
        assert_eq!(request.target(at(0)), target);
        request.outcome(told(Class::RateLimited, at(until)), at(0));
        request.dispatch.abandon(&mut world.health, at(0));
    }
    let mut dispatch = early;
    let step = dispatch.next(&world.table, &mut world.health, at(1));
    assert_eq!(step, Step::Finish(Verdict::NoTarget { wait: Some(at(20_000)) }));
}

#[test]
fn the_model_that_was_asked_for_is_known_when_the_rest_is_ranked() {
    let mut world = World::new(&chain(2));
    let facts = crate::ModelFacts {
        tools: Some(false),
        ..crate::ModelFacts::default()
    };
    world.table.targets[1].model = crate::TargetModel::AsAsked {
        facts: [("m".into(), facts)].into(),
    };
    world.slots = world.health.attach(&world.table, &|_| false, at(0));
    let needs = crate::Needs {
        tools: true,
        ..crate::Needs::NONE
    };
    let shape = Shape { needs, ..SHAPE };
    let matched = Matched { route: 0, rule: 0 };
    let mut plan = plan(&world.table, &world.slots, matched, shape, &world.health, at(0), 0);
    plan.complete(&world.table, &world.health, at(0));
    assert_eq!(plan.dropped, [(1, crate::Reason::Tools)]);
}

#[test]
fn a_conversation_is_remembered_where_it_was_answered_and_not_where_it_was_refused() {
    let mut world = World::new(&chain(2));
    let affinity = Affinity { key: 7, bound: true };
    let shape = Shape {
        affinity: Some(affinity),
        ..SHAPE
    };
    let matched = Matched { route: 0, rule: 0 };
    let plan = plan(&world.table, &world.slots, matched, shape, &world.health, at(0), 0);
    let mut dispatch = Dispatch::new(plan, Attempts::default(), Breaker::default(), DEADLINE, 0);
    for class in [Class::ServerError, Class::Ok] {
        let Step::Send(attempt) = dispatch.next(&world.table, &mut world.health, at(0)) else {
            panic!()
        };
        dispatch.observe(&mut world.health, attempt.id, Outcome::of(class), at(10));
    }
    let served = |target| world.health.served_last(&world.slots, target, affinity, at(20));
    assert_eq!((served(0), served(1)), (false, true));
}
