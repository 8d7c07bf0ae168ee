//! Kubernetes' own objects as an API server hands them over, cut down to what routing looks at.
//!
//! Bytes of a Secret move, they are never copied: what is dropped is wiped.

use super::{ConfigMapObject, Datum, NamespaceObject, ORIGINS, SecretObject};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};

impl SecretObject {
    /// The origins that the value of the annotation [`ORIGINS`] names.
    pub(crate) fn origins_of(annotation: &str) -> Vec<String> {
        let origins = annotation.split(',').map(str::trim);
        origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect()
    }
}

impl From<Secret> for SecretObject {
    fn from(secret: Secret) -> Self {
        let annotations = secret.metadata.annotations.unwrap_or_default();
        let data = secret.data.unwrap_or_default().into_iter();
        Self {
            namespace: secret.metadata.namespace,
            name: secret.metadata.name.unwrap_or_default(),
            origins: annotations.get(ORIGINS).map(|text| Self::origins_of(text)).unwrap_or_default(),
            data: data
                .map(|(key, bytes)| {
                    let text = String::from_utf8(bytes.0);
                    (
                        key,
                        text.map_or(Datum::Binary, |text| Datum::Text(outrigger_core::Secret::new(text))),
                    )
                })
                .collect(),
        }
    }
}

impl From<ConfigMap> for ConfigMapObject {
    fn from(map: ConfigMap) -> Self {
        Self {
            namespace: map.metadata.namespace,
            name: map.metadata.name.unwrap_or_default(),
            data: map.data.unwrap_or_default(),
        }
    }
}

impl From<Namespace> for NamespaceObject {
    fn from(namespace: Namespace) -> Self {
        Self {
            name: namespace.metadata.name.unwrap_or_default(),
            labels: namespace.metadata.labels.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_keeps_its_texts_and_where_they_may_go() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "blue", "annotations": {ORIGINS: "https://a, https://b ,"}},
            "data": {"text": "Y2FuYXJ5", "bytes": "/w=="},
        }))
        .unwrap();
        let secret = SecretObject::from(secret);
        assert_eq!((secret.namespace.as_deref(), secret.name.as_str()), (Some("blue"), "s"));
        assert_eq!(secret.origins, ["https://a", "https://b"]);
        assert!(matches!(&secret.data["text"], Datum::Text(text) if text.expose() == "canary"));
        assert!(matches!(secret.data["bytes"], Datum::Binary));
        assert!(!format!("{secret:?}").contains("canary"));
    }
}
