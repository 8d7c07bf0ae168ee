//! One file's text into documents, and a document into a tree.
//!
//! Documents are split before they are parsed: the parser gives up at the first error, and what follows must not be lost with it.

use super::node::Node;
use crate::diagnostics::quoted;
use serde_saphyr::Error;

/// A part of a file between two `---` lines.
pub(super) struct Document<'a> {
    text: &'a str,
    /// Lines of the file in front of it.
    above: u32,
}

/// Why a document cannot be parsed.
pub(super) struct Broken {
    /// The line in the file.
    pub(super) line: u32,
    /// In the parser's words.
    pub(super) why: String,
}

/// The documents of `text`. A line that starts with `---` always begins one: block scalars are indented.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut above) = (0, 0);
    let (mut at, mut lines) = (0, 0u32);
    for line in text.split_inclusive('\n') {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && at > start {
            documents.extend(text.get(start..at).map(|text| Document { text, above }));
            (start, above) = (at, lines);
        }
        at += line.len();
        lines = lines.saturating_add(1);
    }
    documents.extend(text.get(start..).map(|text| Document { text, above }));
    documents.retain(|document| !document.is_empty());
    documents
}

impl Document<'_> {
    /// Nothing but blank lines, comments, directives and markers.
    fn is_empty(&self) -> bool {
        self.text.lines().all(|line| {
            let line = line.strip_prefix("---").unwrap_or(line).trim();
            line.is_empty() || line.starts_with(['#', '%']) || line == "..."
        })
    }
}

/// Parses a document; `None` where it holds nothing.
pub(super) fn parse(document: &Document<'_>) -> Result<Option<Node>, Broken> {
    // Far above any sensible object, far below what hurts. Aliases are replayed, so they count as often as they are used.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: 100_000, max_events: 400_000, max_depth: 40 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        // The text of the file may hold keys; a snippet would print them.
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Node>(document.text, options) {
        Ok(mut root) => {
            root.shift(document.above);
            Ok((!root.is_null()).then_some(root))
        }
        Err(error) => {
            let location = error.location();
            let line = location.map_or(1, |at| u32::try_from(at.line()).unwrap_or(u32::MAX));
            Err(Broken {
                line: line.saturating_add(document.above),
                why: why(&error),
            })
        }
    }
}

/// What went wrong, without quoting any value: the document may be a Secret.
fn why(error: &Error) -> String {
    let error = error.without_snippet();
    if let Error::AliasError { error, .. } = error {
        return why(error);
    }
    if let Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("the key {} is there twice", quoted(key));
    }
    if matches!(error, Error::Budget { .. }) {
        return "it is too large, or nested too deeply".to_owned();
    }
    if matches!(
        error,
        Error::AliasReplayLimitExceeded { .. } | Error::RecursiveReferencesRequireWeakTypes { .. }
    ) {
        return "its aliases repeat too much".to_owned();
    }
    if matches!(
        error,
        Error::ExternalMessage { .. } | Error::Eof { .. } | Error::UnknownAnchor { .. }
    ) {
        // The grammar's own words. Their idea of the place counts from the start of the document, so it is cut off.
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let end = [" at line ", " (line "]
            .iter()
            .filter_map(|mark| first.find(mark))
            .min()
            .unwrap_or(first.len());
        return first.get(..end).unwrap_or(first).trim_end_matches([':', ',']).to_owned();
    }
    "a value does not fit its tag".to_owned()
}
