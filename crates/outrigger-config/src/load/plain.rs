//! The objects of Kubernetes itself that routing looks at, as far as it does: Secrets, ConfigMaps, Namespaces.
//!
//! No message may quote what is under a Secret's `data`.

use super::{
    kinds::{Document, misfit},
    meta::Meta,
    node::Node,
    schema::Misfit,
};
use crate::{
    diagnostics::Origins,
    objects::{ConfigMapObject, Datum, NamespaceObject, ORIGINS, SecretObject, Sourced},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use outrigger_core::Secret;
use std::{collections::BTreeMap, sync::Arc};

impl Document<'_> {
    pub(super) fn secret(&mut self) {
        let meta = self.meta();
        let mut found = self.unknown_fields(&["apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable"]);
        let mut data = BTreeMap::new();
        for (key, text) in self.texts("data", &mut found) {
            let compact: String = text.split_whitespace().collect();
            let datum = match STANDARD.decode(compact).map(String::from_utf8) {
                Ok(Ok(text)) => Datum::Text(Secret::new(text)),
                Ok(Err(_)) => Datum::Binary,
                Err(_) => {
                    let help = "write what `base64 -w0` makes of it, or put the text itself under stringData";
                    found.push(misfit(
                        &format!("data.{key}"),
                        self.line_of("data", &key),
                        "this is no base64",
                        help,
                    ));
                    Datum::Binary
                }
            };
            data.insert(key, datum);
        }
        for (key, text) in self.texts("stringData", &mut found) {
            data.insert(key, Datum::Text(Secret::new(text)));
        }
        self.report(found);
        let Some(meta) = meta else { return };
        let origins = meta.annotations.get(ORIGINS).map(String::as_str).unwrap_or_default();
        let object = SecretObject {
            origins: SecretObject::origins_of(origins),
            namespace: meta.namespace,
            name: meta.name,
            data,
        };
        let secret = self.sourced(object);
        self.loaded.objects.secrets.push(secret);
    }

    pub(super) fn config_map(&mut self) {
        let meta = self.meta();
        let mut found = self.unknown_fields(&["apiVersion", "kind", "metadata", "data", "binaryData", "immutable"]);
        let data = self.texts("data", &mut found).into_iter().collect();
        self.report(found);
        let Some(Meta { name, namespace, .. }) = meta else { return };
        let config_map = self.sourced(ConfigMapObject { namespace, name, data });
        self.loaded.objects.config_maps.push(config_map);
    }

    pub(super) fn namespace(&mut self) {
        let Some(Meta { name, labels, .. }) = self.meta() else { return };
        let namespace = self.sourced(NamespaceObject { name, labels });
        self.loaded.objects.namespaces.push(namespace);
    }

    /// The texts of a map such as `data`. Other values are reported without quoting them.
    fn texts(&self, field: &str, found: &mut Vec<Misfit>) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for entry in self.root.field(field).map(Node::fields).unwrap_or_default() {
            match entry.value.text() {
                Some(text) => texts.push((entry.name.clone(), text.to_owned())),
                None => found.push(misfit(
                    &format!("{field}.{}", entry.name),
                    entry.line,
                    "this is no text",
                    "put it into quotes",
                )),
            }
        }
        texts
    }

    fn line_of(&self, field: &str, key: &str) -> u32 {
        let fields = self.root.field(field).map(Node::fields).unwrap_or_default();
        fields
            .iter()
            .find(|entry| entry.name == key)
            .map_or(self.root.line, |entry| entry.line)
    }

    fn sourced<T>(&self, object: T) -> Sourced<T> {
        Sourced {
            object,
            origins: Some(Origins::new(Arc::clone(self.file), self.root.lines())),
        }
    }
}
