//! The routing table: what the compile step makes of the objects and what a snapshot carries. Plain data without key bytes; references
//! between its parts are indices into its own lists.

use crate::{price::Price, time::millis};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// One namespace's routing, complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The namespace whose sidecars use it.
    pub namespace: String,
    /// One per `ProviderKey` in use.
    pub providers: Vec<Provider>,
    /// One per (provider, model) in use.
    pub targets: Vec<Target>,
    /// In order of precedence where two claim one model (see [`ModelPattern`]).
    pub routes: Vec<Route>,
}

impl Table {
    /// Gives back the room that lists were given while they grew: a table is kept as it is for as long as it is in force, and may hold
    /// thousands of routes with a rule or two.
    pub fn shrink_to_fit(&mut self) {
        self.routes.shrink_to_fit();
        self.targets.shrink_to_fit();
        for route in &mut self.routes {
            route.models.shrink_to_fit();
            route.rules.shrink_to_fit();
            for rule in &mut route.rules {
                rule.candidates.shrink_to_fit();
                rule.when.headers.shrink_to_fit();
            }
        }
    }
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI's API and whatever speaks it.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
}

/// An endpoint that routes serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `POST /chat/completions`
    Chat,
    /// `POST /messages` and `POST /messages/count_tokens`
    Messages,
    /// `POST /embeddings`
    Embeddings,
}

/// Where a key may go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host name or address, lower case, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Origin {
    /// The value of the `host` header of requests to it: the port only where it is not the scheme's own, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

/// How a provider knows us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// By one of the ring's keys.
    ApiKey,
    /// Not at all.
    None,
}

/// A `ProviderKey`, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name as metrics and headers show it: `name`, or `namespace/name` where it lives in another namespace.
    pub label: String,
    /// The catalogue's name: `openai`, `anthropic`, `mistral` … or `custom`.
    pub provider: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it lives.
    pub origin: Origin,
    /// Prefix of every path, without a trailing slash: `/v1`.
    pub path: String,
    /// Extra request headers, never a credential.
    pub headers: Vec<(String, String)>,
    /// PEM certificates to trust beside the public ones.
    pub ca_pem: Option<String>,
    /// How it knows us.
    pub auth: Auth,
    /// Its keys; empty for [`Auth::None`].
    pub ring: Vec<RingKey>,
    /// Paths that are forwarded as they are.
    pub passthrough: Vec<PathPattern>,
    /// What it does differently from its dialect's origin.
    pub quirks: Quirks,
    /// Where it keeps and works on what it is sent: labels that residency asks for.
    #[serde(default)]
    pub regions: Vec<String>,
    /// What it does with what it is sent.
    #[serde(default)]
    pub data_policy: DataPolicy,
    /// How it is asked whether it answers; absent = not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
}

/// A question that costs nothing, such as a listing of models: does the provider answer?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// From one question to the next.
    #[serde(with = "millis")]
    pub interval: Duration,
    /// How long one may take, connection included. Not longer than the interval.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// Behind [`Provider::path`]; starts with `/`.
    pub path: String,
}

/// What a provider does with what it is sent. `None` = not known, which satisfies no demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPolicy {
    /// How long it keeps it, in milliseconds; 0 = not at all.
    pub retention_ms: Option<u64>,
    /// Whether it trains models on it.
    pub training: Option<bool>,
}

/// Where the calls of a route may go, whatever else is the matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residency {
    /// To a provider with any of these labels; empty = anywhere.
    pub regions: Vec<String>,
    /// To one that keeps it no longer than so many milliseconds.
    pub retention_ms: Option<u64>,
    /// To one that does not train on it.
    pub no_training: bool,
}

impl Residency {
    /// Whether `provider` may be sent what the route is sent.
    pub fn allows(&self, provider: &Provider) -> bool {
        self.lacks(provider).next().is_none()
    }

    /// What `provider` lacks for that. What is not known of it is lacking.
    pub fn lacks(&self, provider: &Provider) -> impl Iterator<Item = Lack> {
        let policy = provider.data_policy;
        let region = self.regions.is_empty() || self.regions.iter().any(|region| provider.regions.contains(region));
        let kept = |most| policy.retention_ms.is_some_and(|retention| retention <= most);
        [
            (region, Lack::Region),
            (self.retention_ms.is_none_or(kept), Lack::Retention),
            (!self.no_training || policy.training == Some(false), Lack::Training),
        ]
        .into_iter()
        .filter_map(|(met, lack)| (!met).then_some(lack))
    }
}

/// What a residency asks for and a provider does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Any of the regions.
    Region,
    /// It keeps what it is sent for too long.
    Retention,
    /// It may train on it.
    Training,
}

/// One key of a ring, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingKey {
    /// Name inside the ring.
    pub name: String,
    /// Identity of the bytes: `namespace/name/key.version`. A rotated key is another id and starts clean.
    pub id: String,
    /// Share of the traffic inside the ring; 0 = stands by: used only where no key with a share can be.
    pub weight: u32,
}

/// A path that a pass-through serves: exact, or everything below a trailing `/*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPattern {
    /// Starts with `/`, without the star.
    pub path: String,
    /// Ended in `/*`.
    pub subtree: bool,
}

/// Deviations that are data, not code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quirks {
    /// Knows `stream_options.include_usage`.
    pub stream_options: bool,
    /// The field for the token limit: `max_completion_tokens` (true) or `max_tokens`.
    pub max_completion_tokens: bool,
    /// Reports usage in the last chunk without being asked.
    pub usage_unasked: bool,
    /// Top-level request fields that it refuses and that are left out when a call is *translated* for it.
    pub drops: Vec<String>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            stream_options: true,
            max_completion_tokens: true,
            usage_unasked: false,
            drops: Vec::new(),
        }
    }
}

/// A model at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Index into [`Table::providers`].
    pub provider: usize,
    /// Which model.
    pub model: TargetModel,
    /// `key/model` as metrics and headers show it; `key/*` for the model that was asked for.
    pub label: String,
}

/// The model of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetModel {
    /// Always this one.
    Fixed {
        /// The provider's name of it.
        name: String,
        /// What is known of it.
        facts: ModelFacts,
    },
    /// The one that the client asked for.
    AsAsked {
        /// What is known of those that the route may be asked for, by name.
        facts: BTreeMap<String, ModelFacts>,
    },
}

/// What is known of a model. `None` = not known, which is never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Input window, tokens.
    pub context_window: Option<u32>,
    /// Most output tokens of one call.
    pub max_output: Option<u32>,
    /// Price, the provider key's markup and overrides applied.
    pub price: Option<Price>,
    /// Thinks before it answers: its first token may take ten times as long.
    pub reasoning: bool,
    /// Calls tools; `None` = not known.
    pub tools: Option<bool>,
    /// Takes images.
    pub vision: Option<bool>,
    /// Honours a JSON schema.
    pub json_schema: Option<bool>,
}

/// A `ModelRoute`, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What clients may ask for.
    pub models: Vec<ModelPattern>,
    /// What it would have cost.
    pub baseline: Option<Baseline>,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// The attempt budget.
    pub attempts: Attempts,
    /// When a target is left.
    pub breaker: Breaker,
    /// Where its calls may go at all.
    #[serde(default)]
    pub residency: Option<Residency>,
}

/// A model name, or a prefix of model names. Exact beats prefix, the longer prefix wins, then the earlier route of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelPattern {
    /// Without the star.
    pub name: String,
    /// Ended in `*`.
    pub prefix: bool,
}

/// The model against which savings are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// `provider/model`.
    pub label: String,
    /// Its price.
    pub price: Option<Price>,
}

/// One rule of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// All given conditions must hold.
    pub when: Match,
    /// Where calls may go.
    pub candidates: Vec<Candidate>,
    /// How candidates of one priority share.
    pub balance: Balance,
}

/// Conditions on a call; an empty list or map is no condition. Inside one list any member suffices; all headers and metadata must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// `x-outrigger-task` or `metadata.task`.
    pub tasks: Vec<String>,
    /// Request headers: lower-case name, exact value.
    pub headers: Vec<(String, String)>,
    /// `x-outrigger-metadata` or the body's `metadata`.
    pub metadata: BTreeMap<String, String>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The prompt's length in reference tokens.
    #[serde(default)]
    pub input_tokens: Option<TokenRange>,
    /// What the call needs; all of them.
    #[serde(default)]
    pub needs: Needs,
    /// The pod's ServiceAccount.
    #[serde(default)]
    pub service_accounts: Vec<String>,
}

/// Lengths from `at_least` on and below `less_than`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRange {
    /// Inclusive.
    pub at_least: u32,
    /// Exclusive; absent = no end.
    pub less_than: Option<u32>,
}

impl TokenRange {
    /// Whether `tokens` lies in it.
    pub fn contains(self, tokens: u32) -> bool {
        tokens >= self.at_least && self.less_than.is_none_or(|end| tokens < end)
    }
}

/// What a call asks of its model beyond text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states")]
pub struct Needs {
    /// It offers tools.
    pub tools: bool,
    /// It holds images.
    pub vision: bool,
    /// Its answer must follow a JSON schema.
    pub json_schema: bool,
    /// It asks for reasoning.
    pub reasoning: bool,
}

impl Needs {
    /// Text alone.
    pub const NONE: Self = Self {
        tools: false,
        vision: false,
        json_schema: false,
        reasoning: false,
    };

    /// Whether everything in `other` is in it.
    pub fn cover(self, other: Self) -> bool {
        (self.tools || !other.tools)
            && (self.vision || !other.vision)
            && (self.json_schema || !other.json_schema)
            && (self.reasoning || !other.reasoning)
    }
}

/// A target inside a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Index into [`Table::targets`].
    pub target: usize,
    /// Lower is tried first. The route's last resort comes as one more priority behind every rule's own.
    pub priority: u32,
    /// Share inside one priority; 0 = only when every other of that priority is unavailable.
    pub weight: u32,
    /// The route's, with this target's own on top.
    pub timeouts: Timeouts,
}

/// How candidates of one priority share the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// By weight.
    #[default]
    Weighted,
    /// The least expected cost first; what has no known price last.
    Cheapest,
    /// The least expected time first; what is not known, or not of late, is found out.
    Fastest,
    /// The less busy, for its weight, of two that are drawn.
    LeastBusy,
}

/// The four clocks and the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// To a connection, TLS included.
    #[serde(with = "millis")]
    pub connect: Duration,
    /// From the request sent to the head of a unary answer.
    #[serde(with = "millis")]
    pub response: Duration,
    /// From the request sent to the first content event of a stream; × 10 for reasoning models.
    #[serde(with = "millis")]
    pub first_token: Duration,
    /// The longest silence inside a stream or a unary body.
    #[serde(with = "millis")]
    pub between_tokens: Duration,
    /// The whole request, all attempts.
    #[serde(with = "millis")]
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_mins(5),
            first_token: Duration::from_mins(1),
            between_tokens: Duration::from_mins(1),
            total: Duration::from_mins(10),
        }
    }
}

/// The attempt budget of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// The first one included, 1 to 16.
    pub max: u32,
    /// First wait where nothing untried is left; doubles, jittered.
    #[serde(with = "millis")]
    pub backoff_base: Duration,
    /// Longest such wait.
    #[serde(with = "millis")]
    pub backoff_max: Duration,
    /// Ask another target where one refuses the content; false = its refusal is the answer.
    #[serde(default)]
    pub content_policy_moves_on: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            max: 4,
            backoff_base: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            content_policy_moves_on: false,
        }
    }
}

/// When a target is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Slowness; absent = the in-flight age still counts, with a threshold of 2 s while nothing is learnt.
    pub slow: Option<SlowRule>,
    /// Share of failed attempts, in millionths, that opens a target; absent = 200,000.
    pub error_rate_ppm: Option<u32>,
}

/// A latency threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowRule {
    /// Which time.
    pub of: SlowOf,
    /// Which quantile, in millionths.
    pub quantile_ppm: u32,
    /// Above this the target is slow.
    #[serde(with = "millis")]
    pub threshold: Duration,
}

/// The time that a slow rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlowOf {
    /// To the first content event of a stream, the whole of a unary answer: what the caller waits for.
    FirstContent,
    /// The whole answer.
    Total,
    /// Per generated token.
    PerToken,
}
