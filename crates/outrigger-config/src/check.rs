//! `check`: what the API server and the controller would say of some files, without either.
//!
//! Secrets are seldom kept beside the objects that name them, so one that is not among the files is taken on trust.

use crate::{
    compile::{Mode, compile_for},
    diagnostics::{Diagnostic, Reason, Severity, Subject, tidy},
    load::{Loaded, load},
    objects::{Datum, Objects, SecretObject},
    v1alpha1::AuthType,
};
use core::fmt;
use outrigger_core::Secret;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// What a check came to.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Everything that is wrong or noteworthy: errors first.
    pub diagnostics: Vec<Diagnostic>,
    /// How many `ModelRoute`s were found, unreadable ones included.
    pub routes: usize,
    /// How many `ProviderKey`s were found, unreadable ones included.
    pub keys: usize,
}

impl Checked {
    /// 0: nothing is wrong (warnings and notes are allowed). 1: something is. 2: there was nothing to check.
    pub fn exit_code(&self) -> u8 {
        if self.routes + self.keys == 0 {
            2
        } else {
            u8::from(self.count(Severity::Error) > 0)
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

impl fmt::Display for Checked {
    /// Every finding, then one line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            writeln!(f, "{diagnostic}\n")?;
        }
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        if self.exit_code() == 2 {
            return writeln!(f, "no ModelRoute and no ProviderKey found");
        }
        let counts = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| plural(self.count(severity), severity.as_str()));
        writeln!(
            f,
            "{}, {}: {}",
            plural(self.routes, "ModelRoute"),
            plural(self.keys, "ProviderKey"),
            counts.join(", ")
        )
    }
}

/// Checks files and directories. Objects without a namespace count as `namespace`'s; every namespace that occurs is compiled.
pub fn check(paths: &[PathBuf], namespace: &str) -> Checked {
    check_loaded(load(paths), namespace)
}

/// Checks what has been loaded.
pub fn check_loaded(loaded: Loaded, namespace: &str) -> Checked {
    let Loaded {
        mut objects,
        mut diagnostics,
    } = loaded;
    let rejected = |kind| objects.rejected.iter().filter(|rejected| rejected.kind == kind).count();
    let (routes, keys) = (
        objects.routes.len() + rejected("ModelRoute"),
        objects.keys.len() + rejected("ProviderKey"),
    );
    diagnostics.extend(trust(&mut objects, namespace));
    for namespace in objects.namespaces_in_use(namespace) {
        diagnostics.extend(compile_for(&objects, &namespace, Mode::Cluster).diagnostics);
    }
    Checked {
        diagnostics: tidy(diagnostics),
        routes,
        keys,
    }
}

/// Adds the Secrets that keys name and that are not there, with a note for each: who looks at routes need not have the keys.
pub fn trust(objects: &mut Objects, default_namespace: &str) -> Vec<Diagnostic> {
    let of = |namespace: &Option<String>| namespace.clone().unwrap_or_else(|| default_namespace.to_owned());
    let present: BTreeSet<(String, String)> = objects
        .secrets
        .iter()
        .map(|secret| (of(&secret.object.namespace), secret.object.name.clone()))
        .collect();
    let mut trusted: BTreeMap<(String, String), SecretObject> = BTreeMap::new();
    let mut notes = Vec::new();
    for key in objects.keys.iter().filter(|key| key.object.spec.auth.kind == AuthType::ApiKey) {
        let namespace = of(&key.object.metadata.namespace);
        let base_url = key.object.spec.endpoint.as_ref().and_then(|endpoint| endpoint.base_url.as_deref());
        for (at, entry) in key.object.spec.keys.iter().enumerate() {
            let name = (namespace.clone(), entry.secret_ref.name.clone());
            if present.contains(&name) {
                continue;
            }
            let field = format!("spec.keys[{at}].secretRef");
            notes.push(Diagnostic {
                severity: Severity::Note,
                subject: Subject::Object {
                    kind: "ProviderKey".to_owned(),
                    namespace: Some(namespace.clone()),
                    name: key.object.metadata.name.clone().unwrap_or_default(),
                },
                source: key.origins.as_ref().map(|origins| origins.of(&field)),
                reason: Reason::SecretAssumed,
                field,
                message: format!("Secret `{}/{}` is not among the files and is taken on trust", name.0, name.1),
                help: String::new(),
            });
            let secret = trusted.entry(name.clone()).or_insert_with(|| SecretObject {
                namespace: Some(name.0),
                name: name.1,
                origins: Vec::new(),
                data: BTreeMap::new(),
            });
            secret
                .data
                .insert(entry.secret_ref.key.clone(), Datum::Text(Secret::new("trusted".to_owned())));
            secret.origins.extend(base_url.and_then(origin));
        }
    }
    objects.secrets.extend(trusted.into_values().map(Into::into));
    notes
}

/// The origin of a base URL, as the annotation of a Secret names it.
fn origin(base_url: &str) -> Option<String> {
    let url = crate::units::BaseUrl::parse(base_url).ok()?;
    Some(crate::units::Shown(&url.origin).to_string())
}

#[cfg(test)]
mod tests;
