//! What ends late: attempts of a time that is over.

use super::*;
use crate::testing::ending;

/// A target that comes back by three good probes, the first of them `rest` from now.
fn return_it(world: &mut World, rest: u64, now: Tick) -> Tick {
    (0..3).fold(now.after(ms(rest)), |now, _| {
        let slot = world.probe(0, now);
        let end = now.after(ms(50));
        world.end(slot, Class::Ok, end);
        end
    })
}

#[test]
fn what_an_outage_left_hanging_is_not_held_against_a_target_that_came_back() {
    let mut world = World::new(&chain(1));
    let start = world.run(0, 40, 100, Class::Ok, at(0));
    let hung = [0; 5].map(|_| world.send(0, start));
    let now = start.after(ms(300));
    assert_eq!(world.grade(0, now), Grade::Down);
    let mut now = return_it(&mut world, 250, now);
    for slot in hung {
        now = now.after(ms(500));
        world.end(slot, Class::Timeout, now);
        assert_eq!(world.grade(0, now), Grade::Up);
    }
    let broken = world.send(0, now);
    world.end(broken, Class::Ok, now.after(ms(100)));
    for _ in 0..3 {
        world.health.settle(Slot { started: start, ..broken }, ending(Ending::Broken), now);
    }
    assert_eq!(world.grade(0, now), Grade::Up, "streams that broke off in the outage");
    world.run(0, 3, 100, Class::Timeout, now);
    assert_eq!(world.grade(0, now.after(ms(300))), Grade::Down, "what begins after it counts");
}

#[test]
fn slow_answers_of_before_do_not_make_a_target_slow_again() {
    let mut world = World::new(&chain(1));
    world.breaker = slow(SlowOf::FirstContent, ms(200));
    let now = world.run(0, 20, 300, Class::Ok, at(0));
    assert_eq!(world.grade(0, now), Grade::Slow);
    let late = [0; 20].map(|_| world.send(0, now));
    let now = return_it(&mut world, 250, now);
    for slot in late {
        world.end(slot, Class::Ok, now);
    }
    let standing = world.review(0, now);
    assert_eq!((standing.grade, standing.latency), (Grade::Up, None));
    let now = world.run(0, 20, 300, Class::Ok, now);
    assert_eq!(world.grade(0, now), Grade::Slow, "what begins after it counts");
}

#[test]
fn a_route_that_bears_more_does_not_end_another_routes_way_back() {
    let mut world = World::new(&chain(1));
    let (strict, lenient) = (slow(SlowOf::FirstContent, ms(200)), slow(SlowOf::FirstContent, ms(1_000)));
    world.breaker = strict;
    let now = world.run(0, 20, 300, Class::Ok, at(0)).after(ms(250));
    assert!(world.review(0, now).due);
    world.breaker = lenient;
    assert_eq!(world.grade(0, now), Grade::Up);
    world.breaker = strict;
    assert!(world.review(0, now).due, "it has waited for its probe already");
}
