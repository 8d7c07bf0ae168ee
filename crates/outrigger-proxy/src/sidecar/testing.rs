//! Documents and bytes for tests.

use super::authority::Data;
use outrigger_core::{
    Attempts, Auth, Balance, Breaker, Candidate, DataPolicy, Dialect, Match, ModelFacts, ModelPattern, Origin, Provider, Quirks, RingKey,
    Route, Rule, Scheme, Secret, Table, Target, TargetModel, Timeouts,
};
use outrigger_snapshot::{Document, KeyEntry, KeyReference, KeyRing, KeyState, MacKey, Revoked, entry_name, resolve, seal};

pub(super) const NAMESPACE: &str = "shop";

pub(super) fn mac() -> MacKey {
    MacKey::from_bytes(&[7; 32]).unwrap()
}

/// Each route has one target, at the provider of the given name, with one key.
pub(super) fn document(routes: &[(&str, &str)], keys: &[(&str, &str, KeyState)]) -> Document {
    let (mut providers, mut targets): (Vec<Provider>, Vec<Target>) = (vec![], vec![]);
    let routes = routes.iter().map(|(name, provider)| {
        let at = providers.iter().position(|known| known.label == *provider).unwrap_or_else(|| {
            providers.push(self::provider(provider));
            targets.push(target(providers.len() - 1, provider));
            providers.len() - 1
        });
        route(name, at)
    });
    let routes = routes.collect();
    Document {
        namespace: NAMESPACE.into(),
        table: Table {
            namespace: NAMESPACE.into(),
            routes,
            providers,
            targets,
        },
        keys: keys
            .iter()
            .map(|(provider, version, state)| reference(provider, version, *state))
            .collect(),
    }
}

pub(super) fn reference(provider: &str, version: &str, state: KeyState) -> KeyReference {
    KeyReference {
        id: key_id(provider),
        version: version.into(),
        state,
    }
}

pub(super) fn data(document: &Document, generation: u64) -> Data {
    seal(document, generation, &mac()).unwrap().to_data()
}

/// The MAC key and these versions' bytes, which name them.
pub(super) fn ring(keys: &[(&str, &str)]) -> KeyRing {
    let entry = |(provider, version): &(&str, &str)| {
        let entry = KeyEntry {
            origin: origin(provider),
            ca_digest: None,
            key: Secret::new(format!("{provider} {version}")),
        };
        (entry_name(&key_id(provider), version), entry)
    };
    KeyRing {
        mac: Some(mac()),
        entries: keys.iter().map(entry).collect(),
        broken: 0,
    }
}

/// For each route the bytes that its first candidate may be called with.
pub(super) fn served(resolved: &outrigger_snapshot::Resolved) -> Vec<(String, Vec<String>)> {
    let table = &resolved.table;
    let bytes = |route: &Route| {
        let target = &table.targets[route.rules[0].candidates[0].target];
        let ring = &table.providers[target.provider].ring;
        ring.iter()
            .filter_map(|key| Some(resolved.secrets.get(&key.id)?.expose().to_owned()))
            .collect()
    };
    table.routes.iter().map(|route| (route.name.clone(), bytes(route))).collect()
}

/// As [`served`], of a document alone.
pub(super) fn serves(document: &Document, ring: &KeyRing) -> Vec<(String, Vec<String>)> {
    served(&resolve(document.clone(), ring, &Revoked::default()))
}

pub(super) fn origin(provider: &str) -> Origin {
    Origin {
        scheme: Scheme::Https,
        host: format!("{provider}.test"),
        port: 443,
    }
}

fn key_id(provider: &str) -> String {
    format!("{NAMESPACE}/{provider}/a")
}

fn provider(name: &str) -> Provider {
    Provider {
        label: name.into(),
        provider: "custom".into(),
        dialect: Dialect::OpenAi,
        origin: origin(name),
        path: "/v1".into(),
        headers: vec![],
        ca_pem: None,
        auth: Auth::ApiKey,
        ring: vec![RingKey {
            name: "a".into(),
            id: key_id(name),
            weight: 1,
        }],
        passthrough: vec![],
        quirks: Quirks::default(),
        regions: vec![],
        data_policy: DataPolicy::default(),
        health_check: None,
    }
}

fn target(provider: usize, name: &str) -> Target {
    let facts = ModelFacts::default();
    Target {
        provider,
        model: TargetModel::Fixed { name: "m".into(), facts },
        label: format!("{name}/m"),
    }
}

fn route(name: &str, target: usize) -> Route {
    let candidate = Candidate {
        target,
        priority: 0,
        weight: 1,
        timeouts: Timeouts::default(),
    };
    Route {
        namespace: NAMESPACE.into(),
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
