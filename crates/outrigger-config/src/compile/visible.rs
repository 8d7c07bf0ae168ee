//! Which keys a namespace may use. Allowing a namespace discloses the keys to it, so a doubt is a no.

use super::index::Index;
use crate::v1alpha1::{AllowedFrom, AllowedNamespaces};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// The label that Kubernetes itself puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether routes of the compiled namespace may use a key of the namespace `home`.
pub(super) fn allowed(index: &Index<'_>, home: &str, allowed: &AllowedNamespaces) -> bool {
    if home == index.namespace {
        return true;
    }
    match allowed.from {
        AllowedFrom::Same => false,
        AllowedFrom::All => true,
        AllowedFrom::Selector => allowed.selector.as_ref().is_some_and(|selector| matches(selector, &labels(index))),
    }
}

/// Whether the labels of the compiled namespace are known.
pub(super) fn labels_known(index: &Index<'_>) -> bool {
    index.namespaces.contains_key(index.namespace)
}

fn labels(index: &Index<'_>) -> BTreeMap<String, String> {
    let mut labels = index
        .namespaces
        .get(index.namespace)
        .map(|namespace| namespace.labels.clone())
        .unwrap_or_default();
    labels.insert(NAME_LABEL.to_owned(), index.namespace.to_owned());
    labels
}

/// Kubernetes' own meaning: everything that is given must hold; nothing given holds for all.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|expression| {
        let label = labels.get(&expression.key);
        let listed = || label.is_some_and(|label| expression.values.iter().flatten().any(|value| value == label));
        match expression.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            _ => false,
        }
    });
    equal && expressions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_mean_what_they_mean_to_kubernetes() {
        let labels: BTreeMap<String, String> = [("team", "blue"), ("tier", "gold")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        for (selector, holds) in [
            ("{}", true),
            (r#"{"matchLabels": {"team": "blue"}}"#, true),
            (r#"{"matchLabels": {"team": "blue", "tier": "iron"}}"#, false),
            (r#"{"matchLabels": {"absent": ""}}"#, false),
            (
                r#"{"matchExpressions": [{"key": "team", "operator": "In", "values": ["red", "blue"]}]}"#,
                true,
            ),
            (
                r#"{"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["blue"]}]}"#,
                false,
            ),
            (
                r#"{"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["blue"]}]}"#,
                true,
            ),
            (r#"{"matchExpressions": [{"key": "team", "operator": "Exists"}]}"#, true),
            (r#"{"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}"#, false),
            (r#"{"matchExpressions": [{"key": "team", "operator": "Resembles"}]}"#, false),
        ] {
            assert_eq!(matches(&serde_json::from_str(selector).unwrap(), &labels), holds, "{selector}");
        }
    }
}
