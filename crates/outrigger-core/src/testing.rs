//! Tables for tests.

use crate::{
    Attempts, Auth, Balance, Breaker, Candidate, DataPolicy, Dialect, Ending, Match, ModelFacts, ModelPattern, Origin, PicoUsd, Price,
    Provider, Quirks, RingKey, Route, Rule, Scheme, SlowOf, SlowRule, StreamEnd, Table, Target, TargetModel, Tick, Timeouts,
};
use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::time::Duration;

/// A candidate with a target and provider of its own.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) priority: u32,
    pub(crate) weight: u32,
    /// Keys of the provider; 0 = it has none.
    pub(crate) keys: usize,
    /// Further keys that stand by.
    pub(crate) standby: usize,
    pub(crate) window: Option<u32>,
    pub(crate) reasoning: bool,
    pub(crate) regions: &'static [&'static str],
    pub(crate) data_policy: DataPolicy,
    pub(crate) facts: ModelFacts,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            priority: 0,
            weight: 1,
            keys: 1,
            standby: 0,
            window: None,
            reasoning: false,
            regions: &[],
            data_policy: DataPolicy::default(),
            facts: ModelFacts::default(),
        }
    }
}

/// One candidate a priority, each with one key.
pub(crate) fn chain(length: u32) -> Vec<Spec> {
    (0..length)
        .map(|priority| Spec {
            priority,
            ..Spec::default()
        })
        .collect()
}

/// One route `r` for model `m` with one rule.
pub(crate) fn table(specs: &[Spec]) -> Table {
    let provider = |(at, spec): (usize, &Spec)| Provider {
        label: format!("p{at}"),
        provider: "custom".to_string(),
        dialect: Dialect::OpenAi,
        origin: Origin {
            scheme: Scheme::Https,
            host: format!("p{at}.test"),
            port: 443,
        },
        path: "/v1".to_string(),
        headers: vec![],
        ca_pem: None,
        auth: if spec.keys + spec.standby == 0 { Auth::None } else { Auth::ApiKey },
        ring: (0..spec.keys + spec.standby)
            .map(|key| RingKey {
                weight: u32::from(key < spec.keys),
                ..ring_key(&format!("ns/p{at}/k{key}.1"))
            })
            .collect(),
        passthrough: vec![],
        quirks: Quirks::default(),
        regions: spec.regions.iter().map(ToString::to_string).collect(),
        data_policy: spec.data_policy,
        health_check: None,
    };
    let target = |(at, spec): (usize, &Spec)| Target {
        provider: at,
        model: TargetModel::Fixed {
            name: "m".to_string(),
            facts: ModelFacts {
                context_window: spec.window,
                reasoning: spec.reasoning,
                ..spec.facts.clone()
            },
        },
        label: format!("p{at}/m"),
    };
    let candidate = |(at, spec): (usize, &Spec)| Candidate {
        target: at,
        priority: spec.priority,
        weight: spec.weight,
        timeouts: Timeouts::default(),
    };
    let rule = Rule {
        name: "all".to_string(),
        when: Match::default(),
        candidates: specs.iter().enumerate().map(candidate).collect(),
        balance: Balance::Weighted,
    };
    Table {
        namespace: "ns".to_string(),
        providers: specs.iter().enumerate().map(provider).collect(),
        targets: specs.iter().enumerate().map(target).collect(),
        routes: vec![route("ns", "r", &["m"], vec![rule])],
    }
}

pub(crate) fn route(namespace: &str, name: &str, models: &[&str], rules: Vec<Rule>) -> Route {
    Route {
        namespace: namespace.to_string(),
        name: name.to_string(),
        models: models.iter().map(|model| pattern(model)).collect(),
        baseline: None,
        rules,
        attempts: Attempts::default(),
        breaker: Breaker::default(),
        residency: None,
    }
}

pub(crate) fn ring_key(id: &str) -> RingKey {
    RingKey {
        name: id.to_string(),
        id: id.to_string(),
        weight: 1,
    }
}

fn pattern(model: &str) -> ModelPattern {
    let (name, prefix) = model.strip_suffix('*').map_or((model, false), |name| (name, true));
    ModelPattern {
        name: String::from(name),
        prefix,
    }
}

/// p95 of the first content over `threshold`.
pub(crate) fn slow(of: SlowOf, threshold: Duration) -> Breaker {
    let quantile_ppm = 950_000;
    Breaker {
        slow: Some(SlowRule {
            of,
            quantile_ppm,
            threshold,
        }),
        error_rate_ppm: None,
    }
}

/// So many dollars per million tokens of the prompt, four times that for the answer, a tenth for what is cached.
pub(crate) fn price(dollars: u64) -> Price {
    let each = PicoUsd(dollars * 1_000_000);
    Price {
        input: each,
        output: PicoUsd(each.0 * 4),
        cached_read: Some(PicoUsd(each.0 / 10)),
        cache_write: None,
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn at(millis: u64) -> Tick {
    Tick(millis * 1_000)
}

/// A stream of one piece, and whose doing its end was.
pub(crate) fn ending(how: Ending) -> StreamEnd {
    StreamEnd {
        how,
        output_tokens: 0,
        since_first: Duration::ZERO,
    }
}
