//! Worlds in which most things fail. Retries are likely, clocks cross deadlines, and every rule of the attempt loop has its turn.

use super::{
    Arrivals, Callers, Credit, Key, Kind, Site, Spell, Trouble, World,
    table::{Terms, table},
};
use crate::random::Random;
use outrigger_core::{Attempts, Balance, Breaker, DataPolicy, ModelFacts, PicoUsd, Price, Residency, SlowOf, SlowRule, Tick, Timeouts};
use std::time::Duration;

pub(super) fn draw(seed: u64, random: &mut Random) -> World {
    let sidecars = 1 + random.size(3);
    let length = random.millis(4_000, 16_000);
    // Some 100 calls, however many sidecars there are.
    let gap = random.millis(60, 250) * u32::try_from(sidecars).unwrap_or(1);
    let arrivals = match random.below(4) {
        0 => Arrivals::Even(gap),
        1 => Arrivals::Bursts(8, gap * 8),
        _ => Arrivals::Poisson(gap),
    };
    let providers = 1 + random.size(4);
    let rings: Vec<Vec<Key>> = (0..providers).map(|_| ring(random, length)).collect();
    let mut sites: Vec<Site> = (0..providers).map(|provider| site(random, provider, length)).collect();
    if random.chance(300) {
        // A second model at a place that is there already.
        let provider = random.size(providers - 1);
        sites.push(site(random, provider, length));
    }
    if random.chance(600)
        && let Some(last) = sites.last_mut()
    {
        // The last resort: behind every priority, and often elsewhere.
        last.priority = 9;
    }
    let terms = terms(random, providers);
    let reload = if random.chance(300) {
        random.millis(0, 16_000)
    } else {
        Duration::MAX
    };
    World {
        seed,
        kind: Kind::Storm,
        sidecars,
        arrivals,
        length,
        tables: [false, true].map(|renewed| table(&rings, &sites, &terms, renewed)).into(),
        rings,
        sites,
        callers: Callers {
            patience: Some(random.pick(&[(20, 2_000), (200, 6_000), (2_000, 12_000)])),
            hang_ups: random.pick(&[0, 100]),
            needs: random.pick(&[0, 0, 200]),
            conversations: random.pick(&[0, 400]),
            mistakes: random.pick(&[0, 20]),
            mixed: random.chance(500),
        },
        reload: Tick(0).after(reload),
    }
}

fn ring(random: &mut Random, length: Duration) -> Vec<Key> {
    let (serving, standing_by) = (random.size(3), random.size(2));
    let mut key = |at: usize| {
        let from = Tick(0).after(random.time(length));
        let told = random.chance(500).then(|| random.millis(100, 3_000));
        let credit = match random.below(10) {
            0 | 1 => Credit::Dead(from),
            2 => Credit::Spent(from, told),
            3..6 => Credit::Metered(random.pick(&[1, 2, 5, 20]), random.pick(&[1, 2, 5]), random.chance(500)),
            _ => Credit::Good,
        };
        Key {
            weight: if at < serving { random.pick(&[1, 1, 5]) } else { 0 },
            credit,
        }
    };
    (0..serving + standing_by).map(&mut key).collect()
}

fn site(random: &mut Random, provider: usize, length: Duration) -> Site {
    let known = |random: &mut Random| random.pick(&[None, Some(true), Some(true), Some(false)]);
    let median = random.millis(5, 800);
    let price = PicoUsd(random.between(1, 50) * 100_000);
    let facts = ModelFacts {
        context_window: random.pick(&[None, Some(2_000), Some(8_000), Some(128_000), Some(128_000)]),
        max_output: random.pick(&[None, None, Some(1_000), Some(16_000)]),
        price: random.chance(800).then_some(Price {
            input: price,
            output: PicoUsd(price.0 * 4),
            cached_read: None,
            cache_write: None,
        }),
        reasoning: random.chance(100),
        tools: known(random),
        vision: known(random),
        json_schema: known(random),
    };
    Site {
        provider,
        priority: random.pick(&[0, 1, 2]),
        weight: random.pick(&[0, 1, 1, 5]),
        facts,
        timeouts: Timeouts {
            connect: random.millis(100, 2_000),
            response: random.millis(300, 5_000),
            first_token: random.millis(300, 5_000),
            between_tokens: random.millis(300, 3_000),
            total: random.millis(500, 20_000),
        },
        first: [median, median * 2, median * 4],
        sigma: random.pick(&[0.2, 0.5, 1.0]),
        tail: random.pick(&[0, 20]),
        per_token: random.pick(&[Duration::from_micros(500), Duration::from_millis(5), Duration::from_millis(20)]),
        errors: random.pick(&[0, 10, 100]),
        stale: random.pick(&[0, 50, 300]),
        spells: spells(random, length),
    }
}

/// Ill for most of the time.
fn spells(random: &mut Random, length: Duration) -> Vec<Spell> {
    let mut spells = Vec::new();
    let mut from = Tick(0).after(random.millis(0, 2_000));
    while from.since(Tick(0)) < length {
        let until = from.after(random.millis(300, 6_000));
        let back = random.pick(&[Duration::ZERO, Duration::from_secs(1)]);
        spells.push(Spell {
            from,
            until,
            back,
            trouble: trouble(random),
        });
        from = until.after(back.max(random.pick(&[Duration::ZERO, Duration::from_millis(500), Duration::from_secs(3)])));
    }
    spells
}

fn trouble(random: &mut Random) -> Trouble {
    let told = random.chance(500).then(|| random.millis(50, 3_000));
    match random.below(16) {
        0 | 1 => Trouble::Refuse,
        2 => Trouble::NoConnection,
        3 | 4 => Trouble::Hang,
        5 | 6 => Trouble::Error,
        7 => Trouble::Overloaded(told),
        8 => Trouble::Empty,
        9 => Trouble::Reset,
        10 | 11 => Trouble::Limited(told),
        12 => Trouble::Slow(random.millis(500, 6_000)),
        13 => Trouble::Flaky(random.between(200, 900)),
        14 => Trouble::Midway,
        _ => random.pick(&[Trouble::Window, Trouble::Content, Trouble::Unsuited]),
    }
}

fn terms(random: &mut Random, providers: usize) -> Terms {
    let base = random.millis(10, 300);
    let slow = SlowRule {
        of: random.pick(&[SlowOf::FirstContent, SlowOf::Total, SlowOf::PerToken]),
        quantile_ppm: random.pick(&[500_000, 950_000]),
        threshold: random.millis(5, 3_000),
    };
    let residency = Residency {
        regions: random.pick(&[vec![], vec!["eu".to_string()]]),
        retention_ms: random.pick(&[None, None, Some(0), Some(86_400_000)]),
        no_training: random.chance(250),
    };
    let place = |random: &mut Random| {
        let regions: &[&str] = random.pick(&[&["eu"][..], &["eu"], &["eu", "us"], &["us"], &[]]);
        let policy = DataPolicy {
            retention_ms: random.pick(&[Some(0), Some(0), Some(86_400_000), Some(2_592_000_000), None]),
            training: random.pick(&[Some(false), Some(false), Some(true), None]),
        };
        (regions.iter().map(ToString::to_string).collect(), policy)
    };
    Terms {
        balance: random.pick(&[Balance::Weighted, Balance::Cheapest, Balance::Fastest, Balance::LeastBusy]),
        attempts: Attempts {
            max: random.pick(&[1, 2, 3, 4, 5, 6]),
            backoff_base: base,
            backoff_max: base * 4,
            content_policy_moves_on: random.chance(500),
        },
        breaker: Breaker {
            slow: random.chance(500).then_some(slow),
            error_rate_ppm: random.pick(&[None, Some(50_000), Some(500_000)]),
        },
        residency: random.chance(600).then_some(residency),
        tier: (providers > 1 && random.chance(200)).then_some(4_096),
        places: (0..providers).map(|_| place(random)).collect(),
    }
}
