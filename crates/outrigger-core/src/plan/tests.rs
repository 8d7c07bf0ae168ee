use super::*;
use crate::{
    Breaker, Class, ModelFacts, Needs, Outcome, Residency, SlowOf,
    health::View,
    testing::{Spec, at, chain, ms, slow, table},
};
use alloc::{string::ToString, vec, vec::Vec};

mod balance;

const MATCHED: Matched = Matched { route: 0, rule: 0 };
const SHAPE: Shape<'static> = Shape {
    model: "m",
    stream: true,
    prompt_tokens: 100,
    needs: crate::Needs::NONE,
    max_output: None,
    affinity: None,
};

struct World {
    table: Table,
    health: Health,
    slots: Slots,
}

impl World {
    fn new(table: Table) -> Self {
        let mut health = Health::new();
        let slots = health.attach(&table, &|_| false, at(0));
        Self { table, health, slots }
    }

    fn order(&self, now: Tick, seed: u64) -> Vec<(usize, Reason)> {
        let mut plan = plan(&self.table, &self.slots, MATCHED, SHAPE, &self.health, now, seed);
        plan.complete(&self.table, &self.health, now);
        plan.ranked.iter().map(|ranked| (ranked.target, ranked.reason)).collect()
    }

    /// `count` attempts of `took` that end so.
    fn feed(&mut self, target: usize, count: u64, took: Duration, outcome: Outcome, from: Tick) -> Tick {
        let breaker = self.table.routes[0].breaker;
        let view = View {
            breaker: &breaker,
            lane: lane_of(SHAPE),
            reasoning: false,
        };
        let mut now = from;
        for _ in 0..count {
            self.health.review(&self.slots, target, view, now);
            let slot = self.slots.slot(target, 0, lane_of(SHAPE), false, now).unwrap();
            self.health.begin(&slot, None, now);
            now = now.after(took);
            self.health.end(&slot, &outcome, view, now);
        }
        now
    }
}

fn ok() -> Outcome {
    Outcome::of(Class::Ok)
}

fn failed() -> Outcome {
    Outcome::of(Class::ServerError)
}

#[test]
fn priorities_ascend_and_the_last_comes_last() {
    let mut specs = chain(4);
    specs.reverse();
    let world = World::new(table(&specs));
    let targets: Vec<usize> = world.order(at(0), 1).iter().map(|(target, _)| *target).collect();
    assert_eq!(targets, [3, 2, 1, 0]);
}

#[test]
fn weights_are_the_shares_of_the_first_place() {
    let specs: Vec<Spec> = [1, 3, 6].map(|weight| Spec { weight, ..Spec::default() }).into();
    let world = World::new(table(&specs));
    let mut firsts = [0u32; 3];
    for seed in 0..10_000 {
        firsts[world.order(at(0), seed)[0].0] += 1;
    }
    for (share, expected) in firsts.iter().zip([1_000i64, 3_000, 6_000]) {
        assert!((i64::from(*share) - expected).abs() < 200, "{firsts:?}");
    }
}

#[test]
fn what_is_down_leaves_the_others_shares_alone() {
    let specs: Vec<Spec> = [5, 1, 3].map(|weight| Spec { weight, ..Spec::default() }).into();
    let mut world = World::new(table(&specs));
    let now = world.feed(0, 3, ms(1), failed(), at(0));
    let mut firsts = [0u32; 3];
    for seed in 0..10_000 {
        let order = world.order(now, seed);
        assert_eq!(order[2], (0, Reason::Open));
        firsts[order[0].0] += 1;
    }
    assert!((i64::from(firsts[1]) - 2_500).abs() < 200, "{firsts:?}");
}

#[test]
fn weight_zero_stands_by_until_the_others_of_its_priority_are_gone() {
    let mut specs = chain(2);
    specs[1].priority = 0;
    specs[1].weight = 0;
    specs.push(Spec {
        priority: 1,
        ..Spec::default()
    });
    let mut world = World::new(table(&specs));
    assert_eq!(world.order(at(0), 7), [(0, Reason::Kept), (2, Reason::Kept), (1, Reason::Standby)]);
    let now = world.feed(0, 3, ms(1), failed(), at(0));
    assert_eq!(world.order(now, 7), [(1, Reason::Kept), (2, Reason::Kept), (0, Reason::Open)]);
}

#[test]
fn a_slow_target_goes_behind_the_first_that_is_not() {
    let mut specs = table(&chain(4));
    specs.routes[0].breaker = slow(SlowOf::FirstContent, ms(200));
    let mut world = World::new(specs);
    let mut now = at(0);
    for (target, took) in [(0, 210), (1, 240), (2, 50)] {
        now = world.feed(target, 20, ms(took), ok(), now);
    }
    // The probe of 0 is not due at this very moment.
    let now = Tick(now.0 - 1_000 * (20 * 50 + 20 * 240));
    let order = world.order(now, 3);
    assert_eq!(
        order.iter().map(|(target, _)| *target).collect::<Vec<_>>(),
        [2, 0, 1, 3],
        "{order:?}"
    );
}

#[test]
fn where_all_are_slow_the_fastest_known_is_first() {
    let mut specs = table(&chain(3));
    specs.routes[0].breaker = slow(SlowOf::FirstContent, ms(10));
    let mut world = World::new(specs);
    for (target, took) in [(0, 40), (1, 30), (2, 20)] {
        // Judged before anything was written down: nobody is due for a probe.
        for n in 0..20 {
            let slot = world.slots.slot(target, 0, lane_of(SHAPE), false, at(n * 50)).unwrap();
            let breaker = Breaker::default();
            let view = View {
                breaker: &breaker,
                lane: lane_of(SHAPE),
                reasoning: false,
            };
            world.health.begin(&slot, None, at(n * 50));
            world.health.end(&slot, &ok(), view, at(n * 50 + took));
        }
    }
    let slow = Reason::Slow;
    assert_eq!(world.order(at(1_000), 0), [(2, slow), (0, slow), (1, slow)]);
}

#[test]
fn keys_that_rest_or_are_gone_put_their_target_behind() {
    let mut world = World::new(table(&chain(4)));
    let outcome = |class, until| Outcome {
        until,
        ..Outcome::of(class)
    };
    world.feed(0, 1, ms(1), outcome(Class::Auth, None), at(0));
    world.feed(1, 1, ms(1), outcome(Class::RateLimited, Some(at(5_000))), at(0));
    world.feed(2, 1, ms(1), outcome(Class::Overloaded, Some(at(4_000))), at(0));
    let order = vec![
        (3, Reason::Kept),
        (2, Reason::Overloaded),
        (1, Reason::Cooling),
        (0, Reason::KeyRefused),
    ];
    assert_eq!(world.order(at(1_000), 0), order);
    assert_eq!(
        world.order(at(5_000), 0)[..3].iter().map(|(target, _)| *target).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    world.slots = world.health.attach(&world.table, &|key| key.starts_with("ns/p3/"), at(5_000));
    assert_eq!(world.order(at(5_000), 0)[3], (3, Reason::KeyPending), "no bytes, no call");
}

#[test]
fn the_share_of_a_target_on_its_way_back_grows() {
    let mut world = World::new(table(&chain(2)));
    let now = world.feed(0, 3, ms(1), failed(), at(0));
    let back = world.feed(0, 3, ms(1), ok(), now.after(ms(300)));
    let share = |world: &World, now| (0..1_000).filter(|seed| world.order(now, *seed)[0].0 == 0).count();
    let (first, middle, last) = (
        share(&world, back),
        share(&world, back.after(ms(1_000))),
        share(&world, back.after(ms(2_000))),
    );
    assert!((200..300).contains(&first), "{first}");
    assert!((440..560).contains(&middle), "{middle}");
    assert_eq!(last, 1_000);
}

#[test]
fn a_target_due_for_a_probe_keeps_its_place() {
    let mut world = World::new(table(&chain(2)));
    let now = world.feed(0, 4, ms(1), failed(), at(0));
    assert_eq!(world.order(now, 0)[1], (0, Reason::Open));
    assert_eq!(world.order(now.after(ms(250)), 0)[0], (0, Reason::Probe));
}

#[test]
fn the_same_arguments_give_the_same_plan() {
    let specs: Vec<Spec> = (0..10).map(|weight| Spec { weight, ..Spec::default() }).collect();
    let world = World::new(table(&specs));
    for seed in 0..100 {
        assert_eq!(world.order(at(0), seed), world.order(at(0), seed));
    }
}

#[test]
fn a_match_of_another_table_plans_nothing() {
    let world = World::new(table(&chain(1)));
    let matched = Matched { route: 9, rule: 0 };
    assert!(
        plan(&world.table, &world.slots, matched, SHAPE, &world.health, at(0), 0)
            .ranked
            .is_empty()
    );
}

/// Of a call that needs `shape`: the candidates that may be tried, and why the others may not.
fn fitting(world: &World, shape: Shape<'_>) -> (Vec<usize>, Vec<(usize, Reason)>) {
    let mut plan = plan(&world.table, &world.slots, MATCHED, shape, &world.health, at(0), 1);
    plan.complete(&world.table, &world.health, at(0));
    let mut tried: Vec<usize> = plan.ranked.iter().map(|ranked| ranked.candidate).collect();
    tried.sort_unstable();
    (tried, plan.dropped)
}

fn with(facts: ModelFacts) -> Spec {
    Spec {
        window: facts.context_window,
        facts,
        ..Spec::default()
    }
}

#[test]
fn what_cannot_take_the_call_is_never_tried_and_what_is_not_known_leaves_it_in() {
    let no = ModelFacts {
        tools: Some(false),
        vision: Some(false),
        json_schema: Some(false),
        ..ModelFacts::default()
    };
    let yes = ModelFacts {
        tools: Some(true),
        vision: Some(true),
        json_schema: Some(true),
        ..ModelFacts::default()
    };
    let world = World::new(table(&[with(no), with(yes), with(ModelFacts::default())]));
    assert_eq!(fitting(&world, SHAPE), (vec![0, 1, 2], vec![]));
    for (needs, reason) in [
        (
            Needs {
                tools: true,
                ..Needs::NONE
            },
            Reason::Tools,
        ),
        (
            Needs {
                vision: true,
                ..Needs::NONE
            },
            Reason::Vision,
        ),
        (
            Needs {
                json_schema: true,
                ..Needs::NONE
            },
            Reason::JsonSchema,
        ),
    ] {
        assert_eq!(fitting(&world, Shape { needs, ..SHAPE }), (vec![1, 2], vec![(0, reason)]));
    }
    let alone = World::new(table(&[with(ModelFacts {
        vision: Some(false),
        ..ModelFacts::default()
    })]));
    let vision = Needs {
        vision: true,
        ..Needs::NONE
    };
    assert_eq!(
        fitting(&alone, Shape { needs: vision, ..SHAPE }),
        (vec![], vec![(0, Reason::Vision)])
    );
}

#[test]
fn what_is_too_small_is_out_unless_all_are() {
    let small = ModelFacts {
        context_window: Some(1_000),
        max_output: Some(100),
        ..ModelFacts::default()
    };
    let large = ModelFacts {
        context_window: Some(2_000),
        max_output: Some(200),
        ..ModelFacts::default()
    };
    let world = World::new(table(&[with(small), with(large)]));
    let shape = |prompt_tokens, max_output| Shape {
        prompt_tokens,
        max_output,
        ..SHAPE
    };
    assert_eq!(fitting(&world, shape(1_000, Some(100))), (vec![0, 1], vec![]));
    assert_eq!(fitting(&world, shape(1_001, None)), (vec![1], vec![(0, Reason::Window)]));
    assert_eq!(fitting(&world, shape(1, Some(101))), (vec![1], vec![(0, Reason::MaxOutput)]));
    assert_eq!(fitting(&world, shape(2_001, None)), (vec![0, 1], vec![]));
}

#[test]
fn residency_holds_for_every_candidate_and_what_is_not_known_is_a_no() {
    let at = |regions, retention_ms, training| Spec {
        regions,
        data_policy: crate::DataPolicy { retention_ms, training },
        ..Spec::default()
    };
    let specs = [
        at(&["eu"], Some(0), Some(false)),
        at(&["us", "eu"], Some(3_600_000), Some(false)),
        at(&["us"], Some(0), Some(false)),
        at(&[], None, None),
        at(&["eu"], Some(0), Some(true)),
    ];
    let mut world = World::new(table(&specs));
    // The last one plays the last resort: one more priority behind all others.
    world.table.routes[0].rules[0].candidates[4].priority = 9;
    let mut allowed = |residency| {
        world.table.routes[0].residency = Some(residency);
        fitting(&world, SHAPE).0
    };
    let eu = vec!["eu".to_string()];
    assert_eq!(allowed(Residency::default()), [0, 1, 2, 3, 4]);
    assert_eq!(
        allowed(Residency {
            regions: eu.clone(),
            ..Residency::default()
        }),
        [0, 1, 4]
    );
    assert_eq!(
        allowed(Residency {
            retention_ms: Some(0),
            ..Residency::default()
        }),
        [0, 2, 4]
    );
    assert_eq!(
        allowed(Residency {
            regions: eu,
            retention_ms: Some(3_600_000),
            no_training: true
        }),
        [0, 1]
    );
}
