//! Calls that a target has failed make a pause and take their turn there.

use super::*;
use crate::testing::ring_key;
use alloc::format;

/// A target that gets a call every 100 ms and answers each.
fn steady(keys: usize) -> (World, Tick) {
    let mut world = World::new(&chain(1));
    world.table.providers[0].ring = (0..keys).map(|key| ring_key(&format!("k{key}"))).collect();
    world.slots = world.health.attach(&world.table, &|_| false, at(0));
    let now = (0..100).fold(at(0), |now, _| {
        let mut request = world.request(now, DEADLINE);
        request.send(now);
        request.end(Class::Ok, now.after(ms(20)));
        now.after(ms(100))
    });
    (world, now)
}

/// So many calls, 100 ms apart, that all fail at the same moment: how long after it each comes again, or nothing where it is given up.
fn again(world: &mut World, calls: u64, class: Class, now: Tick) -> Vec<Option<Duration>> {
    let mut dispatches: Vec<Dispatch> = Vec::new();
    for call in 0..calls {
        let now = now.after(ms(call * 100));
        let mut request = world.request(now, DEADLINE);
        request.send(now);
        dispatches.push(request.dispatch);
    }
    let end = now.after(ms(calls * 100));
    for dispatch in &mut dispatches {
        dispatch.observe(&mut world.health, crate::AttemptId(0), Outcome::of(class), end);
    }
    let mut next = |dispatch: &mut Dispatch| {
        let mut then = end;
        // A pause first, then the turn.
        loop {
            match dispatch.next(&world.table, &mut world.health, then) {
                Step::WaitUntil(until) => then = until,
                Step::Send(_) => return Some(then.since(end)),
                Step::Cancel(_) | Step::Finish(_) => return None,
            }
        }
    };
    dispatches.iter_mut().map(&mut next).collect()
}

#[test]
fn those_whom_the_only_target_failed_do_not_all_come_again_at_once() {
    let (mut world, now) = steady(1);
    let mut waits: Vec<Duration> = again(&mut world, 12, Class::Reset, now).into_iter().flatten().collect();
    assert_eq!(waits.len(), 12);
    waits.sort_unstable();
    for (at, pair) in waits.windows(2).enumerate().skip(3) {
        assert!(pair[1].saturating_sub(pair[0]) >= ms(100), "{at}: {waits:?}");
    }
}

#[test]
fn one_that_fails_among_many_good_ones_comes_again_after_its_pause() {
    let (mut world, now) = steady(1);
    let waits = again(&mut world, 1, Class::Reset, now);
    assert!(waits[0].is_some_and(|wait| wait <= ms(100)), "{waits:?}");
}

#[test]
fn where_more_wait_than_two_seconds_take_the_rest_is_given_up() {
    let (mut world, now) = steady(1);
    let waits = again(&mut world, 100, Class::Timeout, now);
    let given_up = waits.iter().filter(|wait| wait.is_none()).count();
    assert!((78..=84).contains(&given_up), "{given_up}");
    assert!(waits.iter().flatten().all(|wait| *wait < ms(2_300)), "{waits:?}");
}

#[test]
fn another_key_of_a_target_that_fails_takes_its_turn_and_one_after_a_refused_key_does_not() {
    for (class, at_once) in [(Class::ServerError, 3), (Class::RateLimited, 12), (Class::Auth, 12)] {
        let (mut world, now) = steady(24);
        let waits = again(&mut world, 12, class, now);
        let soon = waits.iter().flatten().filter(|wait| **wait <= ms(10)).count();
        assert!(soon == at_once, "{class:?}: {waits:?}");
    }
}

#[test]
fn a_call_that_has_failed_elsewhere_takes_no_turn() {
    let mut world = World::new(&chain(2));
    for _ in 0..50 {
        let mut request = world.request(at(0), DEADLINE);
        assert_eq!(request.target(at(0)), 0);
        request.end(Class::Cancelled, at(1));
        let Step::Send(attempt) = request.next(at(1)) else {
            panic!("it waits")
        };
        assert_eq!(attempt.target, 1);
        request.end(Class::Cancelled, at(1));
    }
}

#[test]
fn pauses_of_many_calls_lie_anywhere_between_half_and_all_of_the_back_off() {
    let pauses: Vec<Duration> = (0..1_000).map(|seed| super::pause(&Attempts::default(), 1, seed)).collect();
    let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
    assert!(*least >= ms(50) && *least < ms(55), "{least:?}");
    assert!(*most <= ms(100) && *most > ms(95), "{most:?}");
}
