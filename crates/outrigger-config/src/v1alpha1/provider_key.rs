//! `ProviderKey`: a provider, where it lives, and the ring of keys that it accepts.

use super::Namespaces;
use crate::units::parse_duration;
use core::time::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A provider of models, where it lives, and the ring of keys that it accepts.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "outrigger.dev",
    version = "v1alpha1",
    kind = "ProviderKey",
    plural = "providerkeys",
    shortname = "pk",
    category = "outrigger",
    namespaced,
    status = "ProviderKeyStatus",
    derive = "PartialEq",
    doc = "A provider of models, where it lives, and the ring of keys that it accepts.",
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.provider"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name":"Valid","type":"string","jsonPath":".status.conditions[?(@.type==\"KeyValid\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ProviderKeySpec {
    /// A provider of the catalogue (`outrigger catalog` lists them), such as `openai`, or `custom` for any other host that speaks one of the
    /// known dialects.
    #[schemars(length(min = 1, max = 63))]
    pub provider: String,
    /// Where the provider lives and what it speaks. Optional for a provider of the catalogue; `custom` needs `baseURL` and `dialect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<ProviderEndpoint>,
    /// How the provider knows us.
    #[serde(default)]
    pub auth: Auth,
    /// The key ring: calls are spread over its keys by weight, and a key that is refused or out of money is passed over. Absent where
    /// `auth.type` is `None`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub keys: Vec<RingEntry>,
    /// Where the provider keeps and works on what it is sent, such as `eu`: labels that a route's `residency` asks for. They are its contract's
    /// words; nobody can check them from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub regions: Vec<String>,
    /// What the provider does with what it is sent, by its contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_policy: Option<DataPolicy>,
    /// How a changed Secret takes the place of what was there before.
    #[serde(default)]
    pub rotation: Rotation,
    /// How the provider is asked whether it answers, beside calls; default: not at all. An answer below 300 says that it does; one from 500 on,
    /// or none in time, that it does not; any other says neither. Three without an answer in a row take its targets out unless their calls
    /// succeed, and three with one bring them back; where calls found it down, two and then one good call do. `outrigger dev` asks all the
    /// time, a sidecar only for a target that is down while no call goes there: a thousand pods must not poll a provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// What its models cost where that is not what the catalogue says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    /// Endpoints that are forwarded to it as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough: Option<Passthrough>,
    /// Namespaces whose routes may use it. Allowing a namespace discloses the keys to it.
    #[serde(default)]
    pub allowed_namespaces: Namespaces,
}

/// Where a provider lives and what it speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderEndpoint {
    /// Everything in front of `/chat/completions`, `/messages` or `/embeddings`, such as `https://eu.api.openai.com/v1`. No user info, query
    /// or fragment. Default: the catalogue's.
    #[serde(rename = "baseURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub base_url: Option<String>,
    /// The wire format that is spoken there. Default: the catalogue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// Request headers to add to every call, such as `OpenAI-Organization`. Never a credential: keys come from Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 512}))]
    pub headers: BTreeMap<String, String>,
    /// Certificate authorities to trust beside the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<CaBundle>,
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI's API and whatever speaks it.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
}

/// Certificate authorities, PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// The entry of a ConfigMap of the same namespace that holds them.
    pub config_map_ref: DataKeyRef,
}

/// One entry of a Secret or ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DataKeyRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key under its `data`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// How a provider knows us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Auth {
    /// `APIKey`: by one of `keys`, in the header that the dialect prescribes. `None`: not at all.
    #[serde(rename = "type", default)]
    pub kind: AuthType,
}

/// The ways of [`Auth`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthType {
    /// By one of the ring's keys.
    #[default]
    #[serde(rename = "APIKey")]
    ApiKey,
    /// Not at all.
    None,
}

/// One key of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RingEntry {
    /// Its name inside the ring, as metrics and status show it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The entry of a Secret of the same namespace that holds its bytes.
    pub secret_ref: DataKeyRef,
    /// Its share of the calls beside the other keys. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// What a provider does with what it is sent. What is not said satisfies no route that asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataPolicy {
    /// How long it keeps it: `none`, or a duration such as `720h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub retention: Option<String>,
    /// Whether it trains models on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<bool>,
}

/// A `GET` that costs nothing, with a key of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// From one question to the next, at least `1s`.
    #[serde(default = "fifteen_seconds")]
    #[schemars(length(min = 1, max = 32))]
    pub interval: String,
    /// How long one may take, connection included; not longer than `interval`.
    #[serde(default = "two_seconds")]
    #[schemars(length(min = 1, max = 32))]
    pub timeout: String,
    /// What is asked for, behind the base URL.
    #[serde(default = "models")]
    #[schemars(length(min = 1, max = 128))]
    pub path: String,
}

/// How changed bytes take the place of the old ones. Files know no rotation: there what is written counts at once, and of these fields only
/// `revokedVersions` matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// How long the old bytes stay usable after the new ones have taken over, at least `3m`: a pod may be that late to see a changed Secret.
    #[serde(default = "ten_minutes")]
    #[schemars(length(min = 1, max = 32))]
    pub overlap: String,
    /// Whether new bytes are tried at the provider before they are used: those that it refuses change nothing.
    #[serde(default = "yes")]
    pub verify: bool,
    /// Bytes that must not be used any more, whatever Secret holds them: the eight hex digits that the status shows as `version`,
    /// in quotes, since some of them read as numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 8, max = 8)), extend("x-kubernetes-list-type" = "set"))]
    pub revoked_versions: Vec<String>,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            overlap: ten_minutes(),
            verify: yes(),
            revoked_versions: Vec::new(),
        }
    }
}

impl Rotation {
    /// The shortest [`overlap`](Self::overlap): the longest time that a pod may be behind its Secrets, with a margin.
    pub const LEAST_OVERLAP: Duration = Duration::from_mins(3);

    /// [`overlap`](Self::overlap) as a time. An object that was stored under laxer rules cannot make it shorter than it may be.
    pub fn overlap(&self) -> Duration {
        let written = parse_duration(&self.overlap).or_else(|| parse_duration(&ten_minutes()));
        written.unwrap_or_default().max(Self::LEAST_OVERLAP)
    }

    /// Whether bytes of `version` must not be used any more.
    pub fn revokes(&self, version: &str) -> bool {
        self.revoked_versions.iter().any(|revoked| revoked == version)
    }
}

fn fifteen_seconds() -> String {
    "15s".to_owned()
}

fn two_seconds() -> String {
    "2s".to_owned()
}

fn models() -> String {
    "/models".to_owned()
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

fn yes() -> bool {
    true
}

/// Prices that differ from the catalogue's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pricing {
    /// Percent on top of the catalogue's prices, as a string: `"7"`, or `"-2.5"` for a discount. -100 to 1000, four decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10))]
    pub markup_percent: Option<String>,
    /// Prices of single models; the markup does not apply to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["model"]))]
    pub overrides: Vec<PriceOverride>,
}

/// The price of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceOverride {
    /// The provider's name of the model.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,
    /// US dollars per million input tokens, as a string: `"2.5"`. At most six decimals.
    #[serde(rename = "inputPerMTok")]
    #[schemars(length(min = 1, max = 13))]
    pub input_per_mtok: String,
    /// US dollars per million output tokens, as a string: `"10"`. At most six decimals.
    #[serde(rename = "outputPerMTok")]
    #[schemars(length(min = 1, max = 13))]
    pub output_per_mtok: String,
}

/// Endpoints that are forwarded as they are: bytes, key and timeouts, but no routing and no failover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Passthrough {
    /// Paths without `/v1`: exact, such as `/files`, or everything below one with a trailing `/*`, such as `/images/*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub paths: Vec<String>,
}

/// What became of a `ProviderKey`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderKeyStatus {
    /// `Accepted`, `ResolvedRefs`, `Programmed`, `KeyValid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One per key of the ring and version of its bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name", "version"]))]
    pub keys: Vec<KeyStatus>,
}

/// What became of one version of a ring's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyStatus {
    /// Its name inside the ring.
    pub name: String,
    /// Which bytes are meant: the first eight hex digits of their SHA-256, as `printf %s "$KEY" | sha256sum` shows them.
    pub version: String,
    /// `Validating` (tried at the provider), `Next` (on its way to the pods), `Active`, `Draining` (until `rotation.overlap` has passed) or
    /// `Revoked`.
    pub state: String,
    /// Since when.
    pub since: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_never_shorter_than_a_pod_may_be_late() {
        for (written, minutes) in [("10m", 10), ("1h30m", 90), ("3m", 3), ("1ms", 3), ("soon", 10), ("", 10)] {
            let rotation = Rotation {
                overlap: written.to_owned(),
                ..Rotation::default()
            };
            assert_eq!(rotation.overlap(), Duration::from_mins(minutes), "{written}");
        }
    }

    #[test]
    fn rotation_that_is_not_written_has_its_defaults() {
        let spec: ProviderKeySpec = serde_json::from_value(serde_json::json!({"provider": "openai"})).unwrap();
        assert_eq!(spec.rotation, serde_json::from_value(serde_json::json!({})).unwrap());
        assert!(spec.rotation.verify && !spec.rotation.revokes("d76428f6"));
        assert_eq!(spec.rotation.overlap(), Duration::from_mins(10));
    }
}
