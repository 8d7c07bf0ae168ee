//! Who is meant by a choice of namespaces: whose sidecars get a route, and which routes may use a key. Allowing a namespace discloses the keys
//! to it, so a doubt is a no.

use super::{
    Report,
    index::{Index, Named},
};
use crate::{
    diagnostics::Reason,
    v1alpha1::{ModelRoute, Namespaces, NamespacesFrom},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// The label that Kubernetes itself puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether the compiled namespace gets `route`. That nobody can say is reported: files may lack the labels that decide.
pub(super) fn shared(index: &Index<'_>, route: &Named<'_, ModelRoute>, report: &mut Report) -> bool {
    let chosen = &route.object.spec.namespaces;
    if includes(index, chosen, route.name.0, index.namespace) {
        return true;
    }
    if chosen.from == NamespacesFrom::Selector && !labels_known(index, index.namespace) {
        let own = index.namespace;
        let message = format!("whether namespace {own} gets this route depends on its labels, which are not known here");
        let help = format!("load the manifest of Namespace {own}; until then it does not get it");
        report.note(route.subject(), Reason::LabelsUnknown, "spec.namespaces.selector", message, help);
    }
    false
}

/// The namespaces out of (the route's own, the compiled one) that a key of the namespace `home` does not allow. Both must be: the one writes
/// what is done with the key, the other's pods hold its bytes.
pub(super) fn forbidden<'n>(index: &Index<'n>, home: &str, allowed: &Namespaces, route: &'n str) -> Option<&'n str> {
    [route, index.namespace]
        .into_iter()
        .find(|namespace| !includes(index, allowed, home, namespace))
}

/// Whether `chosen`, written in the namespace `home`, means `namespace`.
fn includes(index: &Index<'_>, chosen: &Namespaces, home: &str, namespace: &str) -> bool {
    if home == namespace {
        return true;
    }
    match chosen.from {
        NamespacesFrom::Same => false,
        NamespacesFrom::All => true,
        NamespacesFrom::Selector => {
            let selector = chosen.selector.as_ref();
            selector.is_some_and(|selector| matches(selector, &labels(index, namespace)))
        }
    }
}

/// Whether the labels of `namespace` are known.
pub(super) fn labels_known(index: &Index<'_>, namespace: &str) -> bool {
    index.namespaces.contains_key(namespace)
}

fn labels(index: &Index<'_>, namespace: &str) -> BTreeMap<String, String> {
    let known = index.namespaces.get(namespace);
    let mut labels = known.map(|known| known.labels.clone()).unwrap_or_default();
    labels.insert(NAME_LABEL.to_owned(), namespace.to_owned());
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
