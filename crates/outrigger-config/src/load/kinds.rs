//! From a document's tree to the object that its `kind` names.

use super::{
    Loaded,
    node::Node,
    schema::{Misfit, misfits},
};
use crate::{
    diagnostics::{Diagnostic, Origins, Reason, Severity, Source, Subject, nearest, quoted},
    objects::{Rejected, Sourced},
    v1alpha1::{self, rules},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

const API_VERSION: &str = "outrigger.dev/v1alpha1";

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
pub(super) struct Document<'a> {
    pub(super) loaded: &'a mut Loaded,
    pub(super) file: &'a Arc<str>,
    pub(super) root: &'a Node,
    kind: &'a str,
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
        let sound = found.is_empty() && meta.as_ref().is_some_and(|meta| meta.sound);
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
        let meta = meta?;
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
            subject: self.subject(),
            source: Some(self.source(self.root.line)),
            reason: if severity == Severity::Error {
                Reason::InvalidSpec
            } else {
                Reason::Ignored
            },
            field: String::new(),
            message,
            help,
        };
        self.loaded.diagnostics.push(diagnostic);
    }

    pub(super) fn unknown_fields(&self, known: &[&str]) -> Vec<Misfit> {
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

    pub(super) fn report(&mut self, found: Vec<Misfit>) {
        let subject = self.subject();
        for misfit in found {
            let source = Some(self.source(misfit.line));
            self.loaded.diagnostics.push(Diagnostic {
                severity: Severity::Error,
                subject: subject.clone(),
                source,
                reason: Reason::InvalidSpec,
                field: misfit.field,
                message: misfit.message,
                help: misfit.help,
            });
        }
    }

    /// The object as far as it is known; else the file.
    fn subject(&self) -> Subject {
        let metadata = self.root.field("metadata");
        let text = |field| metadata.and_then(|metadata| metadata.field(field)).and_then(Node::text);
        match text("name") {
            Some(name) => Subject::Object {
                kind: if self.kind.is_empty() { "document" } else { self.kind }.to_owned(),
                namespace: text("namespace").map(str::to_owned),
                name: name.to_owned(),
            },
            None if self.kind.is_empty() => Subject::Other(self.file.to_string()),
            None => Subject::Other(self.kind.to_owned()),
        }
    }

    fn source(&self, line: u32) -> Source {
        Source {
            file: Arc::clone(self.file),
            line,
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

pub(super) fn misfit(field: &str, line: u32, message: &str, help: &str) -> Misfit {
    Misfit {
        field: field.to_owned(),
        line,
        message: message.to_owned(),
        help: help.to_owned(),
    }
}
