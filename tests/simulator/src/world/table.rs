//! The table of a world: one route `r` for the model `m`.

use super::{Credit, Key, Site};
use outrigger_core::{
    Attempts, Auth, Balance, Breaker, Candidate, DataPolicy, Dialect, Match, ModelPattern, Origin, Provider, Quirks, Residency, RingKey,
    Route, Rule, Scheme, Table, Target, TargetModel, TokenRange,
};

/// What a route says, beside providers and sites.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    pub(super) balance: Balance,
    pub(super) attempts: Attempts,
    pub(super) breaker: Breaker,
    pub(super) residency: Option<Residency>,
    /// Calls with shorter prompts have a rule of their own, which leaves the first target out.
    pub(super) tier: Option<u32>,
    /// By provider.
    pub(super) places: Vec<(Vec<String>, DataPolicy)>,
}

/// `renewed`: keys that were dead or spent have been replaced by new ones.
pub(super) fn table(rings: &[Vec<Key>], sites: &[Site], terms: &Terms, renewed: bool) -> Table {
    let candidate = |(target, site): (usize, &Site)| Candidate {
        target,
        priority: site.priority,
        weight: site.weight,
        timeouts: site.timeouts,
    };
    let candidates: Vec<Candidate> = sites.iter().enumerate().map(candidate).collect();
    let rule = |name: &str, when: Match, candidates: &[Candidate]| Rule {
        name: name.to_string(),
        when,
        candidates: candidates.to_vec(),
        balance: terms.balance,
    };
    let short = terms.tier.map(|end| {
        let when = Match {
            input_tokens: Some(TokenRange {
                at_least: 0,
                less_than: Some(end),
            }),
            ..Match::default()
        };
        rule("short", when, &candidates[1..])
    });
    let pattern = ModelPattern {
        name: "m".to_string(),
        prefix: false,
    };
    let target = |(at, site): (usize, &Site)| Target {
        provider: site.provider,
        model: TargetModel::Fixed {
            name: format!("m{at}"),
            facts: site.facts.clone(),
        },
        label: format!("p{}/m{at}", site.provider),
    };
    let providers = rings.iter().enumerate().map(|(at, ring)| provider(at, ring, terms, renewed));
    Table {
        namespace: "ns".to_string(),
        providers: providers.collect(),
        targets: sites.iter().enumerate().map(target).collect(),
        routes: vec![Route {
            namespace: "ns".to_string(),
            name: "r".to_string(),
            models: vec![pattern],
            baseline: None,
            rules: short.into_iter().chain([rule("all", Match::default(), &candidates)]).collect(),
            attempts: terms.attempts,
            breaker: terms.breaker,
            residency: terms.residency.clone(),
        }],
    }
}

fn provider(at: usize, ring: &[Key], terms: &Terms, renewed: bool) -> Provider {
    let key = |(index, key): (usize, &Key)| {
        // A key's id contains the version of its bytes.
        let version = 1 + u32::from(renewed && matches!(key.credit, Credit::Dead(_) | Credit::Spent(..)));
        RingKey {
            name: format!("k{index}"),
            id: format!("ns/p{at}/k{index}.{version}"),
            weight: key.weight,
        }
    };
    let (regions, data_policy) = terms.places.get(at).cloned().unwrap_or_default();
    Provider {
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
        auth: if ring.is_empty() { Auth::None } else { Auth::ApiKey },
        ring: ring.iter().enumerate().map(key).collect(),
        passthrough: vec![],
        quirks: Quirks::default(),
        regions,
        data_policy,
        health_check: None,
    }
}
