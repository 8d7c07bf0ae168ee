//! The objects that routing is compiled from, whether they come from files or from an API server.

mod kubernetes;

use crate::{
    diagnostics::Origins,
    units::{BaseUrl, Shown},
    v1alpha1::{ModelRoute, NamespacesFrom, ProviderKey},
};
use outrigger_core::Secret;
use std::collections::BTreeMap;

/// The annotation of a Secret that lets its bytes go to hosts outside the catalogue: a list of origins with commas between.
pub const ORIGINS: &str = "outrigger.dev/origins";

/// Everything that the compile step looks at. The order inside a list means nothing.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Routes, of any namespace.
    pub routes: Vec<Sourced<ModelRoute>>,
    /// Keys, of any namespace.
    pub keys: Vec<Sourced<ProviderKey>>,
    /// Secrets that keys may name.
    pub secrets: Vec<Sourced<SecretObject>>,
    /// ConfigMaps that certificate bundles may name.
    pub config_maps: Vec<Sourced<ConfigMapObject>>,
    /// Namespaces with their labels, for `allowedNamespaces`.
    pub namespaces: Vec<Sourced<NamespaceObject>>,
    /// Objects that exist but could not be read: what refers to them is told so instead of "there is none".
    pub rejected: Vec<Rejected>,
}

/// An object, and where its fields were written if it came from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Sourced<T> {
    /// The object.
    pub object: T,
    /// Where its fields were written.
    pub origins: Option<Origins>,
}

/// A Secret, as far as it matters here.
#[derive(Clone, Debug)]
pub struct SecretObject {
    /// Its namespace; absent = the one that is compiled for.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The origins of its annotation `outrigger.dev/origins`: hosts outside the catalogue that its bytes may go to.
    pub origins: Vec<String>,
    /// Its entries, decoded.
    pub data: BTreeMap<String, Datum>,
}

/// An entry of a Secret.
#[derive(Clone, Debug)]
pub enum Datum {
    /// Text.
    Text(Secret),
    /// Bytes that are not UTF-8, or a base64 text that could not be decoded.
    Binary,
}

/// A ConfigMap, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapObject {
    /// Its namespace; absent = the one that is compiled for.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its texts.
    pub data: BTreeMap<String, String>,
}

/// A Namespace, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceObject {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An object that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace; absent = the one that is compiled for.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl<T> From<T> for Sourced<T> {
    /// An object that came from no file.
    fn from(object: T) -> Self {
        Self { object, origins: None }
    }
}

impl Objects {
    /// Puts `value` under `key` of the Secret `name` in `namespace`, over whatever is there: a key given on the command line.
    pub fn set_secret(&mut self, namespace: &str, name: &str, key: &str, value: Secret) {
        let wanted = |secret: &&mut Sourced<SecretObject>| {
            secret.object.name == name && secret.object.namespace.as_deref().is_none_or(|own| own == namespace)
        };
        if let Some(secret) = self.secrets.iter_mut().find(wanted) {
            secret.object.data.insert(key.to_owned(), Datum::Text(value));
        } else {
            let secret = SecretObject {
                namespace: Some(namespace.to_owned()),
                name: name.to_owned(),
                origins: Vec::new(),
                data: [(key.to_owned(), Datum::Text(value))].into(),
            };
            self.secrets.push(secret.into());
        }
    }

    /// Points every key at the base URL that `base_url` gives for its provider, and lets its Secrets go there: for a demo or a test, where
    /// whoever calls this owns both ends.
    pub fn redirect(&mut self, base_url: impl Fn(&str) -> String) {
        for key in &mut self.keys {
            let spec = &mut key.object.spec;
            let url = base_url(&spec.provider);
            let origin = BaseUrl::parse(&url).map(|url| Shown(&url.origin).to_string());
            spec.endpoint.get_or_insert_default().base_url = Some(url);
            for entry in &spec.keys {
                let named = self.secrets.iter_mut().filter(|secret| secret.object.name == entry.secret_ref.name);
                named.for_each(|secret| secret.object.origins.extend(origin.clone()));
            }
        }
    }

    /// Every namespace that a route or key names, in order; `default_namespace` stands for those that name none. Where a route is shared, any
    /// namespace that is known may get it.
    pub fn namespaces_in_use(&self, default_namespace: &str) -> Vec<String> {
        let of = |namespace: &Option<String>| namespace.clone().unwrap_or_else(|| default_namespace.to_owned());
        let shared = |route: &Sourced<ModelRoute>| route.object.spec.namespaces.from != NamespacesFrom::Same;
        let known = self.namespaces.iter().filter(|_| self.routes.iter().any(shared));
        let routes = self.routes.iter().map(|route| of(&route.object.metadata.namespace));
        let mut all: Vec<String> = routes
            .chain(self.keys.iter().map(|key| of(&key.object.metadata.namespace)))
            .chain(known.map(|namespace| namespace.object.name.clone()))
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_key_replaces_the_manifest_s_and_its_debug_hides_it() {
        let mut objects = Objects::default();
        objects.set_secret("default", "openai-keys", "a", Secret::new("sk-one".to_owned()));
        objects.set_secret("default", "openai-keys", "a", Secret::new("sk-two".to_owned()));
        objects.set_secret("other", "openai-keys", "a", Secret::new("sk-three".to_owned()));
        assert_eq!(objects.secrets.len(), 2);
        assert!(matches!(objects.secrets[0].object.data.get("a"), Some(Datum::Text(secret)) if secret.expose() == "sk-two"));
        assert!(!format!("{objects:?}").contains("sk-"));
    }
}
