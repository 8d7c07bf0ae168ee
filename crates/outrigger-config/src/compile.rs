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
    diagnostics::{Diagnostic, Origins, Severity, tidy},
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

/// Compiles the routing of `namespace`. Objects without a namespace of their own count as its.
pub fn compile(objects: &Objects, namespace: &str) -> Compiled {
    let mut report = Report::default();
    let index = Index::new(objects, namespace, &mut report);
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
    fn error(&mut self, about: Subject<'_>, field: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, about, field, message.into(), help.into());
    }

    fn warning(&mut self, about: Subject<'_>, field: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, about, field, message.into(), help.into());
    }

    fn note(&mut self, about: Subject<'_>, field: &str, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Note, about, field, message.into(), help.into());
    }

    fn push(&mut self, severity: Severity, about: Subject<'_>, field: &str, message: String, help: String) {
        self.0.push(Diagnostic {
            severity,
            object: format!("{} {}/{}", about.kind, about.namespace, about.name),
            source: about.origins.map(|origins| origins.of(field)),
            field: field.to_owned(),
            message,
            help,
        });
    }
}

#[cfg(test)]
mod tests;
