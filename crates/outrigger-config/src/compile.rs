//! From objects to the routing table of one namespace.
//!
//! Pure and total: whatever the objects hold, there is a table, and everything that is wrong is reported at once. What is broken drops only
//! itself. The result must not depend on the order of the objects.

mod assemble;
mod facts;
mod index;
mod keys;
mod routes;
mod visible;

use crate::{
    diagnostics::{self, Diagnostic, Origins, Reason, Severity, tidy},
    objects::Objects,
};
use index::Index;
use outrigger_core::{Secret, Table};
use std::collections::BTreeMap;

/// What a namespace's objects come to.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The routing, without key bytes.
    pub table: Table,
    /// The bytes of the table's keys, by key id.
    pub secrets: BTreeMap<String, Secret>,
    /// Everything that is wrong or noteworthy: errors first, then by object and field.
    pub diagnostics: Vec<Diagnostic>,
}

/// Where the objects come from, and so whom they are trusted to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From files: whoever wrote them may read the Secrets anyway.
    Files,
    /// From a cluster, where a `ProviderKey`'s author may have no right to read the Secret that it names: a Secret's bytes go to a host
    /// outside the catalogue only if the Secret itself says so.
    Cluster,
}

/// Compiles the routing of `namespace` from files. Objects without a namespace of their own count as its.
pub fn compile(objects: &Objects, namespace: &str) -> Compiled {
    compile_for(objects, namespace, Mode::Files)
}

/// Compiles the routing of `namespace`: its own routes, and those that others share with it. Objects without a namespace of their own count
/// as its.
///
/// The findings are about every object that took part, also those of other namespaces.
pub fn compile_for(objects: &Objects, namespace: &str, mode: Mode) -> Compiled {
    let mut report = Report::default();
    let index = Index::new(objects, namespace, mode, &mut report);
    let keys = keys::resolve(&index, &mut report);
    let drafts = routes::draft(&index, &keys, &mut report);
    let (table, secrets) = assemble::assemble(&index, &keys, &drafts);
    Compiled {
        table,
        secrets,
        diagnostics: tidy(report.0),
    }
}

/// The findings so far.
#[derive(Default)]
struct Report(Vec<Diagnostic>);

/// The object that findings are about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    origins: Option<&'a Origins>,
}

impl Report {
    fn error(&mut self, about: Subject<'_>, reason: Reason, field: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, about, reason, field, (message.into(), help.into()));
    }

    fn warning(&mut self, about: Subject<'_>, reason: Reason, field: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, about, reason, field, (message.into(), help.into()));
    }

    fn note(&mut self, about: Subject<'_>, reason: Reason, field: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Note, about, reason, field, (message.into(), help.into()));
    }

    fn push(&mut self, severity: Severity, about: Subject<'_>, reason: Reason, field: &str, (message, help): (String, String)) {
        self.0.push(Diagnostic {
            severity,
            subject: diagnostics::Subject::Object {
                kind: about.kind.to_owned(),
                namespace: Some(about.namespace.to_owned()),
                name: about.name.to_owned(),
            },
            source: about.origins.map(|origins| origins.of(field)),
            reason,
            field: field.to_owned(),
            message,
            help,
        });
    }
}

#[cfg(test)]
mod tests;
