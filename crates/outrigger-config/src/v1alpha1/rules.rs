//! What one object can show wrong, beyond types and sizes: one row per rule, its sentence written once.
//!
//! A row goes into the CRD as CEL, which the API server evaluates, and is evaluated here for files. Most rows are one regular expression
//! that both read, so the two cannot disagree; the few others carry a CEL text and the same condition in Rust, and a test runs both over
//! the same samples. A row must never need more than the object itself.

use regex_lite::Regex;
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::OnceLock,
};

mod table;

pub(crate) use table::{MODEL_ROUTE, PROVIDER_KEY};

/// A rule.
pub(crate) struct Rule {
    /// Where it holds: field paths of the schema, `[]` for the members of a list.
    pub(crate) at: &'static [&'static str],
    /// The condition.
    pub(crate) check: Check,
    /// The field below `at` that is to blame; empty for `at` itself.
    pub(crate) blame: &'static str,
    /// What is wrong.
    pub(crate) wrong: &'static str,
    /// What to write instead.
    pub(crate) instead: &'static str,
}

/// A condition on the value at a place. Regular expressions are in the common subset of RE2 and `regex-lite`, without `'`.
pub(crate) enum Check {
    /// The text matches.
    Matches(&'static str),
    /// The text does not match.
    Never(&'static str),
    /// Each key of the map matches.
    KeysMatch(&'static str),
    /// No key of the map matches.
    KeysNever(&'static str),
    /// Each value of the map matches.
    ValuesMatch(&'static str),
    /// Anything else: CEL on `self`, and the same in Rust. A value of another type than the schema's must count as holding: that is reported
    /// as such.
    Both { cel: &'static str, holds: fn(&Value) -> bool },
}

/// Places where people put keys by mistake: what stands there is never repeated.
const UNSPOKEN: [&str; 3] = [
    "spec.endpoint.baseURL",
    "spec.keys[].secretRef.key",
    "spec.rotation.revokedVersions[]",
];

/// A rule that an object breaks.
pub(crate) struct Violation {
    /// The field's path in the object.
    pub(crate) field: String,
    /// Which rule.
    pub(crate) rule: &'static Rule,
    /// What was written there, where it is a text that may be repeated.
    pub(crate) found: Option<String>,
}

impl Rule {
    /// The sentence that the API server answers with.
    pub(crate) fn sentence(&self) -> String {
        format!("{}; {}", self.wrong, self.instead)
    }

    /// The condition as CEL.
    pub(crate) fn cel(&self) -> String {
        match self.check {
            Check::Matches(re) => format!("self.matches(r'{re}')"),
            Check::Never(re) => format!("!self.matches(r'{re}')"),
            Check::KeysMatch(re) => format!("self.all(k, k.matches(r'{re}'))"),
            Check::KeysNever(re) => format!("self.all(k, !k.matches(r'{re}'))"),
            Check::ValuesMatch(re) => format!("self.all(k, self[k].matches(r'{re}'))"),
            Check::Both { cel, .. } => cel.to_owned(),
        }
    }

    /// Whether `value`, found at one of the rule's places, obeys.
    pub(crate) fn holds(&self, value: &Value) -> bool {
        let texts = |re: &str, wanted: bool, mut texts: Box<dyn Iterator<Item = &str> + '_>| match compiled().get(re) {
            Some(re) => texts.all(|text| re.is_match(text) == wanted),
            // A test compiles every row.
            None => true,
        };
        let own = || Box::new(value.as_str().into_iter());
        let keys = || Box::new(value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()));
        let values = || Box::new(value.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()));
        match self.check {
            Check::Matches(re) => texts(re, true, own()),
            Check::Never(re) => texts(re, false, own()),
            Check::KeysMatch(re) => texts(re, true, keys()),
            Check::KeysNever(re) => texts(re, false, keys()),
            Check::ValuesMatch(re) => texts(re, true, values()),
            Check::Both { holds, .. } => holds(value),
        }
    }
}

/// Every row's regular expression, compiled on first use.
fn compiled() -> &'static HashMap<&'static str, Regex> {
    static COMPILED: OnceLock<HashMap<&'static str, Regex>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let rows = MODEL_ROUTE.iter().chain(PROVIDER_KEY);
        let texts = rows.filter_map(|rule| match rule.check {
            Check::Matches(re) | Check::Never(re) | Check::KeysMatch(re) | Check::KeysNever(re) | Check::ValuesMatch(re) => Some(re),
            Check::Both { .. } => None,
        });
        texts.filter_map(|re| Some((re, Regex::new(re).ok()?))).collect()
    })
}

/// The rules that `object` breaks: at most one per field, the first of the table, since the later ones mostly repeat it.
pub(crate) fn violations(rules: &'static [Rule], object: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut blamed = HashSet::new();
    for rule in rules {
        for place in rule.at {
            each(object, place, None, &mut |path, value| {
                if rule.holds(value) {
                    return;
                }
                let field = join(&path.text(), rule.blame);
                if blamed.insert(field.clone()) {
                    let text = value
                        .as_str()
                        .filter(|_| rule.blame.is_empty() && !UNSPOKEN.contains(place))
                        .map(str::to_owned);
                    found.push(Violation { field, rule, found: text });
                }
            });
        }
    }
    found
}

/// `path` with `name` below it.
pub(crate) fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", name) => name.to_owned(),
        (path, "") => path.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}

/// Where a value stands. It is written out only where something is wrong with it: most values are as they should be.
struct Path<'p> {
    around: Option<&'p Path<'p>>,
    name: &'p str,
    /// Which member of the list of that name.
    member: Option<usize>,
}

impl Path<'_> {
    fn text(&self) -> String {
        let path = join(&self.around.map(Path::text).unwrap_or_default(), self.name);
        match self.member {
            Some(at) => format!("{path}[{at}]"),
            None => path,
        }
    }
}

/// Visits every value below `value` that `place` names, with its path.
fn each(value: &Value, place: &str, around: Option<&Path<'_>>, visit: &mut dyn FnMut(&Path<'_>, &Value)) {
    let (step, rest) = place.split_once('.').unwrap_or((place, ""));
    let (name, members) = match step.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (step, false),
    };
    let Some(value) = value.get(name) else { return };
    let mut deeper = |value: &Value, member: Option<usize>| {
        let path = Path { around, name, member };
        if rest.is_empty() {
            visit(&path, value);
        } else {
            each(value, rest, Some(&path), visit);
        }
    };
    if members {
        for (at, member) in value.as_array().into_iter().flatten().enumerate() {
            deeper(member, Some(at));
        }
    } else {
        deeper(value, None);
    }
}

#[cfg(test)]
mod tests;
