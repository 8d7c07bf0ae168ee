//! Which namespaces something is for: the same three words wherever the question comes up.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Namespaces. The object's own is always among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Namespaces {
    /// `Same`: the object's own. `All`: every one. `Selector`: beside its own, those whose labels match `selector`.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces that are meant; with `from: Selector` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// The ways of [`Namespaces`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// The object's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Namespaces by label.
    Selector,
}
