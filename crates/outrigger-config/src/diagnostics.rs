//! What is wrong with the configuration, in words for the person who wrote it.
//!
//! A diagnostic names the object, the field, what is wrong and what to write instead. It must never quote a key's bytes.

mod reason;

pub use reason::Reason;

use core::fmt;
use std::{collections::BTreeMap, sync::Arc};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// Where the field was written, if it came from a file.
    pub source: Option<Source>,
    /// The field's path, such as `spec.rules[0].targets[1].keyRef.name`; empty where the object as a whole is meant.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead; empty where the message says it.
    pub help: String,
    /// Why, in one word.
    pub reason: Reason,
}

/// The condition that says whether an object says something usable by itself.
pub const ACCEPTED: &str = "Accepted";
/// The condition that says whether what an object names is there and may be used.
pub const RESOLVED_REFS: &str = "ResolvedRefs";

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An object.
    Object {
        /// Its kind.
        kind: String,
        /// Its namespace; absent in a file that names none.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// Where no object could be made out: the file, or the kind of an object without a name.
    Other(String),
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The API server would refuse it, or it does not work as written.
    Error,
    /// It works, but hardly as meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The file's path as it was given.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
}

/// Where the fields of one object were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origins {
    file: Arc<str>,
    /// By field path; the empty path is the object itself.
    lines: BTreeMap<String, u32>,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Origins {
    pub(crate) fn new(file: Arc<str>, lines: BTreeMap<String, u32>) -> Self {
        Self { file, lines }
    }

    /// The line of `field`, or of the closest field around it that was written.
    pub fn of(&self, field: &str) -> Source {
        let mut path = field;
        let line = loop {
            if let Some(line) = self.lines.get(path) {
                break *line;
            }
            match path.rfind(['.', '[']).and_then(|at| path.split_at_checked(at)) {
                Some((around, _)) => path = around,
                None => break self.lines.get("").copied().unwrap_or(1),
            }
        };
        Source {
            file: Arc::clone(&self.file),
            line,
        }
    }
}

impl fmt::Display for Subject {
    /// `Kind namespace/name`, or the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object {
                kind,
                namespace: Some(namespace),
                name,
            } => write!(f, "{kind} {namespace}/{name}"),
            Self::Object {
                kind,
                namespace: None,
                name,
            } => write!(f, "{kind} {name}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.as_str(), self.subject)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(source) = &self.source {
            write!(f, "\n   --> {source}")?;
        }
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}

/// `value` in quotes, shortened, without control characters: what a message may show of what somebody wrote.
pub(crate) fn quoted(value: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = value
        .chars()
        .take(MOST)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    if value.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The member of `known` that `typo` most likely means. A namespace may hold thousands of names that nobody knows, so what is cheap to see
/// is looked at first: no distance is shorter than the difference in length, or than the number of letters that the other one lacks.
pub(crate) fn nearest<'a>(typo: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typo = typo.to_lowercase();
    let typed = letters(&typo);
    let candidates = known.into_iter().filter_map(|name| {
        let most = 1.max(name.len().min(typo.len()) / 3);
        let lower = name.to_lowercase();
        let meant = letters(&lower);
        let lacking = (typed & !meant).count_ones().max((meant & !typed).count_ones());
        if lacking as usize > most || lower.chars().count().abs_diff(typo.chars().count()) > most {
            return None;
        }
        let distance = strsim::osa_distance(&typo, &lower);
        (distance <= most).then_some((distance, name))
    });
    candidates.min().map(|(_, name)| name)
}

/// The letters of `text`, as a set that may take some for each other.
fn letters(text: &str) -> u64 {
    text.chars().fold(0, |set, letter| set | 1 << (u32::from(letter) % 64))
}

/// Sorts by severity, object and field, and drops repetitions.
pub(crate) fn tidy(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort();
    diagnostics.dedup();
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_typo_finds_the_name_that_was_meant() {
        let known = ["baseURL", "dialect", "headers", "caBundle"];
        for (typo, meant) in [
            ("baseUrl", Some("baseURL")),
            ("dialct", Some("dialect")),
            ("header", Some("headers")),
            ("cabundel", Some("caBundle")),
            ("timeout", None),
            ("", None),
        ] {
            assert_eq!(nearest(typo, known), meant, "{typo}");
        }
    }

    proptest! {
        #[test]
        fn what_is_skipped_would_not_have_been_near(typo in "[a-dA-Dü-]{0,9}", known in prop::collection::vec("[a-dA-Dü-]{0,9}", 0..6)) {
            let distance = |name: &str| strsim::osa_distance(&typo.to_lowercase(), &name.to_lowercase());
            let near = |name: &&str| distance(name) <= 1.max(name.len().min(typo.to_lowercase().len()) / 3);
            let all = known.iter().map(String::as_str).filter(near).map(|name| (distance(name), name));
            prop_assert_eq!(nearest(&typo, known.iter().map(String::as_str)), all.min().map(|(_, name)| name));
        }
    }

    #[test]
    fn a_field_that_was_not_written_shows_the_line_around_it() {
        let lines = [("", 3), ("spec", 5), ("spec.rules[0]", 7)].map(|(path, line)| (path.to_owned(), line));
        let origins = Origins::new("a.yaml".into(), lines.into());
        for (field, line) in [("spec.rules[0].targets[1].model", 7), ("spec.models", 5), ("status", 3), ("", 3)] {
            assert_eq!(origins.of(field).line, line, "{field}");
        }
    }

    #[test]
    fn what_somebody_wrote_is_shown_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[31m\nb"), "`a\\u{1b}[31m\\nb`");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 64 + 3);
    }
}
