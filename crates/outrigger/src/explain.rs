//! `outrigger explain`: where a call would go and why, by the very functions that the data plane plans with. It knows what files say and
//! nothing of how targets fare: a running data plane shows that under /targets.

use crate::output::{complain, say};
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use outrigger_config::{
    check::trust,
    compile::compile,
    diagnostics::Severity,
    load::{Loaded, load},
};
use outrigger_core::{
    Balance, CallFacts, Endpoint, Health, Matched, Needs, NoMatch, PicoUsd, Plan, Router, Rule, Shape, TargetModel, Tick, Unmet, Usage,
    plan, unmet,
};
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode};

/// Flags of `outrigger explain`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// YAML files, or folders of them. Secrets need not be among them.
    #[arg(short, long = "file", value_name = "PATH", required = true, num_args = 1..)]
    file: Vec<PathBuf>,
    /// The namespace that calls, and that of objects that name none.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The model that the client asks for.
    #[arg(long, value_name = "NAME")]
    model: String,
    /// The endpoint that it calls.
    #[arg(long, value_enum, default_value = "chat")]
    endpoint: Where,
    /// It asks for a stream.
    #[arg(long)]
    stream: bool,
    /// The prompt's length in reference tokens.
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    input_tokens: u32,
    /// The answer's length, for the cost.
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    output_tokens: u64,
    /// The longest answer that it asks for.
    #[arg(long, value_name = "TOKENS")]
    max_output: Option<u64>,
    /// What it needs beyond text.
    #[arg(long, value_enum, value_delimiter = ',')]
    needs: Vec<Need>,
    /// The route that it names, `[namespace/]name`.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// The task that it names.
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// A request header of it.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// Metadata of it.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The ServiceAccount of the pod that calls.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Draw as for the request with this id, which answers carry as `x-request-id`.
    #[arg(long, value_name = "ID", value_parser = seed_of)]
    request: Option<u64>,
    /// How it is shown.
    #[arg(long, value_enum, default_value = "text")]
    output: Shown,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Where {
    Chat,
    Messages,
    Embeddings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Need {
    Tools,
    Vision,
    #[value(name = "jsonSchema")]
    JsonSchema,
    Reasoning,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shown {
    Text,
    Json,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The part of a request's id that its draws come from.
fn seed_of(id: &str) -> Result<u64, String> {
    let digits = id.strip_prefix("req_").filter(|digits| digits.len() == 24);
    let digits = digits.and_then(|digits| digits.get(..16));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| "write the id as x-request-id has it: req_ and 24 hex digits".to_owned())
}

/// Says where the call would go.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Loaded {
        mut objects,
        mut diagnostics,
    } = load(&arguments.file);
    trust(&mut objects, &arguments.namespace);
    let compiled = compile(&objects, &arguments.namespace);
    diagnostics.extend(compiled.diagnostics);
    for found in diagnostics.iter().filter(|found| found.severity == Severity::Error) {
        complain(&found.to_string());
    }
    let table = &compiled.table;
    if table.routes.is_empty() {
        bail!("no route for namespace {} among the files", arguments.namespace);
    }
    let has = |need| arguments.needs.contains(&need);
    let needs = Needs {
        tools: has(Need::Tools),
        vision: has(Need::Vision),
        json_schema: has(Need::JsonSchema),
        reasoning: has(Need::Reasoning),
    };
    let find = |list: &'_ [(String, String)], wanted: &str| list.iter().position(|(name, _)| name == wanted);
    let header = |name: &str| Some(arguments.header.get(find(&arguments.header, name)?)?.1.as_str());
    let metadata = |name: &str| Some(arguments.metadata.get(find(&arguments.metadata, name)?)?.1.as_str());
    let call = CallFacts {
        endpoint: match arguments.endpoint {
            Where::Chat => Endpoint::Chat,
            Where::Messages => Endpoint::Messages,
            Where::Embeddings => Endpoint::Embeddings,
        },
        model: &arguments.model,
        route: arguments.route.as_deref(),
        task: arguments.task.as_deref(),
        header: &header,
        metadata: &metadata,
        prompt_tokens: arguments.input_tokens,
        needs,
        service_account: arguments.service_account.as_deref(),
    };
    let explained = match Router::new(table).find(table, &call) {
        Err(none) => nowhere(table, &none, &call, arguments),
        Ok(matched) => {
            let shape = Shape {
                model: &arguments.model,
                stream: arguments.stream,
                prompt_tokens: arguments.input_tokens,
                needs,
                max_output: arguments.max_output,
                affinity: None,
            };
            let mut health = Health::new();
            let slots = health.attach(table, &|_| false, Tick(0));
            let mut plan = plan(table, &slots, matched, shape, &health, Tick(0), arguments.request.unwrap_or(0));
            plan.complete(table, &health, Tick(0));
            somewhere(table, matched, &plan, &call, arguments).context("the table contradicts itself")?
        }
    };
    let lost = explained.get("targets").and_then(Value::as_array).is_none_or(Vec::is_empty);
    match arguments.output {
        Shown::Json => say(&serde_json::to_string_pretty(&explained)?),
        Shown::Text => say(text(&explained).trim_end()),
    }
    Ok(ExitCode::from(u8::from(lost)))
}

fn nowhere(table: &outrigger_core::Table, none: &NoMatch, call: &CallFacts<'_>, arguments: &Arguments) -> Value {
    match none {
        NoMatch::UnknownModel => {
            json!({ "problem": format!("no route offers the model {:?}; GET /v1/models lists what is offered", arguments.model) })
        }
        NoMatch::UnknownRoute => json!({ "problem": "there is no route of that name: write name or namespace/name" }),
        NoMatch::NoRule { route } => {
            let rules = table.routes.get(*route).map(|route| route.rules.as_slice()).unwrap_or_default();
            let name = table.routes.get(*route).map(|route| format!("{}/{}", route.namespace, route.name));
            json!({ "route": name, "passed_over": passed_over(rules, call), "problem": "none of the route's rules takes this call" })
        }
    }
}

fn somewhere(table: &outrigger_core::Table, matched: Matched, plan: &Plan, call: &CallFacts<'_>, arguments: &Arguments) -> Option<Value> {
    let route = table.routes.get(matched.route)?;
    let rule = route.rules.get(matched.rule)?;
    let label = |candidate: usize| {
        let target = rule
            .candidates
            .get(candidate)
            .and_then(|candidate| table.targets.get(candidate.target));
        target.map(|target| target.label.as_str())
    };
    let cost = |target: usize| {
        let facts = match &table.targets.get(target)?.model {
            TargetModel::Fixed { facts, .. } => facts,
            TargetModel::AsAsked { facts } => facts.get(&arguments.model)?,
        };
        let usage = Usage {
            input: u64::from(arguments.input_tokens),
            output: arguments.output_tokens,
            ..Usage::default()
        };
        Some(facts.price?.of(&usage).dollars())
    };
    let targets: Vec<Value> = plan
        .ranked
        .iter()
        .map(|ranked| {
            let score = &ranked.score;
            json!({
                "target": label(ranked.candidate), "priority": ranked.priority, "weight": ranked.weight,
                "reason": ranked.reason.as_str(), "cost_usd": cost(ranked.target),
                "score": {
                    "expected_cost_usd": score.cost.map(PicoUsd::dollars), "expected_output_tokens": score.output_tokens,
                    "cached_ppm": score.cached_ppm, "in_flight": score.in_flight, "headroom_ppm": score.headroom_ppm,
                    "share_ppm": score.share_ppm, "expected_ms": score.time.map(|time| time.as_millis()),
                    "first_content_ms": score.first_content.map(|time| time.as_millis()),
                    "per_token_us": score.per_token.map(|time| time.as_micros()),
                },
            })
        })
        .collect();
    let dropped = plan.dropped.iter();
    let dropped: Vec<Value> = dropped
        .map(|(candidate, reason)| json!({ "target": label(*candidate), "reason": reason.as_str() }))
        .collect();
    let earlier = route.rules.get(..matched.rule).unwrap_or_default();
    Some(json!({
        "route": format!("{}/{}", route.namespace, route.name), "rule": rule.name, "passed_over": passed_over(earlier, call),
        "balance": balance(rule), "attempts": route.attempts.max, "targets": targets, "dropped": dropped,
    }))
}

fn balance(rule: &Rule) -> &'static str {
    match rule.balance {
        Balance::Weighted => "weighted",
        Balance::Cheapest => "cheapest",
        Balance::Fastest => "fastest",
        Balance::LeastBusy => "leastBusy",
    }
}

fn passed_over(rules: &[Rule], call: &CallFacts<'_>) -> Vec<Value> {
    let rows = rules.iter().filter_map(|rule| {
        let why = match unmet(&rule.when, call)? {
            Unmet::Endpoint => "another endpoint".to_owned(),
            Unmet::InputTokens => {
                let range = rule.when.input_tokens.unwrap_or_default();
                let end = range.less_than.map_or_else(String::new, |end| format!(" and fewer than {end}"));
                format!("inputTokens: from {}{end}", range.at_least)
            }
            Unmet::Needs => "it needs less than the rule asks for".to_owned(),
            Unmet::ServiceAccount => "another ServiceAccount".to_owned(),
            Unmet::Task => "another task".to_owned(),
            Unmet::Header(name) => format!("the header {name}"),
            Unmet::Metadata(name) => format!("the metadata {name}"),
        };
        Some(json!({ "rule": rule.name, "why": why }))
    });
    rows.collect()
}

fn text(explained: &Value) -> String {
    let word = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or("–").to_owned();
    let rows = |field: &str| explained.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines = Vec::new();
    if explained.get("route").is_some() {
        let rule = explained.get("rule").and_then(Value::as_str);
        let route = word(explained, "route");
        let balance = word(explained, "balance");
        lines.push(rule.map_or_else(
            || format!("route {route}"),
            |rule| format!("route {route}, rule {rule}, balance {balance}"),
        ));
    }
    for rule in rows("passed_over") {
        lines.push(format!("  not {}: {}", word(&rule, "rule"), word(&rule, "why")));
    }
    if let Some(problem) = explained.get("problem").and_then(Value::as_str) {
        lines.push(problem.to_owned());
    }
    let (targets, dropped) = (rows("targets"), rows("dropped"));
    if targets.len() + dropped.len() > 0 {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "target", "priority", "weight", "why here", "cost USD"]);
        for (place, target) in targets.iter().enumerate() {
            let number = |field: &str| target.get(field).map(ToString::to_string).unwrap_or_default();
            let cost = target.get("cost_usd").and_then(Value::as_f64);
            table.add_row([
                (place + 1).to_string(),
                word(target, "target"),
                number("priority"),
                number("weight"),
                word(target, "reason"),
                cost.map_or_else(|| "not known".to_owned(), |cost| format!("{cost:.6}")),
            ]);
        }
        for target in &dropped {
            let why = format!("never: {}", word(target, "reason"));
            table.add_row([
                "–".to_owned(),
                word(target, "target"),
                String::new(),
                String::new(),
                why,
                String::new(),
            ]);
        }
        for column in [2, 3, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        lines.push(table.to_string());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_in_the_id() {
        assert_eq!(seed_of("req_00000000000000ff01234567"), Ok(255));
        for bad in [
            "",
            "req_",
            "00000000000000ff01234567",
            "req_00000000000000ff0123456",
            "req_zz000000000000ff01234567",
        ] {
            assert!(seed_of(bad).is_err(), "{bad}");
        }
    }
}
