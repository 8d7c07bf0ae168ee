//! Conditions: what an object says of itself, in words that say what to do. None quotes a key's bytes or what a provider answered.

use crate::moment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use outrigger_config::diagnostics::{Diagnostic, Severity, Subject};

/// The condition that says whether the object is in what was published.
pub const PROGRAMMED: &str = "Programmed";
/// The condition that says whether the provider knows the keys.
pub const KEY_VALID: &str = "KeyValid";

/// Longest message, in characters.
const LONGEST: usize = 1_024;

/// One condition before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
    /// Not good, but nobody's mistake: no Event.
    pub(super) quiet: bool,
}

impl Verdict {
    pub(super) fn new(kind: &'static str, status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            status,
            reason: reason.to_owned(),
            message: shortened(&message.into()),
            quiet: status == "True",
        }
    }

    pub(super) fn quietly(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// As the object carries it: its time moves only with its status.
    pub(super) fn condition(&self, before: &[Condition], generation: Option<i64>, now: u64) -> Condition {
        let before = before.iter().find(|each| each.type_ == self.kind && each.status == self.status);
        Condition {
            type_: self.kind.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.clone(),
            message: self.message.clone(),
            observed_generation: generation,
            last_transition_time: before.map_or_else(|| moment::seconds(now), |before| before.last_transition_time.clone()),
        }
    }

    /// Whether somebody has to be told who was not told before.
    pub(super) fn is_news(&self, before: &[Condition]) -> bool {
        let same = |each: &Condition| {
            each.type_ == self.kind && each.status == self.status && each.reason == self.reason && each.message == self.message
        };
        !self.quiet && !before.iter().any(same)
    }
}

/// What diagnostics make of `Accepted` or `ResolvedRefs` of one object.
pub(super) fn verdict(kind: &'static str, found: &[&Diagnostic]) -> Verdict {
    let errors: Vec<&Diagnostic> = found
        .iter()
        .filter(|each| each.severity == Severity::Error && each.reason.condition() == Some(kind))
        .copied()
        .collect();
    let Some(first) = errors.first() else {
        let reason = if kind == outrigger_config::diagnostics::ACCEPTED {
            "Accepted"
        } else {
            "ResolvedRefs"
        };
        let warnings: Vec<&Diagnostic> = found
            .iter()
            .filter(|each| {
                each.severity == Severity::Warning && each.reason.condition().unwrap_or(outrigger_config::diagnostics::ACCEPTED) == kind
            })
            .copied()
            .collect();
        return Verdict::new(kind, "True", reason, words(&warnings));
    };
    Verdict::new(kind, "False", first.reason.as_str(), words(&errors))
}

/// The findings about one object.
pub(super) fn about<'d>(found: &'d [Diagnostic], kind: &str, namespace: &str, name: &str) -> Vec<&'d Diagnostic> {
    let is = |subject: &Subject| {
        matches!(subject, Subject::Object { kind: its, namespace: Some(home), name: own }
            if its == kind && home == namespace && own == name)
    };
    found.iter().filter(|each| is(&each.subject)).collect()
}

fn words(found: &[&Diagnostic]) -> String {
    let one = |found: &&Diagnostic| {
        let field = if found.field.is_empty() {
            String::new()
        } else {
            format!("{}: ", found.field)
        };
        let help = if found.help.is_empty() {
            String::new()
        } else {
            format!("; {}", found.help)
        };
        format!("{field}{}{help}", found.message)
    };
    found.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Not longer than people read.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().nth(LONGEST).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}
