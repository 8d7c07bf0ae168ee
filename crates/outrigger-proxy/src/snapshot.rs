//! The routing table made ready for the request path: everything that a request would otherwise have to compute, format or look up is
//! done here, once. All that can fail happens before the swap; the swap itself cannot.

use crate::{
    body::Outgoing,
    metrics::{AttemptLabels, CostLabels, Dollars, Metrics, RequestLabels, RouteLabels, TOKEN_CLASSES, TargetLabels, TokenLabels},
    names,
    record::header_value,
    surface::Api,
    upstream::{Destination, Upstreams},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use outrigger_core::{Auth, Class, Dialect, ModelFacts, Router, Secret, Slots, Table, TargetModel};
use outrigger_dialect::headers;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

/// One generation of routing, immutable.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) table: Table,
    pub(crate) router: Router,
    pub(crate) slots: Slots,
    pub(crate) providers: Vec<Arc<ProviderHandle>>,
    pub(crate) targets: Vec<Arc<TargetHandle>>,
    pub(crate) routes: Vec<Arc<RouteHandle>>,
}

/// A provider with the heads of its requests half written.
#[derive(Debug)]
pub(crate) struct ProviderHandle {
    pub(crate) label: Arc<str>,
    /// The label as a header's value.
    pub(crate) shown: HeaderValue,
    pub(crate) name: Arc<str>,
    pub(crate) dialect: Dialect,
    pub(crate) destination: Destination<Outgoing>,
    pub(crate) path: String,
    /// Of a health check; absent = none is wanted.
    pub(crate) check: Option<Uri>,
    uris: [Option<Uri>; Api::ALL.len()],
    /// Headers of every request, from the object.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The heads of a unary call and of one for a stream, with a place for each value that depends on the call.
    heads: [HeaderMap; 2],
    /// The client's headers that go on to it.
    pub(crate) forwarded: Vec<HeaderName>,
    pub(crate) auth_name: HeaderName,
    /// Names of the ring's keys.
    pub(crate) key_names: Vec<Arc<str>>,
    /// One per key of the ring; absent while its bytes are.
    pub(crate) auth: Vec<Option<HeaderValue>>,
}

/// A target with its counters.
#[derive(Debug)]
pub(crate) struct TargetHandle {
    pub(crate) label: Arc<str>,
    pub(crate) provider: Arc<ProviderHandle>,
    pub(crate) model: TargetModel,
    /// The model's name at the provider, and as a header's value; absent where it is what the client asks for.
    fixed_model: Option<Arc<str>>,
    pub(crate) shown_model: Option<HeaderValue>,
    pub(crate) quirks: outrigger_core::Quirks,
    /// A rule that has this target has one of another dialect too: a conversation may have been served by both.
    pub(crate) mixed: bool,
    attempts: [OnceLock<Counter>; Class::ALL.len()],
    tokens: [OnceLock<Counter>; TOKEN_CLASSES.len()],
    pub(crate) first_content: OnceLock<Histogram>,
    pub(crate) per_token: OnceLock<Histogram>,
}

/// A route with its counters.
#[derive(Debug)]
pub(crate) struct RouteHandle {
    pub(crate) label: Arc<str>,
    pub(crate) rules: Vec<RuleHandle>,
    pub(crate) baseline: Option<outrigger_core::Price>,
    /// Made at an endpoint's first call: of thousands of routes few are called at more than one, and many at none.
    requests: [OnceLock<Box<[OnceLock<Counter>; Class::ALL.len()]>>; Api::ALL.len()],
    seconds: OnceLock<Histogram>,
    first_content: OnceLock<Histogram>,
    baseline_usd: OnceLock<Dollars>,
    /// By target, sorted.
    cost: Box<[(usize, OnceLock<Dollars>)]>,
}

/// A rule's name in its two forms.
#[derive(Debug)]
pub(crate) struct RuleHandle {
    pub(crate) name: Arc<str>,
    /// `namespace/name/rule`
    pub(crate) header: HeaderValue,
}

/// Why a table cannot be put into force.
#[derive(Debug, thiserror::Error)]
#[error("{object}: {problem}")]
pub struct Unusable {
    object: String,
    problem: String,
}

impl Snapshot {
    /// The empty routing that a process starts with.
    pub(crate) fn empty(slots: Slots) -> Self {
        let table = Table::default();
        Self {
            router: Router::new(&table),
            table,
            slots,
            providers: Vec::new(),
            targets: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Prepares `table`. `slots` come from the health, and destinations from the pools, that outlive it.
    pub(crate) fn prepare(
        mut table: Table,
        secrets: &BTreeMap<String, Secret>,
        slots: Slots,
        upstreams: &Upstreams<Outgoing>,
    ) -> Result<Self, Unusable> {
        table.shrink_to_fit();
        let prepared = table
            .providers
            .iter()
            .map(|provider| ProviderHandle::prepare(provider, secrets, upstreams).map(Arc::new));
        let providers = prepared.collect::<Result<Vec<_>, _>>()?;
        let mixed = mixed(&table);
        let targets = table
            .targets
            .iter()
            .enumerate()
            .map(|(index, target)| {
                let provider = providers
                    .get(target.provider)
                    .ok_or_else(|| dangling(&target.label, "a provider"))?;
                let quirks = table.providers.get(target.provider).map(|p| p.quirks.clone()).unwrap_or_default();
                Ok(Arc::new(TargetHandle::new(
                    target,
                    Arc::clone(provider),
                    quirks,
                    mixed.contains(&index),
                )))
            })
            .collect::<Result<Vec<_>, Unusable>>()?;
        let routes = table
            .routes
            .iter()
            .map(|r| RouteHandle::prepare(r, targets.len()).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            router: Router::new(&table),
            table,
            slots,
            providers,
            targets,
            routes,
        })
    }

    /// Whether any target could be called.
    pub(crate) fn usable(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.provider.auth.is_empty() || target.provider.auth.iter().any(Option::is_some))
    }
}

/// The targets that share a rule with one of another dialect.
fn mixed(table: &Table) -> BTreeSet<usize> {
    let dialect = |target: usize| {
        table
            .targets
            .get(target)
            .and_then(|target| table.providers.get(target.provider))
            .map(|provider| provider.dialect)
    };
    let mut mixed = BTreeSet::new();
    for rule in table.routes.iter().flat_map(|route| &route.rules) {
        let dialects: BTreeSet<_> = rule.candidates.iter().map(|candidate| dialect(candidate.target)).collect();
        if dialects.len() > 1 {
            mixed.extend(rule.candidates.iter().map(|candidate| candidate.target));
        }
    }
    mixed
}

fn dangling(object: &str, what: &str) -> Unusable {
    Unusable {
        object: object.to_owned(),
        problem: format!("refers to {what} that the table does not have"),
    }
}

impl ProviderHandle {
    fn prepare(
        provider: &outrigger_core::Provider,
        secrets: &BTreeMap<String, Secret>,
        upstreams: &Upstreams<Outgoing>,
    ) -> Result<Self, Unusable> {
        let unusable = |problem: String| Unusable {
            object: provider.label.clone(),
            problem,
        };
        let uri = |tail: &str| {
            let uri = format!("{}{tail}", provider.path);
            uri.parse::<Uri>().map_err(|_| unusable(format!("{uri} is no path")))
        };
        let mut uris: [Option<Uri>; Api::ALL.len()] = Default::default();
        for (api, slot) in Api::ALL.into_iter().zip(&mut uris) {
            let path = headers::path(provider.dialect, api.endpoint());
            let tail = if api == Api::CountTokens { "/count_tokens" } else { "" };
            *slot = Some(uri(&format!("{path}{tail}"))?);
        }
        let check = provider.health_check.as_ref();
        if check.is_some_and(|check| !check.path.starts_with('/') || check.interval.is_zero()) {
            return Err(unusable("its health check has no path or no interval".to_owned()));
        }
        let check = check.map(|check| uri(&check.path)).transpose()?;
        let mut extra = Vec::with_capacity(provider.headers.len());
        for (name, value) in &provider.headers {
            let parsed = name.parse::<HeaderName>().ok().zip(HeaderValue::from_str(value).ok());
            extra.push(parsed.ok_or_else(|| unusable(format!("header {name} is not a valid header")))?);
        }
        let destination = upstreams
            .destination(&provider.origin, provider.ca_pem.as_deref())
            .map_err(|error| unusable(error.to_string()))?;
        let forwarded = headers::forwarded(provider.dialect).iter().copied().map(HeaderName::from_static);
        // What the object sets wins.
        let forwarded = forwarded.filter(|name| !extra.iter().any(|(own, _)| own == name)).collect();
        let mut auth = Vec::with_capacity(provider.ring.len());
        if provider.auth == Auth::ApiKey {
            for key in &provider.ring {
                auth.push(secrets.get(&key.id).and_then(|secret| authorization(provider.dialect, secret)));
            }
        }
        let auth_name = HeaderName::from_static(headers::authorize(provider.dialect, "").0);
        let heads = ["application/json", "text/event-stream"].map(|accept| {
            let mut head = head(&extra, destination.host(), accept);
            if !auth.is_empty() {
                head.insert(&auth_name, PLACE);
            }
            head
        });
        Ok(Self {
            label: provider.label.as_str().into(),
            shown: header_value(provider.label.clone()),
            name: provider.provider.as_str().into(),
            dialect: provider.dialect,
            destination,
            path: provider.path.clone(),
            check,
            uris,
            headers: extra,
            heads,
            forwarded,
            auth_name,
            key_names: provider.ring.iter().map(|key| key.name.as_str().into()).collect(),
            auth,
        })
    }

    /// The head of a call with a body of `length` bytes and the ring's key number `key`. Every value has its place already: one more
    /// would have the map grow.
    pub(crate) fn head(&self, stream: bool, key: Option<usize>, length: u64) -> HeaderMap {
        let [unary, streamed] = &self.heads;
        let mut head = if stream { streamed.clone() } else { unary.clone() };
        head.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(Some(value)) = key.and_then(|key| self.auth.get(key)) {
            head.insert(&self.auth_name, value.clone());
        } else if !self.auth.is_empty() {
            head.remove(&self.auth_name);
        }
        head
    }

    /// The path of `api`; `None` where this dialect has no such endpoint.
    pub(crate) fn uri(&self, api: Api) -> Option<&Uri> {
        self.uris.get(api.index()).and_then(Option::as_ref)
    }
}

/// Stands where a call's own value comes.
const PLACE: HeaderValue = HeaderValue::from_static("");

/// What every call to a provider says, `own` being what its object adds to it or puts in its place.
fn head(own: &[(HeaderName, HeaderValue)], host: &HeaderValue, accept: &'static str) -> HeaderMap {
    let mut head = HeaderMap::with_capacity(8 + own.len());
    head.insert(header::HOST, host.clone());
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.insert(header::ACCEPT, HeaderValue::from_static(accept));
    head.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    head.insert(header::USER_AGENT, names::AGENT.clone());
    head.extend(own.iter().cloned());
    head.insert(header::CONTENT_LENGTH, PLACE);
    head
}

fn authorization(dialect: Dialect, secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&headers::authorize(dialect, secret.expose()).1).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl TargetHandle {
    fn new(target: &outrigger_core::Target, provider: Arc<ProviderHandle>, quirks: outrigger_core::Quirks, mixed: bool) -> Self {
        let fixed = match &target.model {
            TargetModel::Fixed { name, .. } => Some(name.as_str()),
            TargetModel::AsAsked { .. } => None,
        };
        Self {
            label: target.label.as_str().into(),
            provider,
            fixed_model: fixed.map(Arc::from),
            shown_model: fixed.map(|name| header_value(name.to_owned())),
            model: target.model.clone(),
            quirks,
            mixed,
            attempts: Default::default(),
            tokens: Default::default(),
            first_content: OnceLock::new(),
            per_token: OnceLock::new(),
        }
    }

    /// The model's name at the provider.
    pub(crate) fn model_name<'a>(&'a self, asked: &'a str) -> &'a str {
        match &self.model {
            TargetModel::Fixed { name, .. } => name,
            TargetModel::AsAsked { .. } => asked,
        }
    }

    /// [`Self::model_name`], to be kept.
    pub(crate) fn kept_model_name(&self, asked: &str) -> Arc<str> {
        self.fixed_model.clone().unwrap_or_else(|| asked.into())
    }

    /// What is known of the model.
    pub(crate) fn facts(&self, asked: &str) -> Option<&ModelFacts> {
        match &self.model {
            TargetModel::Fixed { facts, .. } => Some(facts),
            TargetModel::AsAsked { facts } => facts.get(asked),
        }
    }

    pub(crate) fn count_attempt(&self, metrics: &Metrics, class: Class) {
        if let Some(slot) = self.attempts.get(class as usize) {
            let labels = || AttemptLabels {
                target: self.label.to_string(),
                outcome: class.as_str(),
            };
            slot.get_or_init(|| metrics.attempts.get_or_create_owned(&labels())).inc();
        }
    }

    pub(crate) fn count_tokens(&self, metrics: &Metrics, counts: [u64; TOKEN_CLASSES.len()]) {
        for ((slot, class), count) in self.tokens.iter().zip(TOKEN_CLASSES).zip(counts) {
            if count > 0 {
                let labels = || TokenLabels {
                    target: self.label.to_string(),
                    class,
                };
                slot.get_or_init(|| metrics.tokens.get_or_create_owned(&labels())).inc_by(count);
            }
        }
    }

    pub(crate) fn saw_first_content(&self, metrics: &Metrics, seconds: f64) {
        let labels = || TargetLabels {
            target: self.label.to_string(),
        };
        self.first_content
            .get_or_init(|| metrics.attempt_first_content_seconds.get_or_create_owned(&labels()))
            .observe(seconds);
    }

    pub(crate) fn saw_time_per_token(&self, metrics: &Metrics, seconds: f64) {
        let labels = || TargetLabels {
            target: self.label.to_string(),
        };
        self.per_token
            .get_or_init(|| metrics.attempt_per_token_seconds.get_or_create_owned(&labels()))
            .observe(seconds);
    }
}

impl RouteHandle {
    fn prepare(route: &outrigger_core::Route, targets: usize) -> Result<Self, Unusable> {
        let label = format!("{}/{}", route.namespace, route.name);
        let mut rules = Vec::with_capacity(route.rules.len());
        let mut cost = Vec::new();
        for rule in &route.rules {
            let header = HeaderValue::from_str(&format!("{label}/{}", rule.name)).map_err(|_| Unusable {
                object: label.clone(),
                problem: format!("rule name {:?} does not fit into a header", rule.name),
            })?;
            rules.push(RuleHandle {
                name: rule.name.as_str().into(),
                header,
            });
            for candidate in &rule.candidates {
                if candidate.target >= targets {
                    return Err(dangling(&label, "a target"));
                }
                cost.push((candidate.target, OnceLock::new()));
            }
        }
        cost.sort_unstable_by_key(|(target, _)| *target);
        cost.dedup_by_key(|(target, _)| *target);
        Ok(Self {
            label: label.into(),
            rules,
            baseline: route.baseline.as_ref().and_then(|baseline| baseline.price),
            requests: Default::default(),
            seconds: OnceLock::new(),
            first_content: OnceLock::new(),
            baseline_usd: OnceLock::new(),
            cost: cost.into(),
        })
    }

    pub(crate) fn count_request(&self, metrics: &Metrics, api: Api, class: Class) {
        let row = self.requests.get(api.index()).map(|row| row.get_or_init(Box::default));
        if let Some(slot) = row.and_then(|row| row.get(class as usize)) {
            let labels = || RequestLabels {
                route: self.label.to_string(),
                endpoint: api.as_str(),
                outcome: class.as_str(),
            };
            slot.get_or_init(|| metrics.requests.get_or_create_owned(&labels())).inc();
        }
    }

    pub(crate) fn saw_request(&self, metrics: &Metrics, seconds: f64, first_content: Option<f64>) {
        let labels = || RouteLabels {
            route: self.label.to_string(),
        };
        self.seconds
            .get_or_init(|| metrics.request_seconds.get_or_create_owned(&labels()))
            .observe(seconds);
        if let Some(first) = first_content {
            self.first_content
                .get_or_init(|| metrics.first_content_seconds.get_or_create_owned(&labels()))
                .observe(first);
        }
    }

    pub(crate) fn spend(&self, metrics: &Metrics, target: (usize, &str), usd: f64) {
        let labels = || CostLabels {
            route: self.label.to_string(),
            target: target.1.to_owned(),
        };
        let found = self.cost.binary_search_by_key(&target.0, |(known, _)| *known).ok();
        if let Some((_, slot)) = found.and_then(|at| self.cost.get(at)) {
            slot.get_or_init(|| metrics.cost.get_or_create_owned(&labels())).inc_by(usd);
        }
    }

    pub(crate) fn would_have_spent(&self, metrics: &Metrics, usd: f64) {
        let labels = || RouteLabels {
            route: self.label.to_string(),
        };
        self.baseline_usd
            .get_or_init(|| metrics.baseline.get_or_create_owned(&labels()))
            .inc_by(usd);
    }
}
