use super::*;

impl World {
    /// `count` checks, ten seconds apart and over at once.
    fn check(&mut self, count: u64, answered: bool, from: Tick) -> Tick {
        (0..count).fold(from, |now, _| {
            self.health.checked(&self.slots, 0, answered, now, now);
            now.after(ms(10_000))
        })
    }
}

#[test]
fn three_unanswered_checks_take_a_target_out_and_three_answered_ones_bring_it_back() {
    let mut world = World::new(&chain(1));
    let now = world.check(2, false, at(0));
    assert_eq!(world.grade(0, now), Grade::Up);
    let now = world.check(1, false, now);
    assert_eq!(world.grade(0, now), Grade::Down);
    let shown = world.health.view(&world.table, &world.slots, &world.breaker, 0, now);
    assert_eq!((shown.unanswered, shown.samples), (3, 0), "they are no attempts");
    let now = world.check(2, true, now);
    assert_eq!(world.grade(0, now), Grade::Down);
    world.check(1, true, now);
    let standing = world.review(0, now);
    assert_eq!((standing.grade, standing.share), (Grade::Up, 250_000), "and gradually");
    let shown = world.health.view(&world.table, &world.slots, &world.breaker, 0, now);
    assert_eq!(shown.unanswered, 0);
}

#[test]
fn answered_checks_break_the_row_of_unanswered_ones() {
    let mut world = World::new(&chain(1));
    let mut now = at(0);
    for _ in 0..20 {
        now = world.check(2, false, now);
        now = world.check(1, true, now);
    }
    assert_eq!(world.grade(0, now), Grade::Up);
}

#[test]
fn a_target_whose_calls_succeed_is_not_taken_out_by_checks() {
    let mut world = World::new(&chain(1));
    let mut now = at(0);
    for _ in 0..20 {
        now = world.check(2, false, now);
        now = world.run(0, 1, 10, Class::Ok, now);
    }
    assert_eq!(world.grade(0, now), Grade::Up);
}

#[test]
fn an_answered_check_does_not_hide_failing_calls() {
    let mut world = World::new(&chain(1));
    let mut now = at(0);
    for _ in 0..2 {
        now = world.run(0, 1, 10, Class::ServerError, now);
        now = world.check(1, true, now);
    }
    now = world.run(0, 1, 10, Class::ServerError, now);
    assert_eq!(world.grade(0, now), Grade::Down);
}

#[test]
fn where_calls_took_a_target_out_the_last_word_is_a_calls() {
    for (class, grade) in [(Class::Ok, Grade::Up), (Class::ServerError, Grade::Down)] {
        let mut world = World::new(&chain(1));
        let now = world.run(0, 3, 10, Class::ServerError, at(0));
        let now = world.check(10, true, now);
        assert_eq!(world.grade(0, now), Grade::Down);
        assert_eq!(world.state(0, now), TargetState::HalfOpen);
        let slot = world.probe(0, now);
        world.end(slot, class, now.after(ms(10)));
        assert_eq!(world.grade(0, now.after(ms(10))), grade, "one call is enough: {class:?}");
    }
}

#[test]
fn a_call_brings_back_what_checks_took_out() {
    let mut world = World::new(&chain(1));
    let mut now = world.check(3, false, at(0));
    for _ in 0..3 {
        let slot = world.probe(0, now);
        now = now.after(ms(10));
        world.end(slot, Class::Ok, now);
    }
    assert_eq!(world.grade(0, now), Grade::Up);
    world.check(2, false, now);
    assert_eq!(world.grade(0, now), Grade::Up, "it begins anew");
}

#[test]
fn calls_that_fail_too_make_it_a_matter_of_calls() {
    let mut world = World::new(&chain(1));
    let now = world.check(3, false, at(0));
    let now = world.run(0, 3, 10, Class::Connect, now);
    let now = world.check(5, true, now);
    assert_eq!(world.grade(0, now), Grade::Down);
}

#[test]
fn an_unanswered_check_keeps_a_target_down_and_the_probe_of_a_call_alone() {
    let mut world = World::new(&chain(1));
    let mut now = world.run(0, 3, 10, Class::Connect, at(0));
    // Far longer than what calls have told is believed.
    for _ in 0..100 {
        now = world.check(1, false, now);
    }
    assert_eq!(world.grade(0, now), Grade::Down);
    let slot = world.probe(0, now);
    world.check(1, false, now);
    assert!(!world.review(0, now.after(ms(400))).due, "one at a time");
    world.end(slot, Class::Connect, now.after(ms(400)));
}

#[test]
fn a_check_that_was_sent_before_the_trouble_tells_nothing_of_it() {
    let mut world = World::new(&chain(1));
    let now = world.run(0, 3, 10, Class::Connect, at(1_000));
    for _ in 0..3 {
        world.health.checked(&world.slots, 0, true, at(0), now);
    }
    assert_eq!(world.state(0, now), TargetState::Open);
}

#[test]
fn a_target_is_deserted_while_it_is_down_and_nobody_asks() {
    let mut world = World::new(&chain(2));
    let deserted = |world: &World, now| world.health.deserted(&world.slots, 0, ms(15_000), now);
    assert!(!deserted(&world, at(20_000)), "it is up");
    let now = world.run(0, 3, 10, Class::Connect, at(0));
    assert!(!deserted(&world, now.after(ms(14_999))), "calls have just told");
    let later = now.after(ms(15_000));
    assert!(deserted(&world, later));
    let slot = world.probe(0, later);
    assert!(!deserted(&world, later.after(ms(400))), "a call is there");
    world.end(slot, Class::Connect, later.after(ms(400)));
    let later = later.after(ms(400));
    assert!(!deserted(&world, later.after(ms(14_999))), "a call has told again");
    assert!(!deserted(&world, later.after(Duration::from_mins(11))), "it is forgotten");
    assert!(!world.health.deserted(&world.slots, 1, ms(0), now), "another target");
    assert!(!world.health.deserted(&world.slots, 9, ms(0), now), "no target");
}

#[test]
fn checks_of_a_deserted_target_end_when_they_have_told_what_they_can() {
    let mut world = World::new(&chain(1));
    let mut now = world.run(0, 3, 10, Class::Connect, at(0)).after(ms(15_000));
    for left in [true, false] {
        world.health.checked(&world.slots, 0, true, now, now);
        now = now.after(ms(15_000));
        assert_eq!(world.health.deserted(&world.slots, 0, ms(15_000), now), left);
    }
    let slot = world.probe(0, now);
    world.end(slot, Class::Connect, now);
    assert!(
        world.health.deserted(&world.slots, 0, ms(15_000), now.after(ms(15_000))),
        "a call found it down still"
    );
}

#[test]
fn one_unanswered_check_does_not_bring_a_forgotten_outage_back() {
    let mut world = World::new(&chain(1));
    let now = world.run(0, 3, 10, Class::Connect, at(0)).after(Duration::from_mins(11));
    let now = world.check(1, false, now);
    assert_eq!(world.grade(0, now), Grade::Up);
    let now = world.check(2, false, now);
    assert_eq!(world.grade(0, now), Grade::Down);
}

#[test]
fn a_check_takes_the_first_key_that_may_be_sent() {
    let keys = |keys| World::new(&[Spec { keys, ..Spec::default() }]);
    let mut world = keys(2);
    assert_eq!(world.health.first_key(&world.slots, 0, at(0)), Some(0));
    world.run(0, 1, 0, Class::Auth, at(0));
    assert_eq!(world.health.first_key(&world.slots, 0, at(1)), Some(1));
    world.slots = world.health.attach(&world.table, &|_| true, at(1));
    assert_eq!(world.health.first_key(&world.slots, 0, at(1)), None, "bytes on their way");
    let keyless = keys(0);
    assert_eq!(keyless.health.first_key(&keyless.slots, 0, at(0)), Some(0));
}

#[test]
fn answered_checks_say_nothing_of_a_target_that_fails_a_share_of_its_calls() {
    let mut world = World::new(&chain(1));
    let mut now = at(0);
    for class in [Class::Ok, Class::ServerError].into_iter().cycle().take(20) {
        now = world.run(0, 1, 10, class, now);
    }
    assert_eq!(world.grade(0, now), Grade::Down);
    let later = now.after(ms(15_000));
    assert!(!world.health.deserted(&world.slots, 0, ms(15_000), later));
    let later = world.check(10, true, later);
    let slot = world.probe(0, later);
    world.end(slot, Class::Ok, later);
    assert_eq!(world.grade(0, later), Grade::Down, "it takes calls");
}
