//! Worlds in which the cheapest answer is wanted, while targets come and go.

use super::{
    Arrivals, Callers, Credit, Key, Kind, Site, Spell, Trouble, World,
    table::{Terms, table},
};
use crate::random::Random;
use outrigger_core::{Balance, ModelFacts, PicoUsd, Price, Tick, Timeouts};
use std::time::Duration;

const LENGTH: Duration = Duration::from_mins(2);

pub(super) fn draw(seed: u64, random: &mut Random) -> World {
    let sidecars = 1 + random.size(3);
    let gap = random.millis(200 * sidecars as u64, 2_500);
    let arrivals = match random.below(4) {
        0 => Arrivals::Even(gap),
        1 => Arrivals::Bursts(5, gap * 5),
        _ => Arrivals::Poisson(gap),
    };
    let sites: Vec<Site> = (0..2 + random.size(3)).map(|provider| site(random, provider)).collect();
    let rings: Vec<Vec<Key>> = sites.iter().map(|_| ring(random)).collect();
    let terms = Terms {
        balance: Balance::Cheapest,
        ..Terms::default()
    };
    World {
        seed,
        kind: Kind::Cheapest,
        sidecars,
        arrivals,
        length: LENGTH,
        tables: vec![table(&rings, &sites, &terms, false)],
        rings,
        sites,
        callers: Callers {
            patience: None,
            hang_ups: 0,
            needs: 0,
            conversations: random.pick(&[0, 500]),
            mistakes: 0,
            mixed: true,
        },
        reload: Tick(u64::MAX),
    }
}

fn ring(random: &mut Random) -> Vec<Key> {
    let mut key = |_| {
        let credit = match random.below(8) {
            0 => Credit::Dead(Tick(0).after(random.time(LENGTH))),
            1 => Credit::Metered(random.pick(&[1, 2, 4]), random.pick(&[2, 4, 8]), true),
            _ => Credit::Good,
        };
        Key { weight: 1, credit }
    };
    (0..3).map(&mut key).collect()
}

fn site(random: &mut Random, provider: usize) -> Site {
    let median = random.millis(60, 800);
    // From ten cents to ten dollars per million tokens of the prompt.
    let input = PicoUsd(random.between(1, 100) * 100_000);
    let price = Price {
        input,
        output: PicoUsd(input.0 * random.between(3, 5)),
        cached_read: random.chance(500).then_some(PicoUsd(input.0 / 10)),
        cache_write: None,
    };
    Site {
        provider,
        priority: 0,
        weight: 1,
        facts: ModelFacts {
            context_window: random.pick(&[None, Some(128_000), Some(16_000)]),
            price: Some(price),
            ..ModelFacts::default()
        },
        timeouts: Timeouts {
            first_token: Duration::from_secs(20),
            response: Duration::from_secs(40),
            ..Timeouts::default()
        },
        first: [median, median * 3 / 2, median * 2],
        sigma: 0.4,
        tail: 5,
        per_token: Duration::from_millis(5),
        errors: random.pick(&[0, 5]),
        stale: 5,
        spells: spells(random),
    }
}

fn spells(random: &mut Random) -> Vec<Spell> {
    let mut spells = Vec::new();
    let mut from = Tick(0).after(random.millis(0, 90_000));
    while from.since(Tick(0)) < LENGTH {
        let until = from.after(random.millis(3_000, 25_000));
        let told = Some(Duration::from_secs(2));
        spells.push(Spell {
            from,
            until,
            back: random.pick(&[Duration::ZERO, Duration::from_secs(3)]),
            trouble: random.pick(&[
                Trouble::Refuse,
                Trouble::NoConnection,
                Trouble::Hang,
                Trouble::Error,
                Trouble::Overloaded(told),
                Trouble::Empty,
                Trouble::Limited(told),
                Trouble::Limited(None),
            ]),
        });
        from = until.after(random.millis(20_000, 90_000));
    }
    spells
}
