//! From YAML files to objects, with the file and line of every field.
//!
//! A document that is wrong is reported and left out; it must never hide another one. Messages never quote the values of a Secret.

mod document;
mod files;
mod kinds;
mod meta;
mod node;
mod plain;
mod schema;

use crate::{
    diagnostics::{Diagnostic, Reason, Severity, Source, Subject, tidy},
    objects::Objects,
};
use std::{path::PathBuf, sync::Arc};

/// What was found in some files.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The objects that can be read.
    pub objects: Objects,
    /// Everything that is wrong with the others, and notes on what was ignored.
    pub diagnostics: Vec<Diagnostic>,
}

/// Loads files and directories. Of a directory: every `.yaml`, `.yml` and `.json` file in it and below, without names that start with a dot.
/// Files may hold several documents and `List` objects.
pub fn load(paths: &[PathBuf]) -> Loaded {
    let mut loaded = Loaded::default();
    for file in files::find(paths, &mut loaded.diagnostics) {
        if let Some(text) = files::read(&file, &mut loaded.diagnostics) {
            add(&mut loaded, &file.to_string_lossy(), &text);
        }
    }
    loaded.diagnostics = tidy(loaded.diagnostics);
    loaded
}

/// Loads texts as if they were files of these names.
pub fn load_texts<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Loaded {
    let mut loaded = Loaded::default();
    for (name, text) in files {
        add(&mut loaded, name, text);
    }
    loaded.diagnostics = tidy(loaded.diagnostics);
    loaded
}

fn add(loaded: &mut Loaded, name: &str, text: &str) {
    let file: Arc<str> = name.into();
    for document in document::split(text) {
        match document::parse(&document) {
            Ok(Some(root)) => kinds::take(loaded, &file, &root),
            Ok(None) => {}
            Err(broken) => loaded.diagnostics.push(Diagnostic {
                severity: Severity::Error,
                subject: Subject::Other(name.to_owned()),
                source: Some(Source {
                    file: Arc::clone(&file),
                    line: broken.line,
                }),
                reason: Reason::Unreadable,
                field: String::new(),
                message: format!("this document is no valid YAML: {}", broken.why),
                help: "the objects of other documents are still loaded".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
