//! Plan: the snapshot is taken once, the route is found, the targets are ranked. All of it is the core's; this stage only asks.

use super::{Exchange, decode::Call};
use crate::{fault::Fault, ledger::Ledger, snapshot::Snapshot, surface::Api};
use http::HeaderValue;
use outrigger_core::{Affinity, Balance, CallFacts, Dispatch, Matched, Needs, NoMatch, Rule, Shape, Tick, Timeouts};
use std::{sync::Arc, time::Duration};

/// A request with its way laid out.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) matched: Matched,
    pub(crate) dispatch: Dispatch,
    /// When it was laid out.
    pub(crate) at: Tick,
    /// The end of the whole request.
    pub(crate) deadline: Tick,
}

impl Planned {
    /// `namespace/name/rule`, ready for a header.
    pub(crate) fn rule_header(&self) -> HeaderValue {
        let route = self.snapshot.routes.get(self.matched.route);
        let rule = route.and_then(|route| route.rules.get(self.matched.rule));
        rule.map_or(HeaderValue::from_static(""), |rule| rule.header.clone())
    }
}

/// Finds the route and ranks its targets.
pub(crate) fn plan(exchange: &Exchange, ledger: &mut Ledger, call: &Call) -> Result<Planned, Fault> {
    let app = &exchange.app;
    let snapshot = app.snapshot();
    let asked = &call.asked;
    let scan = &call.scan;
    let needs = Needs {
        tools: scan.tools,
        vision: scan.vision,
        json_schema: scan.json_schema,
        reasoning: scan.reasoning,
    };
    let facts = CallFacts {
        endpoint: call.api.endpoint(),
        model: &call.scan.model_name,
        route: asked.route.as_deref(),
        task: asked.task.as_deref(),
        header: &|name| call.headers.get(name).and_then(|value| value.to_str().ok()),
        metadata: &|name| asked.metadata.get(name).map(String::as_str),
        prompt_tokens: ledger.prompt_tokens,
        needs,
        service_account: app.settings.service_account.as_deref(),
    };
    let matched = snapshot
        .router
        .find(&snapshot.table, &facts)
        .map_err(|none| no_match(&none, &snapshot, call))?;
    let unknown = || Fault::unknown_model(&call.scan.model_name);
    let route = snapshot.table.routes.get(matched.route).ok_or_else(unknown)?;
    let handle = snapshot.routes.get(matched.route).ok_or_else(unknown)?;
    ledger.route = Some(Arc::clone(handle));
    ledger.rule = handle.rules.get(matched.rule).map(|rule| Arc::clone(&rule.name));

    let now = app.now();
    let total = route
        .rules
        .get(matched.rule)
        .map_or(Timeouts::default().total, |rule| longest_total(&rule.candidates));
    let deadline = exchange.accepted.after(asked.timeout.map_or(total, |timeout| timeout.min(total)));
    let until_commit = asked.patience.map_or(deadline, |patience| {
        deadline.min(exchange.accepted.after(patience.saturating_add(GRACE)))
    });
    let shape = Shape {
        model: &call.scan.model_name,
        stream: call.scan.stream,
        prompt_tokens: ledger.prompt_tokens,
        needs,
        max_output: scan.max_tokens,
        affinity: affinity(call, route.rules.get(matched.rule), ledger.prompt_tokens),
    };
    let seed = ledger.id.seed();
    let ranked = outrigger_core::plan(&snapshot.table, &snapshot.slots, matched, shape, &app.health(), now, seed);
    let dispatch = Dispatch::new(ranked, route.attempts, route.breaker, until_commit, seed);
    Ok(Planned {
        snapshot,
        matched,
        dispatch,
        at: now,
        deadline,
    })
}

/// How much longer than an SDK says that it waits its call goes on: it is to end by the SDK's own clock, as its documentation says, and not
/// by an error of ours that came a moment before.
const GRACE: Duration = Duration::from_millis(250);
/// The shortest prompt that providers keep in a cache, in tokens.
const CACHED: u32 = 1_024;

/// What the call has in common with those before it, where that matters to its targets.
fn affinity(call: &Call, rule: Option<&Rule>, prompt_tokens: u32) -> Option<Affinity> {
    // Thinking that a provider has signed is understood by that provider alone, and signed from a conversation's first answer on.
    let messages = call.api == Api::Messages;
    let bound = messages && memchr::memmem::find(&call.body, b"\"signature\"").is_some();
    let cached = prompt_tokens >= CACHED && rule.is_some_and(|rule| rule.balance == Balance::Cheapest);
    (bound || cached || (messages && call.scan.reasoning)).then(|| Affinity {
        key: outrigger_dialect::conversation(&call.body),
        bound,
    })
}

/// `total` bounds the request, not an attempt: the most generous of the rule's targets counts.
fn longest_total(candidates: &[outrigger_core::Candidate]) -> Duration {
    candidates
        .iter()
        .map(|candidate| candidate.timeouts.total)
        .max()
        .unwrap_or(Timeouts::default().total)
}

fn no_match(none: &NoMatch, snapshot: &Snapshot, call: &Call) -> Fault {
    match none {
        NoMatch::UnknownModel if snapshot.routes.is_empty() => Fault::no_routes(),
        NoMatch::UnknownModel => Fault::unknown_model(&call.scan.model_name),
        NoMatch::UnknownRoute => {
            let named = call.asked.route.as_deref().unwrap_or("");
            let message = format!("There is no route {named:?} here: write `name` or `namespace/name` of a route of this namespace.");
            Fault::client(404, Some("route_not_found"), Some("x-outrigger-route"), message)
        }
        NoMatch::NoRule { route } => {
            let label = snapshot.routes.get(*route).map_or("", |route| &*route.label);
            let model = &call.scan.model_name;
            let message = format!("No rule of the route {label} matches this call for the model {model:?}.");
            Fault::client(404, Some("model_not_found"), Some("model"), message)
        }
    }
}
