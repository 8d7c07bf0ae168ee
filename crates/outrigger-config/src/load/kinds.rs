//! From a document's tree to the object that its `kind` names.

use super::{
    Loaded,
    node::Node,
    schema::{Misfit, misfits},
};
use crate::{
    diagnostics::{Diagnostic, Origins, Severity, Source, nearest, quoted},
    objects::{ConfigMapObject, Datum, NamespaceObject, Rejected, SecretObject, Sourced},
    v1alpha1::{self, rules},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use outrigger_core::Secret;
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

const API_VERSION: &str = "outrigger.dev/v1alpha1";
/// The annotation of a Secret that lets its bytes go to hosts outside the catalogue.
const ORIGINS: &str = "outrigger.dev/origins";
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

/// Takes the object of one document, or of each member of a list.
pub(super) fn take(loaded: &mut Loaded, file: &Arc<str>, root: &Node) {
    let text = |field| root.field(field).and_then(Node::text).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if let (Some(items), true) = (root.field("items"), kind.ends_with("List")) {
        for item in items.members() {
            take(loaded, file, item);
        }
        return;
    }
    let mut document = Document { loaded, file, root, kind };
    match (api_version, kind) {
        (API_VERSION, "ModelRoute") => {
            if let Some(route) = document.resource("ModelRoute", rules::MODEL_ROUTE) {
                loaded.objects.routes.push(route);
            }
        }
        (API_VERSION, "ProviderKey") => {
            if let Some(key) = document.resource("ProviderKey", rules::PROVIDER_KEY) {
                loaded.objects.keys.push(key);
            }
        }
        ("v1", "Secret") => document.secret(),
        ("v1", "ConfigMap") => document.config_map(),
        ("v1", "Namespace") => document.namespace(),
        _ => document.other(api_version),
    }
}

/// One document under way.
struct Document<'a> {
    loaded: &'a mut Loaded,
    file: &'a Arc<str>,
    root: &'a Node,
    kind: &'a str,
}

/// What of the metadata of every kind matters.
struct Meta {
    name: String,
    namespace: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Document<'_> {
    /// A custom resource: complete and well-formed, or reported and rejected.
    fn resource<T: DeserializeOwned>(&mut self, kind: &'static str, table: &'static [rules::Rule]) -> Option<Sourced<T>> {
        let meta = self.meta();
        let mut found = self.unknown_fields(&["apiVersion", "kind", "metadata", "spec", "status"]);
        match (self.root.field("spec"), spec_schema(kind)) {
            (Some(spec), Some(schema)) => found.extend(misfits(schema, spec, "spec")),
            _ => found.push(misfit("spec", self.root.line, "this field is missing", "add it")),
        }
        let (meta, sound) = (meta?, found.is_empty());
        let origins = Origins::new(Arc::clone(self.file), self.root.lines());
        let value = self.to_resource();
        if !sound {
            // What the compile step would say about the rules, it cannot say of an object that it never sees.
            for violation in rules::violations(table, &value) {
                if !found.iter().any(|misfit| misfit.field == violation.field) {
                    found.push(misfit(
                        &violation.field,
                        origins.of(&violation.field).line,
                        violation.rule.wrong,
                        violation.rule.instead,
                    ));
                }
            }
        }
        let parsed = if sound { Some(serde_json::from_value(value)) } else { None };
        if let Some(Err(error)) = &parsed {
            found.push(misfit("", self.root.line, &error.to_string(), ""));
        }
        self.report(found);
        if let Some(Ok(object)) = parsed {
            let origins = Some(origins);
            return Some(Sourced { object, origins });
        }
        self.loaded.objects.rejected.push(Rejected {
            kind,
            namespace: meta.namespace,
            name: meta.name,
        });
        None
    }

    /// The document as JSON without its status, which nobody may write, and without empty metadata (`creationTimestamp: null`).
    fn to_resource(&self) -> serde_json::Value {
        let mut value = self.root.to_value();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
            if let Some(metadata) = fields.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
                metadata.retain(|_, value| !value.is_null());
            }
        }
        value
    }

    fn secret(&mut self) {
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
            origins: origins
                .split(',')
                .map(str::trim)
                .filter(|origin| !origin.is_empty())
                .map(str::to_owned)
                .collect(),
            namespace: meta.namespace,
            name: meta.name,
            data,
        };
        let secret = self.sourced(object);
        self.loaded.objects.secrets.push(secret);
    }

    fn config_map(&mut self) {
        let meta = self.meta();
        let mut found = self.unknown_fields(&["apiVersion", "kind", "metadata", "data", "binaryData", "immutable"]);
        let data = self.texts("data", &mut found).into_iter().collect();
        self.report(found);
        let Some(Meta { name, namespace, .. }) = meta else { return };
        let config_map = self.sourced(ConfigMapObject { namespace, name, data });
        self.loaded.objects.config_maps.push(config_map);
    }

    fn namespace(&mut self) {
        let Some(Meta { name, labels, .. }) = self.meta() else { return };
        let namespace = self.sourced(NamespaceObject { name, labels });
        self.loaded.objects.namespaces.push(namespace);
    }

    /// Not one of ours: a note, unless it looks like a misspelt one.
    fn other(&mut self, api_version: &str) {
        let known = ["ModelRoute", "ProviderKey"];
        let ours = api_version.starts_with("outrigger.dev") || known.contains(&self.kind);
        let (severity, message, help) = if known.contains(&self.kind) {
            let message = format!("there is no {} in {}", self.kind, quoted(api_version));
            (Severity::Error, message, format!("write apiVersion: {API_VERSION}"))
        } else if ours {
            let near = nearest(self.kind, known).map_or_else(
                || "write ModelRoute or ProviderKey".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            (
                Severity::Error,
                format!("there is no kind {} in {}", quoted(self.kind), quoted(api_version)),
                near,
            )
        } else if api_version.is_empty() || self.kind.is_empty() {
            let message = "this document has no apiVersion and kind, so it is no Kubernetes object".to_owned();
            (Severity::Warning, message, "it is ignored; add both if one was meant".to_owned())
        } else {
            (
                Severity::Note,
                "objects of this kind have no part in routing".to_owned(),
                String::new(),
            )
        };
        let diagnostic = Diagnostic {
            severity,
            object: self.title(),
            source: Some(self.source(self.root.line)),
            field: String::new(),
            message,
            help,
        };
        self.loaded.diagnostics.push(diagnostic);
    }

    /// The metadata; `None` without a usable name, which is reported like everything else that is wrong with it.
    fn meta(&mut self) -> Option<Meta> {
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
                let help = "write up to 253 lower-case letters, digits, dashes and dots";
                found.push(misfit(
                    &format!("metadata.{field}"),
                    node.line,
                    "this is no name of an object",
                    help,
                ));
            }
            Some(name.map(str::to_owned))
        };
        let namespace = name_like("namespace");
        let name = name_like("name");
        if name.is_none() {
            found.push(misfit("metadata.name", metadata.line, "this object has no name", "add one"));
        }
        self.report(found);
        Some(Meta {
            name: name??,
            namespace: match namespace {
                Some(namespace) => Some(namespace?),
                None => None,
            },
            labels: texts_of(metadata.field("labels")),
            annotations: texts_of(metadata.field("annotations")),
        })
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

    fn unknown_fields(&self, known: &[&str]) -> Vec<Misfit> {
        let unknown = self.root.fields().iter().filter(|field| !known.contains(&field.name.as_str()));
        unknown
            .map(|field| {
                let help = match nearest(&field.name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the fields here are {}", known.join(", ")),
                };
                misfit(
                    &field.name,
                    field.line,
                    &format!("there is no field {}", quoted(&field.name)),
                    &help,
                )
            })
            .collect()
    }

    fn line_of(&self, field: &str, key: &str) -> u32 {
        let fields = self.root.field(field).map(Node::fields).unwrap_or_default();
        fields
            .iter()
            .find(|entry| entry.name == key)
            .map_or(self.root.line, |entry| entry.line)
    }

    fn report(&mut self, found: Vec<Misfit>) {
        let object = self.title();
        for misfit in found {
            let source = Some(self.source(misfit.line));
            self.loaded.diagnostics.push(Diagnostic {
                severity: Severity::Error,
                object: object.clone(),
                source,
                field: misfit.field,
                message: misfit.message,
                help: misfit.help,
            });
        }
    }

    /// `Kind namespace/name`, as far as they are known.
    fn title(&self) -> String {
        let metadata = self.root.field("metadata");
        let text = |field| metadata.and_then(|metadata| metadata.field(field)).and_then(Node::text);
        let kind = if self.kind.is_empty() { "document" } else { self.kind };
        match (text("namespace"), text("name")) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
            (None, Some(name)) => format!("{kind} {name}"),
            (_, None) => kind.to_owned(),
        }
    }

    fn source(&self, line: u32) -> Source {
        Source {
            file: Arc::clone(self.file),
            line,
        }
    }

    fn sourced<T>(&self, object: T) -> Sourced<T> {
        Sourced {
            object,
            origins: Some(Origins::new(Arc::clone(self.file), self.root.lines())),
        }
    }
}

/// The schema of a kind's `spec`, as it is installed.
fn spec_schema(kind: &str) -> Option<&'static JSONSchemaProps> {
    static SCHEMAS: OnceLock<BTreeMap<String, JSONSchemaProps>> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| {
        let spec = |crd: &CustomResourceDefinition| {
            let spec = v1alpha1::schema(crd)?.properties.as_ref()?.get("spec")?;
            Some((crd.spec.names.kind.clone(), spec.clone()))
        };
        v1alpha1::crds().iter().filter_map(spec).collect()
    });
    schemas.get(kind)
}

fn misfit(field: &str, line: u32, message: &str, help: &str) -> Misfit {
    Misfit {
        field: field.to_owned(),
        line,
        message: message.to_owned(),
        help: help.to_owned(),
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
