mod checks;
mod late;

use super::{arena::RETIRED, *};
use crate::{
    Breaker, SlowOf,
    testing::{Spec, at, chain, ending, ms, ring_key, slow, table},
};
use alloc::format;

mod streams;

/// One place in a table, asked with one breaker on the lane of short streams.
struct World {
    table: Table,
    health: Health,
    slots: Slots,
    breaker: Breaker,
    reasoning: bool,
}

const LANE: usize = 1;

impl World {
    fn new(specs: &[Spec]) -> Self {
        let table = table(specs);
        let mut health = Health::new();
        let slots = health.attach(&table, &|_| false, at(0));
        Self {
            table,
            health,
            slots,
            breaker: Breaker::default(),
            reasoning: false,
        }
    }

    fn grade(&mut self, target: usize, now: Tick) -> Grade {
        self.review(target, now).grade
    }

    fn review(&mut self, target: usize, now: Tick) -> Standing {
        let breaker = self.breaker;
        self.health.review(&self.slots, target, view(&breaker, self.reasoning), now)
    }

    fn send(&mut self, target: usize, now: Tick) -> Slot {
        self.review(target, now);
        let slot = self.slots.slot(target, 0, LANE, false, now).unwrap();
        self.health.begin(&slot, None, now);
        slot
    }

    fn probe(&mut self, target: usize, now: Tick) -> Slot {
        assert!(self.review(target, now).due, "no probe at {now:?}");
        let slot = self.slots.slot(target, 0, LANE, true, now).unwrap();
        self.health.begin(&slot, Some(now.after(ms(500))), now);
        slot
    }

    fn end(&mut self, slot: Slot, class: Class, now: Tick) {
        let breaker = self.breaker;
        self.health.end(&slot, &Outcome::of(class), view(&breaker, self.reasoning), now);
    }

    /// `count` attempts one after another, each of `took`.
    fn run(&mut self, target: usize, count: u64, took: u64, class: Class, from: Tick) -> Tick {
        (0..count).fold(from, |now, _| {
            let slot = self.send(target, now);
            let end = now.after(ms(took));
            self.end(slot, class, end);
            if class == Class::Ok {
                self.health.settle(slot, ending(Ending::Left), end);
            }
            end
        })
    }

    fn state(&self, target: usize, now: Tick) -> TargetState {
        self.health.view(&self.table, &self.slots, &self.breaker, target, now).state
    }
}

fn view(breaker: &Breaker, reasoning: bool) -> View<'_> {
    View {
        breaker,
        lane: LANE,
        reasoning,
    }
}

#[test]
fn three_failures_in_a_row_take_a_target_out_and_two_do_not() {
    let mut world = World::new(&chain(1));
    let now = world.run(0, 2, 10, Class::Reset, at(0));
    assert_eq!(world.grade(0, now), Grade::Up);
    let now = world.run(0, 1, 10, Class::Connect, now);
    assert_eq!(world.grade(0, now), Grade::Down);
    // A rate that says nothing leaves it to the streak.
    let mut world = World::new(&chain(1));
    world.breaker.error_rate_ppm = Some(500_000);
    let mut now = at(0);
    for _ in 0..50 {
        now = world.run(0, 2, 10, Class::Reset, now);
        now = world.run(0, 8, 10, Class::Ok, now);
    }
    assert_eq!(world.grade(0, now), Grade::Up, "twenty of a hundred, never three in a row");
}

#[test]
fn a_failure_rate_takes_a_target_out_from_ten_attempts_on() {
    let mut world = World::new(&chain(1));
    let mut now = at(0);
    for n in 0..9 {
        now = world.run(0, 1, 10, if n % 2 == 0 { Class::ServerError } else { Class::Ok }, now);
    }
    assert_eq!(world.grade(0, now), Grade::Up);
    now = world.run(0, 1, 10, Class::Ok, now);
    assert_eq!(world.grade(0, now), Grade::Down);
    let tolerant = Breaker {
        error_rate_ppm: Some(600_000),
        ..Breaker::default()
    };
    let standing = world.health.standing(&world.slots, 0, view(&tolerant, false), now);
    assert_eq!(standing.grade, Grade::Up, "another route bears more");
}

#[test]
fn what_is_not_the_targets_fault_never_takes_it_out() {
    for class in Class::ALL {
        let fault = matches!(
            class,
            Class::Connect | Class::Timeout | Class::Reset | Class::Overloaded | Class::ServerError | Class::BadResponse
        );
        let mut world = World::new(&chain(1));
        let now = world.run(0, 30, 10, class, at(0));
        assert_eq!(world.grade(0, now) == Grade::Down, fault, "{class:?}");
        let view = world.health.view(&world.table, &world.slots, &world.breaker, 0, now);
        let counted = fault || class == Class::Ok;
        assert_eq!(view.samples > 0, counted, "{class:?}");
    }
}

#[test]
fn a_stale_connection_is_held_against_nobody() {
    let mut world = World::new(&chain(1));
    for n in 0..5 {
        let slot = world.send(0, at(n));
        let outcome = Outcome {
            stale: true,
            ..Outcome::of(Class::Reset)
        };
        let breaker = world.breaker;
        world.health.end(&slot, &outcome, view(&breaker, false), at(n));
    }
    assert_eq!(world.grade(0, at(5)), Grade::Up);
    assert_eq!(world.health.view(&world.table, &world.slots, &world.breaker, 0, at(5)).in_flight, 0);
}

#[test]
fn calls_that_hang_make_a_target_suspect_while_no_clock_has_run_out() {
    let mut world = World::new(&chain(1));
    let start = world.run(0, 40, 100, Class::Ok, at(0));
    for n in 0..3 {
        world.send(0, start.after(ms(n * 10)));
    }
    assert_eq!(world.grade(0, start.after(ms(270))), Grade::Up, "the floor is 250 ms");
    assert_eq!(world.grade(0, start.after(ms(271))), Grade::Down);
    assert_eq!(world.state(0, start.after(ms(272))), TargetState::Open);
}

#[test]
fn one_that_started_later_and_finished_in_time_clears_those_that_wait() {
    let mut world = World::new(&chain(1));
    let start = world.run(0, 200, 100, Class::Ok, at(0));
    for n in 0..3 {
        world.send(0, start.after(ms(n)));
    }
    world.run(0, 1, 100, Class::Ok, start.after(ms(50)));
    assert_eq!(world.grade(0, start.after(ms(5_000))), Grade::Up);
    for n in 0..3 {
        world.send(0, start.after(ms(5_000 + n)));
    }
    world.run(0, 1, 4_000, Class::Ok, start.after(ms(5_010)));
    assert_eq!(world.grade(0, start.after(ms(9_010))), Grade::Down, "a late finisher clears nobody");
}

#[test]
fn an_attempt_that_ends_is_in_flight_no_more() {
    let mut world = World::new(&chain(1));
    let start = world.run(0, 40, 100, Class::Ok, at(0));
    let slots: Vec<Slot> = (0..3).map(|n| world.send(0, start.after(ms(n)))).collect();
    world.end(slots[1], Class::Cancelled, start.after(ms(200)));
    assert_eq!(world.grade(0, start.after(ms(9_000))), Grade::Up, "two are too few");
}

#[test]
fn unlearnt_patience_is_the_routes_threshold_and_ten_times_that_for_reasoning() {
    let rows = [
        (Breaker::default(), false, 2_000),
        (Breaker::default(), true, 20_000),
        (slow(SlowOf::FirstContent, ms(700)), false, 700),
        (slow(SlowOf::FirstContent, ms(700)), true, 7_000),
        (slow(SlowOf::PerToken, ms(30)), false, 2_000),
    ];
    for (breaker, reasoning, patience) in rows {
        let mut world = World::new(&chain(1));
        (world.breaker, world.reasoning) = (breaker, reasoning);
        for _ in 0..3 {
            world.send(0, at(0));
        }
        assert_eq!(world.grade(0, at(patience)), Grade::Up, "{patience}");
        assert_eq!(world.grade(0, at(patience + 1)), Grade::Down, "{patience}");
    }
}

#[test]
fn a_target_whose_answers_are_long_does_not_stay_suspect() {
    let mut world = World::new(&chain(1));
    let slots: Vec<Slot> = (0..3).map(|n| world.send(0, at(n))).collect();
    assert_eq!(world.grade(0, at(3_000)), Grade::Down, "two seconds and nothing learnt");
    for slot in slots {
        world.end(slot, Class::Ok, at(8_000));
    }
    for n in 0..3 {
        let slot = world.probe(0, at(8_000 + n * 8_000));
        world.end(slot, Class::Ok, at(16_000 + n * 8_000));
    }
    for n in 0..3 {
        world.send(0, at(40_000 + n));
    }
    assert_eq!(world.grade(0, at(47_000)), Grade::Up, "eight seconds are usual here");
}

#[test]
fn what_was_learnt_in_trouble_is_not_taken_for_usual() {
    let mut world = World::new(&chain(1));
    let start = world.run(0, 40, 100, Class::Ok, at(0));
    let slots: Vec<Slot> = (0..30).map(|n| world.send(0, start.after(ms(n)))).collect();
    assert_eq!(world.grade(0, start.after(ms(400))), Grade::Down);
    for slot in slots {
        world.end(slot, Class::Ok, start.after(ms(6_000)));
    }
    let breaker = world.breaker;
    let patience = world
        .health
        .patience(&world.slots, 0, view(&breaker, false), start.after(ms(6_000)));
    assert_eq!(patience, ms(250), "six seconds were seen, but not while all was well");
}

#[test]
fn three_good_probes_bring_a_target_back_and_a_bad_one_starts_over() {
    let mut world = World::new(&chain(1));
    let mut now = world.run(0, 3, 10, Class::Reset, at(0));
    assert!(!world.review(0, now).due);
    now = now.after(ms(250));
    for class in [Class::Ok, Class::Ok, Class::Reset] {
        let slot = world.probe(0, now);
        assert!(!world.review(0, now.after(ms(5))).due, "one at a time");
        assert_eq!(world.state(0, now), TargetState::HalfOpen);
        now = now.after(ms(10));
        world.end(slot, class, now);
    }
    assert_eq!(world.state(0, now), TargetState::Open);
    now = now.after(ms(500));
    for _ in 0..3 {
        assert_eq!(world.grade(0, now), Grade::Down);
        let slot = world.probe(0, now);
        now = now.after(ms(10));
        world.end(slot, Class::Ok, now);
    }
    let standing = world.review(0, now);
    assert_eq!((standing.grade, standing.share), (Grade::Up, 250_000));
    assert_eq!(world.review(0, now.after(ms(3_000))).share, 1_000_000);
}

#[test]
fn what_was_under_way_before_neither_ends_a_probation_nor_spoils_it() {
    let mut world = World::new(&chain(1));
    let early: Vec<Slot> = (0..5).map(|n| world.send(0, at(n))).collect();
    let mut now = world.run(0, 3, 10, Class::Reset, at(10));
    for slot in &early[..4] {
        world.end(*slot, Class::Ok, now);
    }
    assert_eq!(world.grade(0, now), Grade::Down);
    now = now.after(ms(250));
    for n in 0..3 {
        if n == 2 {
            world.end(early[4], Class::Reset, now);
        }
        let slot = world.probe(0, now);
        now = now.after(ms(10));
        world.end(slot, Class::Ok, now);
    }
    assert_eq!(world.grade(0, now), Grade::Up);
}

#[test]
fn what_still_hangs_is_not_held_against_a_target_that_came_back() {
    let mut world = World::new(&chain(1));
    let start = world.run(0, 40, 100, Class::Ok, at(0));
    for n in 0..3 {
        world.send(0, start.after(ms(n)));
    }
    let mut now = start.after(ms(300));
    assert_eq!(world.grade(0, now), Grade::Down);
    now = now.after(ms(250));
    for _ in 0..3 {
        // Later than usual, but before its time is over.
        let slot = world.probe(0, now);
        now = now.after(ms(400));
        world.end(slot, Class::Ok, now);
    }
    assert_eq!(world.grade(0, now.after(ms(9_000))), Grade::Up);
}

#[test]
fn attempts_whose_end_got_lost_are_forgotten_after_an_hour() {
    let mut world = World::new(&chain(1));
    for n in 0..3 {
        world.send(0, at(n));
    }
    world.send(0, at(10).after(Duration::from_hours(1)));
    assert_eq!(world.health.in_flight(&world.slots, 0).2, 1);
}

#[test]
fn gaps_between_failed_probes_double_to_five_seconds_and_relapse_goes_on_with_them() {
    let mut world = World::new(&chain(1));
    let mut now = world.run(0, 3, 0, Class::Reset, at(0));
    let gap = |world: &mut World, from: Tick| (0..6_000).find(|n| world.review(0, from.after(ms(*n))).due).unwrap();
    for most in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000] {
        let waited = gap(&mut world, now);
        assert!(waited <= most && waited >= most * 3 / 4, "{waited} of {most}");
        now = now.after(ms(waited));
        let slot = world.probe(0, now);
        world.end(slot, Class::Connect, now);
    }
    now = now.after(ms(5_000));
    now = world.run(0, 3, 10, Class::Ok, now);
    assert_eq!(world.grade(0, now), Grade::Up);
    now = world.run(0, 1, 10, Class::Reset, now);
    assert_eq!(world.grade(0, now), Grade::Down, "on its way back one in four is too many");
    assert!(gap(&mut world, now) >= 3_700);
}

#[test]
fn a_probe_that_tells_nothing_neither_heals_nor_harms() {
    let mut world = World::new(&chain(1));
    let mut now = world.run(0, 3, 10, Class::Reset, at(0)).after(ms(250));
    for class in [Class::RateLimited, Class::ClientError, Class::Cancelled, Class::Auth] {
        let slot = world.probe(0, now);
        world.end(slot, class, now.after(ms(1)));
        now = now.after(ms(2));
        assert_eq!(world.grade(0, now), Grade::Down);
    }
    assert!(world.review(0, now).due);
}

#[test]
fn a_lost_probe_does_not_bar_the_next_for_ever() {
    let mut world = World::new(&chain(1));
    let now = world.run(0, 3, 10, Class::Reset, at(0)).after(ms(250));
    world.probe(0, now);
    assert!(!world.review(0, now.after(ms(700))).due);
    assert!(world.review(0, now.after(ms(751))).due);
}

#[test]
fn evidence_older_than_ten_minutes_is_none() {
    let mut world = World::new(&chain(1));
    let now = world.run(0, 30, 10, Class::Reset, at(0));
    assert_eq!(world.grade(0, now.after(Duration::from_mins(9))), Grade::Down);
    assert_eq!(world.grade(0, now.after(Duration::from_mins(11))), Grade::Up);
}

#[test]
fn slow_is_by_each_routes_own_threshold() {
    let mut world = World::new(&chain(1));
    let now = world.run(0, 20, 300, Class::Ok, at(0));
    for (threshold, grade) in [(299, Grade::Slow), (300, Grade::Up)] {
        let breaker = slow(SlowOf::FirstContent, ms(threshold));
        let standing = world.health.standing(&world.slots, 0, view(&breaker, false), now);
        assert_eq!((standing.grade, standing.latency), (grade, Some(ms(300))));
    }
}

#[test]
fn a_slow_target_comes_back_when_probes_are_fast_and_gradually() {
    let mut world = World::new(&chain(1));
    world.breaker = slow(SlowOf::FirstContent, ms(200));
    let mut now = world.run(0, 20, 300, Class::Ok, at(0));
    assert_eq!(world.grade(0, now), Grade::Slow);
    now = now.after(ms(250));
    let slot = world.probe(0, now);
    assert!(!world.review(0, now.after(ms(200))).due, "one at a time");
    now = now.after(ms(300));
    world.end(slot, Class::Ok, now);
    assert_eq!(world.state(0, now), TargetState::Slow, "that one was no faster");
    now = now.after(ms(500));
    for _ in 0..3 {
        assert_eq!(world.grade(0, now), Grade::Slow);
        let slot = world.probe(0, now);
        now = now.after(ms(50));
        world.end(slot, Class::Ok, now);
    }
    let standing = world.review(0, now);
    assert_eq!((standing.grade, standing.latency, standing.share), (Grade::Up, None, 250_000));
}

#[test]
fn lanes_keep_short_and_long_streamed_and_whole_apart() {
    let lanes = [(0, 0), (4_095, 0), (4_096, 1), (32_767, 1), (32_768, 2), (u32::MAX, 2)];
    for (prompt_tokens, class) in lanes {
        for stream in [false, true] {
            let model = "m";
            let shape = crate::Shape {
                model,
                stream,
                prompt_tokens,
                needs: crate::Needs::NONE,
                max_output: None,
                affinity: None,
            };
            let lane = lane_of(shape);
            assert_eq!(lane, 2 * class + usize::from(stream), "{prompt_tokens}");
            let (from, of_streams) = lane::kind_of(lane);
            assert!(from <= prompt_tokens && of_streams == stream, "{prompt_tokens}");
        }
    }
}

#[test]
fn overload_lasts_as_long_as_told_but_a_minute_at_most() {
    let mut world = World::new(&chain(1));
    for (told, until) in [(3_000, 3_000), (600_000, 60_001)] {
        let slot = world.send(0, at(0));
        let breaker = world.breaker;
        let outcome = Outcome {
            until: Some(at(told)),
            ..Outcome::of(Class::Overloaded)
        };
        world.health.end(&slot, &outcome, view(&breaker, false), at(1));
        assert_eq!(world.grade(0, at(until - 1)), Grade::Overloaded(at(until)));
        assert_eq!(world.state(0, at(until - 1)), TargetState::Overloaded);
        assert_eq!(world.grade(0, at(until)), Grade::Up);
    }
}

#[test]
fn a_rate_limit_rests_the_pair_and_grows_once_a_round() {
    let mut world = World::new(&chain(1));
    let bar = |world: &World, now| world.health.bars(&world.slots, 0, now).next().unwrap();
    let mut now = at(0);
    for rest in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        let slots: Vec<Slot> = (0..5).map(|_| world.send(0, now)).collect();
        for slot in slots {
            world.end(slot, Class::RateLimited, now);
        }
        assert_eq!(
            bar(&world, now),
            Bar::Until(now.after(ms(rest))),
            "five refused together are one round"
        );
        now = now.after(ms(rest));
        assert_eq!(bar(&world, now), Bar::Free);
    }
    world.run(0, 1, 0, Class::Ok, now);
    world.run(0, 1, 0, Class::RateLimited, now);
    assert_eq!(bar(&world, now), Bar::Until(now.after(ms(1_000))));
    assert_eq!(world.grade(0, now), Grade::Up, "not the target's outage");
}

#[test]
fn a_refused_key_stays_refused_until_its_id_is_gone() {
    let mut world = World::new(&chain(1));
    world.run(0, 1, 0, Class::Auth, at(0));
    let bars = |world: &World, now| world.health.bars(&world.slots, 0, now).collect::<Vec<_>>();
    let later = at(0).after(Duration::from_hours(100));
    assert_eq!(bars(&world, later), [Bar::Never]);
    world.slots = world.health.attach(&world.table, &|_| false, later);
    assert_eq!(bars(&world, later), [Bar::Never], "the same bytes");
    world.table.providers[0].ring[0] = ring_key("ns/p0/k0.2");
    world.slots = world.health.attach(&world.table, &|_| false, later);
    assert_eq!(bars(&world, later), [Bar::Free], "rotated");
}

#[test]
fn a_refused_key_is_refused_at_every_model_and_a_limited_one_at_its_own() {
    let mut both = table(&chain(2));
    both.targets[1].provider = 0;
    both.targets[1].model = TargetModel::AsAsked {
        facts: alloc::collections::BTreeMap::default(),
    };
    for (class, other) in [
        (Class::RateLimited, Bar::Free),
        (Class::Auth, Bar::Never),
        (Class::Quota, Bar::Until(at(600_000))),
    ] {
        let mut world = World::new(&chain(1));
        world.slots = world.health.attach(&both, &|_| false, at(0));
        world.run(0, 1, 0, class, at(0));
        assert_eq!(world.health.bars(&world.slots, 1, at(0)).next(), Some(other), "{class:?}");
    }
}

#[test]
fn without_keys_the_target_plays_the_key_and_a_refusal_passes() {
    let keyless = Spec {
        keys: 0,
        ..Spec::default()
    };
    for (class, until) in [(Class::Auth, 1_000), (Class::Quota, 600_000)] {
        let mut world = World::new(core::slice::from_ref(&keyless));
        world.run(0, 1, 0, class, at(0));
        assert_eq!(
            world.health.bars(&world.slots, 0, at(0)).collect::<Vec<_>>(),
            [Bar::Until(at(until))]
        );
    }
}

#[test]
fn a_reload_forgets_nothing() {
    let mut world = World::new(&chain(2));
    let now = world.run(1, 3, 10, Class::Reset, at(0));
    // The targets change places, and a route goes: identity is the place and the model.
    world.table.targets.swap(0, 1);
    world.table.routes.clear();
    world.slots = world.health.attach(&world.table, &|_| false, now);
    assert_eq!(world.grade(0, now), Grade::Down);
    assert_eq!(world.grade(1, now), Grade::Up);
    for (change, what) in [("host", 0), ("path", 1), ("port", 2)] {
        let mut moved = world.table.clone();
        for provider in &mut moved.providers {
            match what {
                0 => provider.origin.host.push('x'),
                1 => provider.path.push_str("/x"),
                _ => provider.origin.port += 1,
            }
        }
        world.slots = world.health.attach(&moved, &|_| false, now);
        assert_eq!(world.grade(0, now), Grade::Up, "another {change} is another place");
    }
}

#[test]
fn what_no_table_names_is_dropped_after_ten_minutes_and_its_slots_find_nothing() {
    let mut world = World::new(&chain(2));
    let empty = Table::default();
    let running = world.send(0, at(0));
    let (old, hour) = (world.slots.clone(), Duration::from_hours(1));
    world.health.attach(&empty, &|_| false, at(0).after(hour));
    assert_eq!(world.health.sites.len(), 2, "in use until a moment ago");
    let eleven = at(0).after(hour + Duration::from_mins(11));
    world.health.attach(&empty, &|_| false, eleven);
    assert_eq!(
        (world.health.sites.len(), world.health.pairs.len(), world.health.keys.len()),
        (0, 0, 0)
    );
    world.slots = world.health.attach(&world.table, &|_| false, eleven);
    world.end(running, Class::Auth, eleven);
    assert_eq!(
        world.health.bars(&world.slots, 0, eleven).next(),
        Some(Bar::Free),
        "an old slot harms no successor"
    );
    assert_eq!(
        world.health.standing(&old, 0, view(&Breaker::default(), false), eleven),
        Standing::UNKNOWN
    );
}

#[test]
fn reloads_in_quick_succession_do_not_pile_up() {
    let mut world = World::new(&chain(1));
    for n in 0..3_000u64 {
        world.table.providers[0].ring[0] = ring_key(&format!("ns/p0/k.{n}"));
        world.health.attach(&world.table, &|_| false, at(n));
    }
    assert!(world.health.keys.len() <= RETIRED + 2, "{}", world.health.keys.len());
    assert!(world.health.pairs.len() <= RETIRED + 2);
    assert_eq!(world.health.sites.len(), 1);
}

#[test]
fn the_view_shows_what_is_known() {
    let specs = [Spec {
        keys: 4,
        ..Spec::default()
    }];
    let mut world = World::new(&specs);
    let now = world.run(0, 20, 100, Class::Ok, at(0));
    world.run(0, 1, 0, Class::ServerError, now);
    world.run(0, 1, 0, Class::Auth, now);
    for (key, class) in [(1, Class::Quota), (2, Class::RateLimited)] {
        let slot = world.slots.slot(0, key, LANE, false, now).unwrap();
        world.health.begin(&slot, None, now);
        world.end(slot, class, now);
    }
    world.send(0, now);
    world.slots = world.health.attach(&world.table, &|key| key == "ns/p0/k3.1", now);
    let shown = world.health.view(&world.table, &world.slots, &world.breaker, 0, now);
    assert_eq!((shown.p50, shown.p95, shown.p99), (Some(ms(100)), Some(ms(100)), Some(ms(100))));
    assert_eq!((shown.errors_ppm, shown.samples, shown.in_flight), (Some(47_619), 21, 1));
    let states: Vec<KeyState> = shown.keys.iter().map(|(_, state)| *state).collect();
    let until = |time| now.after(time);
    assert_eq!(
        states,
        [
            KeyState::Refused,
            KeyState::Spent(until(Duration::from_mins(10))),
            KeyState::Limited(until(ms(1_000))),
            KeyState::Pending
        ]
    );
    let nothing = world.health.view(&world.table, &world.slots, &world.breaker, 9, now);
    assert_eq!(
        (nothing.state, nothing.p50, nothing.errors_ppm),
        (TargetState::KeyPending, None, None)
    );
    let names: Vec<&str> = TargetState::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(names, ["closed", "slow", "open", "half_open", "overloaded", "key_pending"]);
}
