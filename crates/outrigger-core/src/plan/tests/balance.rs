//! How candidates of one priority share the calls.

use super::*;
use crate::{
    Affinity, Balance, Ending, Headroom, Learnt, Slot, StreamEnd, Usage,
    testing::{at, ending, price},
};

/// `count` candidates of one priority, as good as each other, each with a price of a dollar more than the one before.
fn world(count: usize, balance: Balance) -> World {
    of_specs(&vec![Spec::default(); count], balance)
}

fn of_specs(specs: &[Spec], balance: Balance) -> World {
    let mut table = table(specs);
    table.routes[0].rules[0].balance = balance;
    for (dollars, target) in (1..).zip(&mut table.targets) {
        facts(target).price = Some(price(dollars));
    }
    World::new(table)
}

fn facts(target: &mut crate::Target) -> &mut ModelFacts {
    match &mut target.model {
        crate::TargetModel::Fixed { facts, .. } => facts,
        crate::TargetModel::AsAsked { facts } => facts.entry("m".to_string()).or_default(),
    }
}

fn conversation(key: u64, bound: bool) -> Shape<'static> {
    Shape {
        affinity: Some(Affinity { key, bound }),
        prompt_tokens: 1_000,
        ..SHAPE
    }
}

impl World {
    fn first(&self, shape: Shape<'_>, now: Tick, seed: u64) -> usize {
        plan(&self.table, &self.slots, MATCHED, shape, &self.health, now, seed).ranked[0].target
    }

    /// How many of so many calls go to each target first.
    fn firsts(&self, shape: Shape<'_>, now: Tick, calls: u64) -> Vec<u64> {
        let mut firsts = vec![0; self.table.targets.len()];
        for seed in 0..calls {
            firsts[self.first(shape, now, seed)] += 1;
        }
        firsts
    }

    /// A streamed answer: its first content after `first` ms, then `tokens` tokens, each after `each` ms.
    fn answer(&mut self, target: usize, (first, tokens, each): (u64, u64, u64), shape: Shape<'_>, now: Tick) -> Tick {
        let breaker = self.table.routes[0].breaker;
        let lane = lane_of(shape);
        let view = View {
            breaker: &breaker,
            lane,
            reasoning: false,
        };
        let slot = self.slots.slot(target, 0, lane, false, now).unwrap();
        let slot = slot.of(shape.affinity.map(|affinity| affinity.key));
        self.health.begin(&slot, None, now);
        let content = now.after(ms(first));
        self.health.end(&slot, &ok(), view, content);
        let end = StreamEnd {
            how: Ending::Whole,
            output_tokens: tokens,
            since_first: ms(tokens.saturating_sub(1) * each),
        };
        let now = content.after(end.since_first);
        self.health.settle(slot, end, now);
        let usage = Usage {
            input: 1_000,
            output: tokens,
            ..Usage::default()
        };
        self.tell(target, Some(usage), None, shape, now);
        now
    }

    fn tell(&mut self, target: usize, usage: Option<Usage>, headroom: impl Into<Option<Headroom>>, shape: Shape<'_>, now: Tick) {
        let slot = self.slots.slot(target, 0, lane_of(shape), false, now).unwrap();
        let slot = slot.of(shape.affinity.map(|affinity| affinity.key));
        let headroom = headroom.into();
        self.health.learn(slot, Learnt { usage, headroom }, now);
    }

    /// An attempt that stays in flight.
    fn hang(&mut self, target: usize, now: Tick) -> Slot {
        let slot = self.slots.slot(target, 0, lane_of(SHAPE), false, now).unwrap();
        self.health.begin(&slot, None, now);
        slot
    }

    fn scores(&self, shape: Shape<'_>, now: Tick) -> Vec<Score> {
        let mut plan = plan(&self.table, &self.slots, MATCHED, shape, &self.health, now, 1);
        plan.complete(&self.table, &self.health, now);
        plan.ranked.sort_by_key(|one| one.target);
        plan.ranked.iter().map(|one| one.score).collect()
    }
}

fn near(remaining_ppm: u32, resets: Option<Tick>) -> Headroom {
    Headroom { remaining_ppm, resets }
}

#[test]
fn the_cheapest_comes_first_equals_share_by_weight_and_an_unknown_price_comes_last() {
    let weights = [1, 1, 3, 1].map(|weight| Spec { weight, ..Spec::default() });
    let mut world = of_specs(&weights, Balance::Cheapest);
    facts(&mut world.table.targets[0]).price = None;
    facts(&mut world.table.targets[3]).price = Some(price(9));
    facts(&mut world.table.targets[2]).price = facts(&mut world.table.targets[1]).price;
    let firsts = world.firsts(SHAPE, at(0), 4_000);
    assert_eq!((firsts[0], firsts[3]), (0, 0));
    assert!(firsts[1].abs_diff(1_000) < 150, "{firsts:?}");
    let targets: Vec<usize> = world.order(at(0), 1).iter().map(|(target, _)| *target).collect();
    assert_eq!(targets[2..], [3, 0], "what costs nobody knows how much is no bargain");
}

#[test]
fn what_a_target_usually_answers_is_part_of_its_cost_but_no_more_than_the_caller_takes() {
    let mut world = world(2, Balance::Cheapest);
    assert_eq!(world.first(SHAPE, at(0), 1), 0);
    // The one at a dollar is wordy: 100 + 4 × 1,000 against twice 100 + 4 × 100.
    let now = world.answer(0, (10, 1_000, 0), SHAPE, at(0));
    assert_eq!(world.first(SHAPE, now, 1), 0, "of the other nothing is known: as wordy");
    let now = world.answer(1, (10, 100, 0), SHAPE, now);
    assert_eq!(world.first(SHAPE, now, 1), 1);
    let short = |max_output| Shape { max_output, ..SHAPE };
    // 100 + 4 × 200 against twice 100 + 4 × 100: 900 against 1,000.
    assert_eq!(world.first(short(Some(200)), now, 1), 0);
    assert_eq!(world.firsts(short(Some(224)), now, 50)[1], 0);
    assert!(world.firsts(short(Some(225)), now, 50)[1] > 10, "the same");
    assert_eq!(world.firsts(short(Some(226)), now, 50)[0], 0);
    facts(&mut world.table.targets[0]).max_output = Some(200);
    assert_eq!(world.first(SHAPE, now, 1), 0, "nor than the model gives");
    let cost = world.scores(short(Some(200)), now)[0].cost;
    assert_eq!(cost, Some(crate::PicoUsd(900_000_000)));
}

#[test]
fn a_prompt_in_a_targets_cache_makes_it_the_cheapest_for_five_minutes() {
    let mut world = world(2, Balance::Cheapest);
    let shape = Shape {
        max_output: Some(1),
        ..conversation(7, false)
    };
    // The dearer one serves it, while the cheaper is away.
    let now = world.answer(1, (10, 1, 0), shape, at(0));
    let cached = Usage {
        cached_read: 900,
        input: 100,
        output: 1,
        ..Usage::default()
    };
    assert_eq!(world.scores(shape, now)[1].cached_ppm, 500_000, "not told yet: half of it");
    world.tell(1, Some(cached), None, shape, now);
    assert_eq!(world.scores(shape, now)[1].cached_ppm, 900_000);
    // 2 × (100 + 90) + 8 against 1,000 + 4.
    assert_eq!(world.first(shape, now, 1), 1);
    assert_eq!(world.first(shape, now.after(ms(300_000)), 1), 1);
    assert_eq!(
        world.first(shape, now.after(ms(300_001)), 1),
        0,
        "no cache is believed in for longer"
    );
    assert_eq!(world.first(conversation(8, false), now, 1), 0, "another conversation");
    world.table.routes[0].rules[0].balance = Balance::Weighted;
    assert!(world.firsts(shape, now, 100)[0] > 20, "it is a matter of cost alone");
}

#[test]
fn the_fastest_is_by_first_content_and_time_per_token_together() {
    let mut world = world(3, Balance::Fastest);
    let mut now = at(0);
    for _ in 0..5 {
        // Soon there but slow in talking; late but quick; neither.
        now = world.answer(0, (100, 200, 20), SHAPE, now);
        now = world.answer(1, (900, 200, 5), SHAPE, now);
        now = world.answer(2, (900, 200, 20), SHAPE, now);
    }
    let short = Shape {
        max_output: Some(10),
        ..SHAPE
    };
    assert_eq!(world.firsts(SHAPE, now, 50)[1], 50);
    assert_eq!(world.firsts(short, now, 50)[0], 50);
    let times: Vec<_> = world.scores(SHAPE, now).iter().map(|score| score.time.unwrap()).collect();
    assert_eq!(times, [ms(100 + 200 * 20), ms(900 + 200 * 5), ms(900 + 200 * 20)]);
    let unary = Shape { stream: false, ..SHAPE };
    let firsts = world.firsts(unary, now, 300);
    assert!(
        firsts.iter().all(|first| *first > 50),
        "of whole answers nothing is known: {firsts:?}"
    );
}

#[test]
fn an_unknown_target_counts_as_the_fastest_until_it_keeps_its_first_callers_waiting() {
    let mut world = world(2, Balance::Fastest);
    let mut now = at(0);
    for _ in 0..5 {
        now = world.answer(0, (200, 1, 0), SHAPE, now);
    }
    let firsts = world.firsts(SHAPE, now, 1_000);
    assert!(firsts[1].abs_diff(500) < 100, "{firsts:?}");
    world.hang(1, now);
    assert!(world.firsts(SHAPE, now.after(ms(200)), 1_000)[1] > 400);
    assert_eq!(
        world.firsts(SHAPE, now.after(ms(201)), 1_000)[1],
        0,
        "by now it is slower than that"
    );
}

#[test]
fn a_target_that_nobody_asked_for_a_minute_gets_one_call_in_twenty_and_none_while_it_is_down() {
    let mut world = world(3, Balance::Fastest);
    let mut now = at(0);
    for _ in 0..5 {
        now = world.answer(1, (400, 1, 0), SHAPE, now);
        now = world.answer(2, (500, 1, 0), SHAPE, now);
    }
    now = now.after(ms(50_000));
    for _ in 0..100 {
        now = world.answer(0, (200, 1, 0), SHAPE, now);
    }
    let firsts = world.firsts(SHAPE, now, 20_000);
    assert!((firsts[1] + firsts[2]).abs_diff(1_000) < 120, "both together: {firsts:?}");
    assert!(firsts[1].abs_diff(firsts[2]) < 120, "{firsts:?}");
    let mut fresh = now;
    for found_out in [false, false, true] {
        fresh = world.answer(1, (400, 1, 0), SHAPE, fresh);
        assert_eq!(world.firsts(SHAPE, fresh, 2_000)[1] == 0, found_out, "three answers make it known");
    }
    let down = world.feed(2, 3, ms(1), failed(), fresh);
    for now in [down, down.after(ms(300))] {
        // Later it is due for a probe, but it has its own place for that.
        assert_eq!(world.firsts(SHAPE, now, 2_000), [2_000, 0, 0]);
    }
}

#[test]
fn the_less_busy_for_its_weight_of_two_drawn_comes_first() {
    let specs = [1, 1, 2].map(|weight| Spec { weight, ..Spec::default() });
    let mut world = of_specs(&specs, Balance::LeastBusy);
    for (target, count) in [(0, 2), (1, 1), (2, 3)] {
        for _ in 0..count {
            world.hang(target, at(0));
        }
    }
    // By weight: 2, 1 and 1.5 in flight. The busiest is never the first of two, the least busy always is.
    let firsts = world.firsts(SHAPE, at(1), 4_000);
    assert_eq!(firsts[0], 0, "{firsts:?}");
    // Drawn with 1: 0 and 1; 1 and 2. Of 4: 0 first 1/4, then 1 1/3; 1 first 1/4; 2 first 1/2, then 1 1/2.
    assert!(firsts[1].abs_diff(4_000 * 7 / 12) < 150, "{firsts:?}");
    let mut idle = self::world(2, Balance::LeastBusy);
    assert!(idle.firsts(SHAPE, at(0), 1_000)[0].abs_diff(500) < 80, "as drawn");
    let now = idle.feed(0, 3, ms(1), failed(), at(0));
    idle.hang(1, now);
    assert_eq!(idle.firsts(SHAPE, now, 100), [0, 100], "nothing in flight because it is down");
    let mut three = self::world(3, Balance::LeastBusy);
    let now = three.feed(0, 3, ms(1), failed(), at(0));
    three.hang(1, now);
    assert_eq!(
        three.firsts(SHAPE, now, 100),
        [0, 0, 100],
        "the two are drawn among those that are well"
    );
}

#[test]
fn a_stream_keeps_its_target_busy_until_it_ends_however_that_is() {
    for how in [Ending::Whole, Ending::Broken, Ending::Left] {
        let mut world = self::world(2, Balance::LeastBusy);
        let slot = world.hang(0, at(0));
        let breaker = world.table.routes[0].breaker;
        let view = View {
            breaker: &breaker,
            lane: lane_of(SHAPE),
            reasoning: false,
        };
        world.health.end(&slot, &ok(), view, at(100));
        assert_eq!(world.scores(SHAPE, at(100))[0].in_flight, 1, "its answer has begun");
        assert_eq!(world.firsts(SHAPE, at(100), 100), [0, 100]);
        world.health.settle(slot, ending(how), at(1_000));
        assert_eq!(world.scores(SHAPE, at(1_000))[0].in_flight, 0, "{how:?}");
    }
}

#[test]
fn a_target_near_its_limit_stands_behind_those_with_room_until_the_reset() {
    for balance in [Balance::Weighted, Balance::Cheapest, Balance::Fastest, Balance::LeastBusy] {
        let mut specs = vec![Spec::default(); 2];
        specs.push(Spec {
            priority: 1,
            ..Spec::default()
        });
        let mut world = of_specs(&specs, balance);
        world.tell(0, None, near(99_999, Some(at(5_000))), SHAPE, at(0));
        let order = vec![(1, Reason::Kept), (0, Reason::NearLimit), (2, Reason::Kept)];
        assert!((0..50).all(|seed| world.order(at(4_999), seed) == order), "{balance:?}");
        assert!(world.firsts(SHAPE, at(5_000), 50)[0] > 0, "{balance:?}: there is more now");
        // Ten percent is room enough.
        world.tell(0, None, near(100_000, Some(at(60_000))), SHAPE, at(0));
        assert!(world.firsts(SHAPE, at(1), 50)[0] > 0, "{balance:?}");
        // All of the priority are near: then it is as good as any, and better than the next priority.
        for target in [0, 1] {
            world.tell(target, None, near(5, None), SHAPE, at(0));
        }
        assert_eq!(world.firsts(SHAPE, at(1), 50)[2], 0, "{balance:?}");
        assert_eq!(world.scores(SHAPE, at(9_999))[0].headroom_ppm, Some(5));
        assert_eq!(world.scores(SHAPE, at(10_000))[0].headroom_ppm, None, "no time was told");
        world.tell(0, None, near(5, Some(at(100_000_000))), SHAPE, at(0));
        assert_eq!(
            world.scores(SHAPE, at(600_000))[0].headroom_ppm,
            None,
            "no header is believed for days"
        );
    }
}

#[test]
fn room_that_cannot_be_used_puts_nobody_behind() {
    for balance in [Balance::Weighted, Balance::Cheapest, Balance::Fastest, Balance::LeastBusy] {
        // Beside one that is near its limit: one that only stands by, and one that fails.
        let weights = [1, 0, 1].map(|weight| Spec { weight, ..Spec::default() });
        let mut world = of_specs(&weights, balance);
        world.tell(0, None, near(5, None), SHAPE, at(0));
        world.feed(2, 3, ms(1), failed(), at(0));
        let order = world.order(at(10), 1);
        assert_eq!(order[0], (0, Reason::Kept), "{balance:?}");
        assert_eq!(order[1], (1, Reason::Standby), "{balance:?}");
    }
}

#[test]
fn a_call_that_only_its_origin_understands_returns_there_if_that_can_serve() {
    for balance in [Balance::Weighted, Balance::Cheapest, Balance::Fastest, Balance::LeastBusy] {
        let mut specs = vec![Spec::default(); 4];
        specs[3].priority = 1;
        let mut world = of_specs(&specs, balance);
        let now = world.answer(2, (4_000, 1, 0), conversation(7, true), at(0));
        assert_eq!(world.firsts(conversation(7, true), now, 50)[2], 50, "{balance:?}");
        world.tell(2, None, near(5, Some(now.after(ms(60_000)))), SHAPE, now);
        world.hang(2, now);
        assert_eq!(world.firsts(conversation(7, true), now, 50)[2], 50, "{balance:?}");
        assert!(world.firsts(conversation(7, false), now, 50)[2] < 50, "{balance:?}: not bound");
        assert!(world.firsts(conversation(8, true), now, 50)[2] < 50, "{balance:?}: from elsewhere");
        let late = now.after(ms(600_001));
        assert!(world.firsts(conversation(7, true), late, 50)[2] < 50, "{balance:?}: forgotten");
        let down = world.feed(2, 3, ms(1), failed(), now);
        assert_eq!(world.firsts(conversation(7, true), down, 50)[2], 0, "{balance:?}: it cannot serve");
        let probed = world.firsts(conversation(7, true), down.after(ms(300)), 50)[2];
        assert!(probed < 50, "{balance:?}: a probe is no service");
        // Served behind its back by the next priority: that is no reason to begin there.
        let now = world.answer(3, (10, 1, 0), conversation(7, true), at(0));
        assert_eq!(world.firsts(conversation(7, true), now, 50)[3], 0, "{balance:?}");
    }
}

#[test]
fn a_bound_call_stays_with_a_slow_origin() {
    let mut world = world(2, Balance::Weighted);
    world.table.routes[0].breaker = slow(SlowOf::FirstContent, ms(200));
    let mut now = at(0);
    for _ in 0..20 {
        now = world.answer(0, (300, 1, 0), conversation(7, true), now);
    }
    assert_eq!(world.firsts(SHAPE, now, 50), [0, 50]);
    assert_eq!(world.firsts(conversation(7, true), now, 50), [50, 0]);
}

#[test]
fn weight_zero_stands_by_whatever_the_balance() {
    for balance in [Balance::Cheapest, Balance::Fastest, Balance::LeastBusy] {
        let specs = [0, 1, 1].map(|weight| Spec { weight, ..Spec::default() });
        let mut world = of_specs(&specs, balance);
        assert_eq!(world.firsts(SHAPE, at(0), 100)[0], 0, "{balance:?}");
        for target in [0, 0, 0, 1, 2] {
            world.answer(target, (10, 1, 0), SHAPE, at(0));
        }
        assert_eq!(
            world.firsts(SHAPE, at(70_000), 1_000)[0],
            0,
            "{balance:?}: nobody need know how it is"
        );
        let mut now = world.feed(1, 3, ms(1), failed(), at(0));
        now = world.feed(2, 3, ms(1), failed(), now);
        assert_eq!(world.firsts(SHAPE, now, 100)[0], 100, "{balance:?}");
        let now = now.after(ms(1_000));
        world.answer(0, (10, 1, 0), conversation(7, true), now);
        for target in [1, 2] {
            world.feed(target, 3, ms(1), ok(), now);
        }
        let now = now.after(ms(5_000));
        assert_eq!(world.firsts(SHAPE, now, 100)[0], 0, "{balance:?}: they are back");
        assert_eq!(
            world.firsts(conversation(7, true), now, 100)[0],
            100,
            "{balance:?}: but what it began it ends"
        );
    }
}
