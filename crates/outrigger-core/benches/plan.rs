//! What it costs to rank a call's candidates, with everything learnt that can be: `cargo bench -p outrigger-core`.
//!
//! `plan` must stay within 1 µs for ten targets and within 10 µs for sixteen with twelve keys each, however they share. `whole` also ranks
//! those that a call without trouble never needs; `call` is all that such a call pays: plan, first attempt, its end.

use criterion::{Criterion, criterion_group, criterion_main};
use outrigger_core::{
    Attempt, Attempts, Auth, Balance, Breaker, Candidate, Class, Dialect, Dispatch, Ending, Health, Learnt, Match, Matched, ModelFacts,
    ModelPattern, Needs, Origin, Outcome, PicoUsd, Plan, Price, Provider, Quirks, RingKey, Route, Rule, Scheme, Shape, Slots, SlowOf,
    SlowRule, Step, StreamEnd, Table, Target, TargetModel, Tick, Timeouts, Usage, plan,
};
use std::{hint::black_box, time::Duration};

const SHAPE: Shape<'static> = Shape {
    model: "m",
    stream: true,
    prompt_tokens: 600,
    needs: Needs::NONE,
    max_output: Some(512),
    affinity: None,
};

struct World {
    table: Table,
    health: Health,
    slots: Slots,
    now: Tick,
}

fn main_rule() -> Matched {
    Matched { route: 0, rule: 0 }
}

fn breaker() -> Breaker {
    Breaker {
        slow: Some(SlowRule {
            of: SlowOf::FirstContent,
            quantile_ppm: 950_000,
            threshold: Duration::from_secs(2),
        }),
        error_rate_ppm: None,
    }
}

/// Rule 0 has every target, rule `n + 1` only target `n`.
fn table(targets: usize, keys: usize, chain: bool, balance: Balance) -> Table {
    let provider = |at: usize| Provider {
        label: format!("p{at}"),
        provider: "custom".into(),
        dialect: Dialect::OpenAi,
        origin: Origin {
            scheme: Scheme::Https,
            host: format!("p{at}.test"),
            port: 443,
        },
        path: "/v1".into(),
        headers: vec![],
        ca_pem: None,
        auth: Auth::ApiKey,
        ring: (0..keys)
            .map(|key| RingKey {
                name: format!("k{key}"),
                id: format!("ns/p{at}/k{key}.1"),
                weight: 1,
            })
            .collect(),
        passthrough: vec![],
        quirks: Quirks::default(),
        regions: vec![],
        data_policy: outrigger_core::DataPolicy::default(),
        health_check: None,
    };
    let target = |at: usize| Target {
        provider: at,
        model: TargetModel::Fixed {
            name: "m".into(),
            facts: ModelFacts {
                context_window: Some(200_000),
                price: Some(Price {
                    input: PicoUsd(1_000_000),
                    output: PicoUsd(4_000_000),
                    cached_read: None,
                    cache_write: None,
                }),
                max_output: Some(8_192),
                ..ModelFacts::default()
            },
        },
        label: format!("p{at}/m"),
    };
    let candidate = |at: usize, priority: usize| Candidate {
        target: at,
        priority: u32::try_from(priority).unwrap_or(0),
        weight: 1,
        timeouts: Timeouts::default(),
    };
    let rule = |name: String, candidates| Rule {
        name,
        when: Match::default(),
        candidates,
        balance,
    };
    let all = (0..targets).map(|at| candidate(at, if chain { at } else { 0 })).collect();
    let mut rules = vec![rule("all".into(), all)];
    rules.extend((0..targets).map(|at| rule(format!("only-{at}"), vec![candidate(at, 0)])));
    Table {
        namespace: "ns".into(),
        providers: (0..targets).map(provider).collect(),
        targets: (0..targets).map(target).collect(),
        routes: vec![Route {
            namespace: "ns".into(),
            name: "r".into(),
            models: vec![ModelPattern {
                name: "m".into(),
                prefix: false,
            }],
            baseline: None,
            rules,
            attempts: Attempts::default(),
            breaker: breaker(),
            residency: None,
        }],
    }
}

impl World {
    /// Ten minutes and more of even traffic to every target: all windows are full.
    fn new(targets: usize, keys: usize, chain: bool, balance: Balance) -> Self {
        let table = table(targets, keys, chain, balance);
        let mut health = Health::new();
        let slots = health.attach(&table, &|_| false, Tick(0));
        let now = Tick(0);
        let mut world = Self { table, health, slots, now };
        for n in 0..1_500u64 {
            for target in 0..targets {
                world.serve(
                    Matched {
                        route: 0,
                        rule: target + 1,
                    },
                    n,
                );
            }
            world.now = world.now.after(Duration::from_millis(50));
        }
        world
    }

    fn plan(&self, matched: Matched, seed: u64) -> Plan {
        plan(&self.table, &self.slots, matched, SHAPE, &self.health, self.now, seed)
    }

    fn begin(&mut self, matched: Matched, seed: u64) -> (Dispatch, Option<Attempt>) {
        let plan = self.plan(matched, seed);
        let (attempts, breaker) = (Attempts::default(), breaker());
        let deadline = self.now.after(Duration::from_mins(1));
        let mut dispatch = Dispatch::new(plan, attempts, breaker, deadline, seed);
        let step = dispatch.next(&self.table, &mut self.health, self.now);
        let attempt = if let Step::Send(attempt) = step { Some(attempt) } else { None };
        (dispatch, attempt)
    }

    fn serve(&mut self, matched: Matched, seed: u64) {
        let (mut dispatch, Some(attempt)) = self.begin(matched, seed) else {
            return;
        };
        let content = self.now.after(Duration::from_millis(100 + seed % 100));
        dispatch.observe(&mut self.health, attempt.id, Outcome::of(Class::Ok), content);
        let end = StreamEnd {
            how: Ending::Whole,
            output_tokens: 200,
            since_first: Duration::from_secs(2),
        };
        self.health.settle(attempt.slot, end, content.after(end.since_first));
        let usage = Usage {
            input: 600,
            output: end.output_tokens,
            ..Usage::default()
        };
        let learnt = Learnt {
            usage: Some(usage),
            headroom: None,
        };
        self.health.learn(attempt.slot, learnt, content.after(end.since_first));
    }
}

fn bench(c: &mut Criterion) {
    for (targets, keys) in [(10, 2), (16, 12)] {
        for (arranged, chain, balance) in [
            ("chain", true, Balance::Weighted),
            ("shared", false, Balance::Weighted),
            ("cheapest", false, Balance::Cheapest),
            ("fastest", false, Balance::Fastest),
            ("busy", false, Balance::LeastBusy),
        ] {
            let mut world = World::new(targets, keys, chain, balance);
            let name = format!("{targets}x{keys}-{arranged}");
            let mut seed = 0u64;
            let mut next = || {
                seed = seed.wrapping_add(1);
                black_box(seed)
            };
            c.bench_function(&format!("plan/{name}"), |b| b.iter(|| world.plan(main_rule(), next())));
            c.bench_function(&format!("whole/{name}"), |b| {
                b.iter(|| {
                    let mut plan = world.plan(main_rule(), next());
                    plan.complete(&world.table, &world.health, world.now);
                    plan
                });
            });
            c.bench_function(&format!("call/{name}"), |b| {
                b.iter(|| {
                    let (mut dispatch, attempt) = world.begin(main_rule(), next());
                    if let Some(attempt) = attempt {
                        dispatch.observe(&mut world.health, attempt.id, Outcome::of(Class::Ok), world.now);
                    }
                    dispatch
                });
            });
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
