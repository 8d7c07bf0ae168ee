use super::*;
use crate::{
    health::arena::Arena,
    testing::{at, ms},
};

/// Names of two places.
fn places() -> (Id, Id) {
    let mut arena = Arena::new();
    (arena.name(0, 1, at(0), |_| ()), arena.name(1, 1, at(0), |_| ()))
}

#[test]
fn a_million_conversations_take_no_more_room_than_four_thousand() {
    let (here, _) = places();
    let mut memory = Memory::default();
    assert_eq!(memory.len(), (0, 0), "none, no room");
    for key in 0..1_000_000u64 {
        memory.remember(seed::mix(key, 9), here, at(key));
    }
    assert_eq!(memory.len(), (4_096, 4_096));
    let now = at(1_000_000);
    let known = |key: u64| memory.last(seed::mix(key, 9), now).is_some();
    let late = (999_000..1_000_000).filter(|key| known(*key)).count();
    assert!(late > 990, "the oldest go first: {late}");
    assert!(!(0..900_000).any(known));
}

#[test]
fn a_conversation_is_where_it_was_served_last_for_ten_minutes() {
    let (here, there) = places();
    let mut memory = Memory::default();
    memory.remember(1, here, at(0));
    memory.remember(1, there, at(5));
    memory.remember(2, here, at(5));
    assert_eq!(
        (memory.last(1, at(600_005)), memory.last(2, at(600_005))),
        (Some(there), Some(here))
    );
    assert_eq!(memory.last(1, at(600_006)), None);
    assert_eq!(memory.len().0, 2);
}

#[test]
fn a_cold_cache_tells_nothing_of_the_next_call_and_a_warm_one_all() {
    let (here, there) = places();
    let mut memory = Memory::default();
    memory.remember(1, here, at(0));
    memory.learn(1, here, 0, at(1));
    assert_eq!(memory.cached(1, here, at(2)), UNTOLD, "the first call found nothing there");
    assert_eq!(memory.cached(1, there, at(2)), 0);
    memory.learn(1, there, 900_000, at(3));
    assert_eq!(memory.cached(1, there, at(4)), 0, "a late word from where it was before");
    memory.remember(1, here, at(10));
    memory.learn(1, here, 0, at(11));
    assert_eq!(
        memory.cached(1, here, at(12)),
        0,
        "the second found nothing either: it does not cache"
    );
    memory.learn(1, here, 800_000, at(13));
    assert_eq!(memory.cached(1, here, at(13).after(WARM)), 800_000);
    assert_eq!(memory.cached(1, here, at(13).after(WARM).after(ms(1))), 0);
    memory.remember(1, here, at(900_000));
    assert_eq!(memory.cached(1, here, at(900_000)), UNTOLD, "what was known is of another time");
}
