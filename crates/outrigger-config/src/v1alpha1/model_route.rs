//! `ModelRoute`: which models clients may ask for, and who answers.

use super::Namespaces;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which models clients may ask for, and who answers.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "ModelRoute",
    plural = "modelroutes",
    shortname = "mr",
    category = "outrigger",
    namespaced,
    status = "ModelRouteStatus",
    derive = "PartialEq",
    doc = "Which models clients may ask for, and who answers.",
    printcolumn = r#"{"name":"Models","type":"string","jsonPath":".spec.models"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Programmed","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteSpec {
    /// What clients may ask for: names, or the start of names with a trailing `*`, such as `gpt-4o*`. Where several routes claim one model, an
    /// exact name beats a `*`, the longer start wins, then a namespace's own route beats a shared one, then the older.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub models: Vec<String>,
    /// Whose sidecars get this route. A route that is shared so still needs keys that allow each of these namespaces.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// The model against whose price savings are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// The first rule whose `match` holds decides. Where none holds, the client is told that there is no such model.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub rules: Vec<Rule>,
    /// Targets behind every rule's own: asked when none of those can answer. The route's residency holds for them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub last_resort: Vec<LastResort>,
    /// Where its calls may go at all, whatever else is the matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
    /// How long the steps of a call may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// How often a call is tried. Calls that come again to a target which has failed them take turns there, a little fewer than calls come
    /// meanwhile, and are given up where their turn is over two seconds away: so nobody is flooded who is about to recover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// When a target is left alone for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

impl ModelRouteSpec {
    /// Every key that a target of the route names, as often as it is named.
    pub fn key_refs(&self) -> impl Iterator<Item = &KeyRef> {
        let targets = self.rules.iter().flat_map(|rule| &rule.targets).map(|target| &target.key_ref);
        targets.chain(self.last_resort.iter().map(|target| &target.key_ref))
    }
}

/// A model of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// The provider's name in the catalogue.
    #[schemars(length(min = 1, max = 63))]
    pub provider: String,
    /// The model's name there.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,
}

/// Some calls, and where they may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Its name, as the response header `x-outrigger-route` shows it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Conditions on the call; all that are given must hold. Absent: every call.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub when: Option<Match>,
    /// Where such calls may go: the lowest `priority` first, the others as it fails.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<Target>,
    /// How the targets of one priority share the calls. Default: `weighted`.
    #[serde(default)]
    pub balance: Balance,
}

/// Conditions on a call. Inside `tasks`, `endpoints` and `serviceAccounts` one member suffices; `headers`, `metadata` and `needs` must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// The prompt's length in reference tokens: a quarter of the text's bytes, 4 for each message, 8 for each tool, the bytes of schemas by 3.5.
    /// They do not depend on the target, so a tier's border stays where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<InputTokens>,
    /// The task that the call names in the header `x-outrigger-task` or in its `metadata.task`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub tasks: Vec<String>,
    /// Request headers with exactly these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HeaderMatch>,
    /// Metadata with exactly these values, from the header `x-outrigger-metadata` or the call's own `metadata`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub metadata: BTreeMap<String, String>,
    /// Endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub endpoints: Vec<Endpoint>,
    /// What the call needs beyond text: it offers tools, holds images, wants its answer to follow a JSON schema, asks for reasoning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub needs: Vec<Need>,
    /// The ServiceAccount of the pod that calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub service_accounts: Vec<String>,
}

/// A range of lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputTokens {
    /// From so many on. Default: 0.
    #[serde(default)]
    #[schemars(range(max = 100_000_000))]
    pub at_least: u32,
    /// Fewer than so many. Default: no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub less_than: Option<u32>,
}

/// What a call may need beyond text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Need {
    /// It offers tools.
    Tools,
    /// It holds images.
    Vision,
    /// Its answer must follow a JSON schema.
    JsonSchema,
    /// It asks for reasoning.
    Reasoning,
}

/// A request header with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderMatch {
    /// Its name, in lower case.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its exact value.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// An endpoint that routes serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `POST /chat/completions`.
    Chat,
    /// `POST /messages` and `POST /messages/count_tokens`.
    Messages,
    /// `POST /embeddings`.
    Embeddings,
}

/// A model at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The `ProviderKey` to use.
    pub key_ref: KeyRef,
    /// The provider's name of the model. Absent: the name that the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,
    /// Lower is tried first. Default: 0.
    #[serde(default)]
    #[schemars(range(max = 100))]
    pub priority: u32,
    /// Its share beside the other targets of its priority; 0 = only when none of them is available. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
    /// Timeouts that differ from the route's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// A target behind every rule's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastResort {
    /// The `ProviderKey` to use.
    pub key_ref: KeyRef,
    /// The provider's name of the model. Absent: the name that the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,
    /// Timeouts that differ from the route's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// Where calls may go. What a `ProviderKey` does not say of its provider satisfies no demand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Residency {
    /// To a provider with any of these `regions`. Default: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub regions: Vec<String>,
    /// To one that keeps what it is sent no longer than this: `none`, or a duration such as `720h`. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub retention: Option<String>,
    /// `false`: only to one that does not train models on what it is sent. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<bool>,
}

fn one() -> u32 {
    1
}

/// A `ProviderKey` by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: the route's own. In another one, its `allowedNamespaces` must allow the route's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

impl KeyRef {
    /// The key's namespace and name, seen from a route of `namespace`.
    pub(crate) fn of<'a>(&'a self, namespace: &'a str) -> (&'a str, &'a str) {
        (self.namespace.as_deref().unwrap_or(namespace), &self.name)
    }
}

/// How targets of one priority share the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Balance {
    /// By weight.
    #[default]
    Weighted,
    /// The one whose answer is expected to cost the least: by price, prompt, the length that its answers have, and what its cache holds. One
    /// without a known price comes last.
    Cheapest,
    /// The one that is expected to answer first: by the time to its first content and the time per token, as they have been of late for
    /// prompts of this size. What is not known is found out.
    Fastest,
    /// The less busy, for its weight, of two that are drawn.
    LeastBusy,
}

/// How long the steps of a call may take. Durations as in the Gateway API: `90s`, `1h30m`, `250ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// To a connection, TLS included. Default: 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub connect: Option<String>,
    /// From the request sent to the start of an answer that is not streamed. Default: 300s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub response: Option<String>,
    /// From the request sent to the first content of a stream; ten times as long for models that reason. Default: 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub first_token: Option<String>,
    /// The longest silence inside an answer. Default: 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub between_tokens: Option<String>,
    /// The whole call, all attempts. Default: 600s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub total: Option<String>,
}

/// How often a call is tried. Calls that come again to a target which has failed them take turns there, a little fewer than calls come
/// meanwhile, and are given up where their turn is over two seconds away: so nobody is flooded who is about to recover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    /// Most attempts, the first one included. Of three or more the last leaves the first priority, if that took all before it. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub max: Option<u32>,
    /// How long to wait where nothing untried is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// What follows where a provider refuses the content of a call. Default: `refuse`.
    #[serde(default)]
    pub on_content_policy: OnContentPolicy,
}

/// What follows a refusal of the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnContentPolicy {
    /// The refusal is the answer.
    #[default]
    Refuse,
    /// Another target is asked.
    Next,
}

/// A wait that doubles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backoff {
    /// The first wait, jittered. Default: 100ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub base: Option<String>,
    /// The longest wait. Default: 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub max: Option<String>,
}

/// When a target is left alone for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Breaker {
    /// When it is too slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// When it fails too often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Errors>,
}

/// A latency that is too long: new calls prefer another target while it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slow {
    /// Which time: `firstContent` (what the caller waits for before anything arrives), `total`, or `perToken`.
    pub of: SlowOf,
    /// Which quantile of it, as a string between 0 and 1: `"0.95"`.
    #[schemars(length(min = 1, max = 8))]
    pub quantile: String,
    /// Above this the target is too slow: `2s`.
    #[schemars(length(min = 1, max = 32))]
    pub threshold: String,
}

/// The times of [`Slow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SlowOf {
    /// To the first content of a stream, the whole of an answer that is not streamed.
    FirstContent,
    /// The whole answer.
    Total,
    /// Per generated token.
    PerToken,
}

/// A share of failures that is too much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Errors {
    /// Failed attempts among all, as a string above 0 and up to 1: `"0.2"`.
    #[schemars(length(min = 1, max = 8))]
    pub rate: String,
}

/// What became of a `ModelRoute`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteStatus {
    /// `Accepted`, `ResolvedRefs`, `Programmed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The targets that the published routing holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<ResolvedTarget>,
    /// The generation of the snapshot that holds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_generation: Option<i64>,
}

/// A target of the published routing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResolvedTarget {
    /// The rule that names it.
    pub rule: String,
    /// `key/model`, as metrics show it.
    pub target: String,
}
