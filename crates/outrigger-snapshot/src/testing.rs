//! Documents for tests.

use crate::{Document, KeyReference, KeyState};
use outrigger_core::{
    Attempts, Auth, Balance, Breaker, Candidate, DataPolicy, Dialect, Match, ModelFacts, ModelPattern, Origin, Provider, Quirks, RingKey,
    Route, Rule, Scheme, Table, Target, TargetModel, Timeouts,
};

/// Namespace `shop`: each name is a provider with one key `a` of version `v1`, one target and one route of the same name.
pub(crate) fn document(names: &[&str]) -> Document {
    Document {
        namespace: "shop".into(),
        table: Table {
            namespace: "shop".into(),
            providers: names.iter().map(|name| provider(name)).collect(),
            targets: names.iter().enumerate().map(|(at, name)| target(at, name)).collect(),
            routes: names.iter().enumerate().map(|(at, name)| route(at, name)).collect(),
        },
        keys: names.iter().map(|name| reference(name, "v1", KeyState::Active)).collect(),
    }
}

pub(crate) fn key_id(name: &str) -> String {
    format!("shop/{name}/a")
}

pub(crate) fn reference(name: &str, version: &str, state: KeyState) -> KeyReference {
    KeyReference {
        id: key_id(name),
        version: version.into(),
        state,
    }
}

pub(crate) fn origin(name: &str) -> Origin {
    Origin {
        scheme: Scheme::Https,
        host: format!("{name}.test"),
        port: 443,
    }
}

fn provider(name: &str) -> Provider {
    Provider {
        label: name.into(),
        provider: "custom".into(),
        dialect: Dialect::OpenAi,
        origin: origin(name),
        path: "/v1".into(),
        headers: vec![("x-team".into(), "blue".into())],
        ca_pem: None,
        auth: Auth::ApiKey,
        ring: vec![RingKey {
            name: "a".into(),
            id: key_id(name),
            weight: 3,
        }],
        passthrough: vec![],
        quirks: Quirks::default(),
        regions: vec![],
        data_policy: DataPolicy::default(),
        health_check: None,
    }
}

fn target(provider: usize, name: &str) -> Target {
    let facts = ModelFacts {
        context_window: Some(128_000),
        ..ModelFacts::default()
    };
    Target {
        provider,
        model: TargetModel::Fixed { name: "m".into(), facts },
        label: format!("{name}/m"),
    }
}

fn route(target: usize, name: &str) -> Route {
    let candidate = Candidate {
        target,
        priority: 0,
        weight: 100,
        timeouts: Timeouts::default(),
    };
    Route {
        namespace: "shop".into(),
        name: name.into(),
        models: vec![ModelPattern {
            name: name.into(),
            prefix: false,
        }],
        baseline: None,
        rules: vec![Rule {
            name: "all".into(),
            when: Match::default(),
            candidates: vec![candidate],
            balance: Balance::Weighted,
        }],
        attempts: Attempts::default(),
        breaker: Breaker::default(),
        residency: None,
    }
}
