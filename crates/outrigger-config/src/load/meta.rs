//! The metadata of an object, and what is wrong with it.

use super::{
    kinds::{Document, misfit},
    node::Node,
};
use crate::diagnostics::{nearest, quoted};
use std::collections::BTreeMap;

/// Everything that Kubernetes knows in `metadata`.
const META_FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What of the metadata of every kind matters.
pub(super) struct Meta {
    /// Nothing is wrong with it.
    pub(super) sound: bool,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Document<'_> {
    /// The metadata; `None` without a usable name, which is reported like everything else that is wrong with it.
    pub(super) fn meta(&mut self) -> Option<Meta> {
        let mut found = Vec::new();
        let Some(metadata) = self.root.field("metadata") else {
            self.report(vec![misfit(
                "metadata.name",
                self.root.line,
                "this object has no name",
                "add metadata with a name",
            )]);
            return None;
        };
        for field in metadata.fields() {
            if !META_FIELDS.contains(&field.name.as_str()) {
                let help = nearest(&field.name, META_FIELDS).map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                let path = format!("metadata.{}", field.name);
                found.push(misfit(
                    &path,
                    field.line,
                    &format!("there is no field {}", quoted(&field.name)),
                    &help,
                ));
            }
        }
        let mut name_like = |field: &str| {
            let node = metadata.field(field).filter(|node| !node.is_null())?;
            let name = node.text().filter(|name| is_dns_name(name));
            if name.is_none() {
                let (message, help) = if node.text().is_some() {
                    (
                        "this is no name of an object",
                        "write up to 253 lower-case letters, digits, dashes and dots",
                    )
                } else {
                    ("this is no text", "put it into quotes")
                };
                found.push(misfit(&format!("metadata.{field}"), node.line, message, help));
            }
            Some(name.map(str::to_owned))
        };
        let namespace = name_like("namespace");
        let name = name_like("name");
        if name.is_none() {
            found.push(misfit("metadata.name", metadata.line, "this object has no name", "add one"));
        }
        for field in ["labels", "annotations"] {
            let odd = metadata
                .field(field)
                .map(Node::fields)
                .unwrap_or_default()
                .iter()
                .filter(|entry| entry.value.text().is_none());
            found.extend(odd.map(|entry| {
                misfit(
                    &format!("metadata.{field}[{}]", entry.name),
                    entry.line,
                    "this is no text",
                    "put it into quotes",
                )
            }));
        }
        let sound = found.is_empty();
        self.report(found);
        Some(Meta {
            sound,
            name: name??,
            namespace: match namespace {
                Some(namespace) => Some(namespace?),
                None => None,
            },
            labels: texts_of(metadata.field("labels")),
            annotations: texts_of(metadata.field("annotations")),
        })
    }
}

fn texts_of(map: Option<&Node>) -> BTreeMap<String, String> {
    let fields = map.map(Node::fields).unwrap_or_default();
    fields
        .iter()
        .filter_map(|field| Some((field.name.clone(), field.value.text()?.to_owned())))
        .collect()
}

fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|c| edge(c) || c == '-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
