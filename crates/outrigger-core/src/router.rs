//! Which rule serves a call. Decides by the call's own words alone: never by health, load, price or chance.
//!
//! The work that depends on the table is done once per table: exact names and route names are sorted vectors, prefixes are sorted and
//! probed by descending length. A lookup costs a few binary searches, however many routes there are; only the rules of the one route
//! that was found are walked. Sorted vectors rather than a hash map: no seed to choose, and some twenty short comparisons among a
//! million names.

use crate::table::{Endpoint, Match, Needs, Route, Table};
use alloc::{boxed::Box, vec::Vec};

/// What a call says of itself, as far as rules ask.
#[derive(Clone, Copy)]
pub struct CallFacts<'a> {
    /// The endpoint that was called.
    pub endpoint: Endpoint,
    /// The model that the client named.
    pub model: &'a str,
    /// The route that the client named, `[namespace/]name`. Its rules still apply.
    pub route: Option<&'a str>,
    /// The task that the client named; absent = the metadata's `task`, if any.
    pub task: Option<&'a str>,
    /// A request header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// A metadata value by its name.
    pub metadata: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The prompt's length in reference tokens.
    pub prompt_tokens: u32,
    /// What it asks of its model beyond text.
    pub needs: Needs,
    /// The ServiceAccount of the pod that calls; absent where nobody has said.
    pub service_account: Option<&'a str>,
}

/// The rule that serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Index into [`Table::routes`].
    pub route: usize,
    /// Index into that route's [`Route::rules`].
    pub rule: usize,
}

/// Why no rule serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// No route offers that model.
    UnknownModel,
    /// There is no route of that name.
    UnknownRoute,
    /// The route's rules all ask for something else.
    NoRule {
        /// Index into [`Table::routes`].
        route: usize,
    },
}

/// The lookup of one table. Indices in it are meaningless for another.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// Sorted; one entry a name, the winner of those that claim it.
    exact: Vec<(Box<str>, usize)>,
    /// Sorted; one entry a prefix.
    prefixes: Vec<(Box<str>, usize)>,
    /// The lengths that occur in `prefixes`, longest first.
    lengths: Vec<usize>,
    /// (name, namespace, index), sorted by the first two.
    named: Vec<(Box<str>, Box<str>, usize)>,
}

impl Router {
    /// Builds the lookup of `table`.
    pub fn new(table: &Table) -> Self {
        let claims = |prefix: bool| {
            let mut found: Vec<(Box<str>, usize)> = table
                .routes
                .iter()
                .enumerate()
                .flat_map(|(at, route)| route.models.iter().map(move |model| (at, model)))
                .filter(|(_, model)| model.prefix == prefix)
                .map(|(at, model)| (Box::from(model.name.as_str()), at))
                .collect();
            // Equal names keep the smallest index: the earlier route of the table.
            found.sort_unstable();
            found.dedup_by(|later, earlier| later.0 == earlier.0);
            found
        };
        let prefixes = claims(true);
        let mut lengths: Vec<usize> = prefixes.iter().map(|(prefix, _)| prefix.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        let mut named: Vec<_> = table
            .routes
            .iter()
            .enumerate()
            .map(|(at, route)| (Box::from(route.name.as_str()), Box::from(route.namespace.as_str()), at))
            .collect();
        named.sort_unstable();
        Self {
            exact: claims(false),
            prefixes,
            lengths,
            named,
        }
    }

    /// The first rule that matches, of the route that the call names, else of the one that offers its model. `table` must be the one
    /// that the router was built from.
    pub fn find(&self, table: &Table, call: &CallFacts<'_>) -> Result<Matched, NoMatch> {
        let route = match call.route {
            Some(name) => self.by_name(name, &table.namespace).ok_or(NoMatch::UnknownRoute)?,
            None => self.by_model(call.model).ok_or(NoMatch::UnknownModel)?,
        };
        let rules = table
            .routes
            .get(route)
            .map(|found: &Route| found.rules.as_slice())
            .unwrap_or_default();
        rules
            .iter()
            .position(|rule| unmet(&rule.when, call).is_none())
            .map(|rule| Matched { route, rule })
            .ok_or(NoMatch::NoRule { route })
    }

    /// Every exact model name that some route offers, sorted, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(|(name, _)| &**name)
    }

    fn by_model(&self, model: &str) -> Option<usize> {
        if let Some(route) = lookup(&self.exact, model.as_bytes()) {
            return Some(route);
        }
        self.lengths
            .iter()
            .find_map(|&length| lookup(&self.prefixes, model.as_bytes().get(..length)?))
    }

    /// `namespace/name`, or `name`: the namespace's own before one that another namespace shares.
    fn by_name(&self, wanted: &str, own: &str) -> Option<usize> {
        let find = |namespace: &str, name: &str| {
            let at = self
                .named
                .binary_search_by(|(n, ns, _)| (&**n, &**ns).cmp(&(name, namespace)))
                .ok()?;
            self.named.get(at).map(|(_, _, route)| *route)
        };
        if let Some((namespace, name)) = wanted.split_once('/') {
            return find(namespace, name);
        }
        find(own, wanted).or_else(|| {
            let first = self.named.partition_point(|(name, _, _)| &**name < wanted);
            let same = self.named.iter().skip(first).take_while(|(name, _, _)| &**name == wanted);
            same.map(|(_, _, route)| *route).min()
        })
    }
}

// Bytes, because a length need not fall on a character's boundary of the model that was asked for.
fn lookup(sorted: &[(Box<str>, usize)], name: &[u8]) -> Option<usize> {
    let at = sorted.binary_search_by(|(candidate, _)| candidate.as_bytes().cmp(name)).ok()?;
    sorted.get(at).map(|(_, route)| *route)
}

/// A condition of a rule that a call does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet<'a> {
    /// The call is to another endpoint.
    Endpoint,
    /// The prompt is shorter or longer.
    InputTokens,
    /// The call needs less than the rule asks for.
    Needs,
    /// Another ServiceAccount calls, or nobody knows which.
    ServiceAccount,
    /// The call names another task, or none.
    Task,
    /// This request header has another value, or is not there.
    Header(&'a str),
    /// This metadata has another value, or is not there.
    Metadata(&'a str),
}

/// The first condition that `call` does not meet; nothing where the rule serves it.
pub fn unmet<'w>(when: &'w Match, call: &CallFacts<'_>) -> Option<Unmet<'w>> {
    let named = |list: &[alloc::string::String], name: Option<&str>| {
        list.is_empty() || name.is_some_and(|name| list.iter().any(|wanted| wanted == name))
    };
    if !when.endpoints.is_empty() && !when.endpoints.contains(&call.endpoint) {
        return Some(Unmet::Endpoint);
    }
    if when.input_tokens.is_some_and(|range| !range.contains(call.prompt_tokens)) {
        return Some(Unmet::InputTokens);
    }
    if !call.needs.cover(when.needs) {
        return Some(Unmet::Needs);
    }
    if !named(&when.service_accounts, call.service_account) {
        return Some(Unmet::ServiceAccount);
    }
    if !when.tasks.is_empty() && !named(&when.tasks, call.task.or_else(|| (call.metadata)("task"))) {
        return Some(Unmet::Task);
    }
    let header = when.headers.iter().find(|(name, value)| (call.header)(name) != Some(value));
    let metadata = || when.metadata.iter().find(|(name, value)| (call.metadata)(name) != Some(value));
    header
        .map(|(name, _)| Unmet::Header(name))
        .or_else(|| metadata().map(|(name, _)| Unmet::Metadata(name)))
}

#[cfg(test)]
mod tests;
