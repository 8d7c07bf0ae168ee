//! Which files to read, and reading them. Every size has a cap, so that a wrong path cannot fill the memory.

use crate::diagnostics::{Diagnostic, Reason, Severity, Subject};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Most files of one run, deepest folder, and largest file in bytes.
const MAX_FILES: usize = 1_000;
const MAX_DEPTH: usize = 8;
const MAX_BYTES: u64 = 4 << 20;

/// The files that `paths` name, each once, in order.
pub(super) fn find(paths: &[PathBuf], diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                below(path, 0, &mut files, diagnostics);
                if files.len() == before {
                    diagnostics.push(about(
                        path,
                        Severity::Error,
                        "there is no YAML file in this directory",
                        "name one with .yaml, .yml or .json files",
                    ));
                }
            }
            Ok(_) => files.push(path.clone()),
            Err(error) => diagnostics.push(about(path, Severity::Error, &reason(&error), "check the path")),
        }
    }
    files.sort();
    files.dedup();
    if files.len() > MAX_FILES {
        let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
        let message = format!("there are {} files, of which the first {MAX_FILES} are read", files.len());
        diagnostics.push(about(
            first,
            Severity::Error,
            &message,
            "name fewer, or put several objects into one file",
        ));
        files.truncate(MAX_FILES);
    }
    files
}

fn below(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, diagnostics: &mut Vec<Diagnostic>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            diagnostics.push(about(
                folder,
                Severity::Error,
                &reason(&error),
                "make it readable, or name other paths",
            ));
            return;
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        // Dot names hide editors' and version control's files, and the `..data` folder of a mounted ConfigMap, whose files are linked beside it.
        if path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.')) || files.len() > MAX_FILES {
            continue;
        }
        if path.is_dir() {
            // A linked folder may lead back up.
            if depth < MAX_DEPTH && !path.is_symlink() {
                below(&path, depth + 1, files, diagnostics);
            }
        } else if path
            .extension()
            .is_some_and(|ext| ["yaml", "yml", "json"].iter().any(|known| ext == *known))
        {
            files.push(path);
        }
    }
}

/// The text of `file`; `None` where it cannot be had, which is reported.
pub(super) fn read(file: &Path, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let mut bytes = Vec::new();
    let outcome = fs::File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let problem = match outcome {
        Err(error) => (reason(&error), "make it readable, or name other paths"),
        Ok(_) if bytes.len() as u64 > MAX_BYTES => (format!("this file is larger than {} MiB", MAX_BYTES >> 20), "split it"),
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(_) => ("this file is not UTF-8".to_owned(), "save it as UTF-8"),
        },
    };
    diagnostics.push(about(file, Severity::Error, &problem.0, problem.1));
    None
}

fn reason(error: &std::io::Error) -> String {
    format!("this cannot be read: {error}")
}

fn about(path: &Path, severity: Severity, message: &str, help: &str) -> Diagnostic {
    Diagnostic {
        severity,
        subject: Subject::Other(path.to_string_lossy().into_owned()),
        source: None,
        reason: Reason::Unreadable,
        field: String::new(),
        message: message.to_owned(),
        help: help.to_owned(),
    }
}
