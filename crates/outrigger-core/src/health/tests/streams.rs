//! How streams tell of their target after their first content.

use super::*;

#[test]
fn time_per_token_and_whole_streams_are_learnt_when_a_stream_ends() {
    for (of, threshold, expected) in [(SlowOf::PerToken, 40, 50), (SlowOf::Total, 1_000, 1_090)] {
        let mut world = World::new(&chain(1));
        world.breaker = slow(of, ms(threshold));
        for n in 0..20 {
            let slot = world.send(0, at(n));
            world.end(slot, Class::Ok, at(n + 100));
            let end = StreamEnd {
                how: Ending::Whole,
                output_tokens: 21,
                since_first: ms(1_000),
            };
            world.health.settle(slot, end, at(n + 1_090));
        }
        let standing = world.review(0, at(1_200));
        assert_eq!((standing.grade, standing.latency), (Grade::Slow, Some(ms(expected))), "{of:?}");
    }
}

#[test]
fn streams_that_break_midway_take_a_target_out() {
    let mut world = World::new(&chain(1));
    for n in 0..10 {
        let slot = world.send(0, at(n * 20));
        world.end(slot, Class::Ok, at(n * 20 + 10));
        world.health.settle(slot, ending(Ending::Broken), at(n * 20 + 15));
    }
    assert_eq!(world.grade(0, at(200)), Grade::Down);
}

impl World {
    /// A stream whose content comes after 10 ms and which ends so 10 ms later.
    fn stream(&mut self, probe: bool, how: Ending, now: Tick) -> Tick {
        let slot = self.slots.slot(0, 0, LANE, probe, now).unwrap();
        self.health.begin(&slot, probe.then(|| now.after(ms(500))), now);
        let content = now.after(ms(10));
        self.end(slot, Class::Ok, content);
        let end = StreamEnd {
            since_first: ms(10),
            ..ending(how)
        };
        self.health.settle(slot, end, content.after(ms(10)));
        content.after(ms(10))
    }

    /// The next moment at which a probe is due.
    fn due(&mut self, mut now: Tick) -> Tick {
        while !self.review(0, now).due {
            now = now.after(ms(1));
        }
        now
    }
}

#[test]
fn once_streams_break_midway_their_first_content_does_not_bring_a_target_back() {
    let mut world = World::new(&chain(1));
    let mut now = world.run(0, 40, 100, Class::Ok, at(0));
    for _ in 0..4 {
        now = world.stream(false, Ending::Broken, now);
    }
    assert_eq!(
        world.grade(0, now),
        Grade::Down,
        "the first counted with its content, the three after it with their ends"
    );
    // Each probe brings content and breaks: the gaps grow as for any that fails.
    let mut gaps = Vec::new();
    for _ in 0..8 {
        let due = world.due(now);
        gaps.push(due.since(now));
        now = world.stream(true, Ending::Broken, due);
        assert_eq!(world.grade(0, now), Grade::Down);
    }
    assert!(gaps[7] > ms(3_700), "{gaps:?}");
    // Whole streams bring it back, one probe at a time, and one that its client leaves says nothing.
    let due = world.due(now);
    let slot = world.slots.slot(0, 0, LANE, true, due).unwrap();
    world.health.begin(&slot, Some(due.after(ms(500))), due);
    world.end(slot, Class::Ok, due.after(ms(10)));
    assert!(!world.review(0, due.after(ms(20_000))).due, "it has not ended");
    world.health.settle(slot, ending(Ending::Left), due.after(ms(20_000)));
    now = due.after(ms(20_000));
    assert!(world.review(0, now).due, "the next may find out");
    for left in [2, 1, 0] {
        now = world.stream(true, Ending::Whole, now);
        assert_eq!(world.grade(0, now) == Grade::Down, left > 0, "{left} to come");
    }
}

#[test]
fn a_minute_without_a_broken_stream_and_content_counts_again() {
    let mut world = World::new(&chain(1));
    let now = world.stream(false, Ending::Broken, at(0));
    for (wait, counted) in [(59_000, 0), (61_000, 1)] {
        let now = now.after(ms(wait));
        let before = world.health.view(&world.table, &world.slots, &world.breaker, 0, now).samples;
        let slot = world.send(0, now);
        world.end(slot, Class::Ok, now);
        let after = world.health.view(&world.table, &world.slots, &world.breaker, 0, now).samples;
        assert_eq!(after - before, counted, "{wait} ms later");
        world.health.settle(slot, ending(Ending::Left), now);
    }
}
