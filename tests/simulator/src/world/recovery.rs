//! Worlds with one incident: how soon is a provider back in use that is well again, and is it spared a rush?

use super::{
    Arrivals, Callers, Credit, Key, Kind, Site, Spell, Trouble, World,
    table::{Terms, table},
};
use crate::random::Random;
use outrigger_core::{Attempts, Breaker, ModelFacts, SlowOf, SlowRule, Tick, Timeouts};
use std::time::Duration;

/// When the incident begins: by then all that can be learnt is learnt.
const FROM: Duration = Duration::from_secs(25);
/// How long the provider is watched when it is well again.
const WATCHED: Duration = Duration::from_secs(25);

pub(super) fn draw(seed: u64, random: &mut Random) -> World {
    let sidecars = 1 + random.size(5);
    // Up to 20 calls a second by all of them together; one world in eight is thinner than what is measured.
    let gap = if random.chance(125) {
        random.millis(3_000, 12_000)
    } else {
        random.millis(50 * sidecars as u64, 1_000)
    };
    let arrivals = match random.below(5) {
        0 | 1 => Arrivals::Even(gap),
        2 | 3 => Arrivals::Poisson(gap),
        _ => Arrivals::Bursts(6, gap * 6),
    };
    let trouble = trouble(random);
    let from = Tick(0).after(FROM);
    let spell = Spell {
        from,
        until: from.after(random.millis(2_000, 40_000)),
        back: random.pick(&[Duration::ZERO, Duration::from_secs(3), Duration::from_secs(10)]),
        trouble,
    };
    let shared = random.chance(400);
    let mut sites: Vec<Site> = (0..2 + random.size(2)).map(|at| site(at, shared, random)).collect();
    sites[0].spells.push(spell);
    if seed % 32 == 5 {
        // There is nobody else.
        sites.truncate(1);
    }
    let key = Key {
        weight: 1,
        credit: Credit::Good,
    };
    let rings = vec![vec![key; 1 + random.size(2)]; sites.len()];
    let rule = SlowRule {
        of: SlowOf::FirstContent,
        quantile_ppm: 950_000,
        threshold: Duration::from_secs(2),
    };
    let slow = matches!(trouble, Trouble::Slow(_)) || random.chance(500);
    let terms = Terms {
        attempts: Attempts {
            max: random.pick(&[2, 3, 4, 6]),
            ..Attempts::default()
        },
        breaker: Breaker {
            slow: slow.then_some(rule),
            error_rate_ppm: None,
        },
        ..Terms::default()
    };
    World {
        seed,
        kind: Kind::Recovery,
        sidecars,
        arrivals,
        length: spell.over().since(Tick(0)) + WATCHED,
        tables: vec![table(&rings, &sites, &terms, false)],
        rings,
        sites,
        callers: Callers {
            patience: random.pick(&[None, None, Some((20_000, 120_000))]),
            hang_ups: 0,
            needs: 0,
            conversations: 0,
            mistakes: 0,
            mixed: random.chance(400),
        },
        reload: Tick(u64::MAX),
    }
}

fn trouble(random: &mut Random) -> Trouble {
    let some_time = random.millis(200, 5_000);
    match random.below(11) {
        0 => Trouble::Refuse,
        1 => Trouble::NoConnection,
        2 | 3 => Trouble::Hang,
        4 => Trouble::Error,
        5 => Trouble::Overloaded(random.chance(500).then_some(some_time)),
        6 => random.pick(&[Trouble::Empty, Trouble::Reset]),
        7 => Trouble::Limited(Some(some_time)),
        8 | 9 => Trouble::Slow(Duration::from_secs(6)),
        _ => Trouble::Flaky(random.between(400, 950)),
    }
}

/// `shared`: the first two share the traffic, else all stand in a row.
fn site(at: usize, shared: bool, random: &mut Random) -> Site {
    let median = random.millis(60, 500);
    let priority = if shared { at.saturating_sub(1) } else { at };
    Site {
        provider: at,
        priority: u32::try_from(priority).unwrap_or(u32::MAX),
        weight: random.pick(&[1, 1, 3]),
        facts: ModelFacts::default(),
        timeouts: Timeouts {
            first_token: random.pick(&[Duration::from_secs(10), Duration::from_mins(1)]),
            ..Timeouts::default()
        },
        first: [median, median * 3 / 2, median * 2],
        sigma: 0.3,
        tail: random.pick(&[0, 5]),
        per_token: Duration::from_millis(5),
        errors: random.pick(&[0, 5]),
        stale: random.pick(&[0, 5]),
        spells: vec![],
    }
}
