//! Writes a Messages request. Hints without an equivalent are left out; what the answer would visibly lack is refused, so that the call
//! can go to a target that has it.

mod messages;
pub(crate) mod model;
mod schema;

use crate::{
    ir::{Call, Effort, Extra, Format, Function, Thinking, Tool, ToolChoice},
    translate::TargetTraits,
    untranslatable::Untranslatable,
};
use model::Model;
use outrigger_core::Dialect;
use serde_json::{Number, Value, json};

/// `max_tokens` is required here; for a model of which no limit is known.
const DEFAULT_MAX_TOKENS: u64 = 4096;
/// Smallest thinking budget.
const LEAST_BUDGET: u64 = 1024;
/// Longest `metadata.user_id`.
const USER_LIMIT: usize = 256;

/// The body for `target`.
pub(crate) fn call(mut call: Call, target: &TargetTraits<'_>) -> Result<Extra, Untranslatable> {
    let own = call.source == Dialect::Anthropic;
    let model = Model::named(target.model, target.facts.reasoning);
    if call.answers.is_some_and(|answers| answers > 1) {
        return Err(Untranslatable::unsupported(
            "n",
            "the selected provider gives one answer a call; leave n out or set it to 1",
        ));
    }
    let max_tokens = max_tokens(&call, target)?;
    let system = core::mem::take(&mut call.system);
    let turns = core::mem::take(&mut call.turns);
    let conversation = messages::write(system, turns, &messages::Style { own, model: &model })?;
    let mut body = Extra::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("model", target.model.into());
    put("max_tokens", max_tokens.into());
    if !conversation.system.is_empty() {
        put("system", conversation.system.into());
    }
    put("messages", conversation.messages.into());
    let tools = tools(&mut call, conversation.called, own)?;
    let forced = matches!(tools.choice, Some(ToolChoice::Any | ToolChoice::Named(_)));
    if forced && !model.forced_tools {
        return Err(Untranslatable::unsupported(
            "tool_choice",
            "the selected model cannot be made to call a tool; use tool_choice auto",
        ));
    }
    if !tools.list.is_empty() {
        put("tools", tools.list.into());
        tool_choice(tools.choice, call.parallel_tools).map(|choice| put("tool_choice", choice));
    }
    let may_think = !forced && (model.adaptive || !conversation.unsigned);
    let thinking = if own {
        call.thinking.map(as_asked)
    } else {
        thinking(&call, &model, max_tokens, may_think)
    };
    let thinks = thinking
        .as_ref()
        .is_some_and(|thinking| thinking.get("type") != Some(&"disabled".into()));
    if own || model.sampling && !thinks {
        for (key, value) in sampling(&mut call, &model, own) {
            put(key, value);
        }
    }
    thinking.map(|thinking| put("thinking", thinking));
    output_config(&mut call, &model, own, target)?.map(|config| put("output_config", config));
    call.stop.retain(|stop| own || !stop.trim().is_empty());
    if !call.stop.is_empty() {
        put("stop_sequences", core::mem::take(&mut call.stop).into());
    }
    if let Some(user) = call.end_user.take().filter(|user| user.len() <= USER_LIMIT) {
        put("metadata", json!({"user_id": user}));
    }
    if target.stream {
        put("stream", true.into());
    }
    if own {
        body.append(&mut call.extra);
    }
    for field in &target.quirks.drops {
        body.shift_remove(field);
    }
    Ok(body)
}

/// The client's limit, within what the model can do: a call that moves to a smaller model must not fail over a limit alone.
fn max_tokens(call: &Call, target: &TargetTraits<'_>) -> Result<u64, Untranslatable> {
    let most = target.facts.max_output.map(u64::from);
    match call.max_tokens {
        Some(0) if call.source != Dialect::Anthropic => Err(Untranslatable::malformed("max_tokens", "max_tokens must be at least 1")),
        Some(asked) => Ok(asked.min(most.unwrap_or(u64::MAX))),
        None => Ok(most.unwrap_or(DEFAULT_MAX_TOKENS)),
    }
}

fn sampling(call: &mut Call, model: &Model, own: bool) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    let one_is_enough = call.temperature.is_some() && !model.both_sampling && !own;
    if let Some(temperature) = call.temperature.take() {
        // The other dialect's scale ends at 2.
        let hot = temperature.as_f64().is_some_and(|degrees| degrees > 1.0);
        fields.push(("temperature", Value::Number(if hot { Number::from(1) } else { temperature })));
    }
    if let Some(top_p) = call.top_p.take().filter(|_| !one_is_enough) {
        fields.push(("top_p", Value::Number(top_p)));
    }
    if let Some(top_k) = call.top_k {
        fields.push(("top_k", top_k.into()));
    }
    fields
}

struct Tools {
    list: Vec<Value>,
    choice: Option<ToolChoice>,
}

/// `called` are the tools that the conversation has called: a call without any tools must list them all the same.
fn tools(call: &mut Call, called: Vec<String>, own: bool) -> Result<Tools, Untranslatable> {
    let mut choice = call.tool_choice.take();
    let mut given = core::mem::take(&mut call.tools);
    if let Some(ToolChoice::Among { names, any }) = &choice {
        given.retain(|tool| matches!(tool, Tool::Function(function) if names.contains(&function.name)));
        choice = Some(if *any { ToolChoice::Any } else { ToolChoice::Auto });
    }
    let mut list: Vec<Value> = given
        .into_iter()
        .enumerate()
        .map(|(i, tool)| self::tool(tool, i, own))
        .collect::<Result<_, _>>()?;
    if list.is_empty() && !called.is_empty() && !own {
        list = called
            .into_iter()
            .map(|name| json!({"name": name, "input_schema": {"type": "object"}}))
            .collect();
        choice = Some(ToolChoice::None);
    }
    Ok(Tools { list, choice })
}

fn tool(tool: Tool, index: usize, own: bool) -> Result<Value, Untranslatable> {
    let Function {
        name,
        description,
        schema,
        strict,
        cache,
        extra,
    } = match tool {
        Tool::Function(function) => function,
        Tool::Hosted(tool) if own => return Ok(Value::Object(tool)),
        Tool::Hosted(_) => {
            let message = "the selected provider takes tools of type function only";
            return Err(Untranslatable::unsupported(format!("tools[{index}].type"), message));
        }
    };
    let mut written = Extra::new();
    written.insert("name".to_owned(), name.into());
    description.map(|text| written.insert("description".to_owned(), text.into()));
    let mut schema = schema.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    if let Value::Object(root) = &mut schema
        && !root.contains_key("type")
    {
        root.insert("type".to_owned(), "object".into());
    }
    let strictly = strict == Some(true);
    written.insert(
        "input_schema".to_owned(),
        if strictly && !own { schema::clean(schema) } else { schema },
    );
    if strictly || own {
        strict.map(|strict| written.insert("strict".to_owned(), strict.into()));
    }
    if own {
        cache.map(|mark| written.insert("cache_control".to_owned(), mark));
        written.extend(extra);
    }
    Ok(Value::Object(written))
}

fn tool_choice(choice: Option<ToolChoice>, parallel: Option<bool>) -> Option<Value> {
    let one_at_a_time = parallel == Some(false);
    let mut written = match choice {
        None if !one_at_a_time => return None,
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::Any | ToolChoice::Among { .. }) => json!({"type": "any"}),
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": name}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
    };
    if let (true, Some(members)) = (one_at_a_time, written.as_object_mut()) {
        members.insert("disable_parallel_tool_use".to_owned(), true.into());
    }
    Some(written)
}

fn as_asked(thinking: Thinking) -> Value {
    match thinking {
        Thinking::Off => json!({"type": "disabled"}),
        Thinking::Adaptive => json!({"type": "adaptive"}),
        Thinking::Budget(tokens) => json!({"type": "enabled", "budget_tokens": tokens}),
    }
}

/// `may_think` is false where thinking would be refused: with a forced tool, or behind a tool call whose thinking is lost.
fn thinking(call: &Call, model: &Model, max_tokens: u64, may_think: bool) -> Option<Value> {
    match call.thinking? {
        Thinking::Off => (!model.always_thinks && (model.adaptive || model.budget)).then(|| json!({"type": "disabled"})),
        Thinking::Adaptive | Thinking::Budget(_) if !may_think => None,
        Thinking::Adaptive | Thinking::Budget(_) if model.adaptive => Some(json!({"type": "adaptive"})),
        asked @ (Thinking::Adaptive | Thinking::Budget(_)) if model.budget => {
            let budget = match asked {
                Thinking::Budget(tokens) => tokens,
                Thinking::Adaptive | Thinking::Off => call.effort.unwrap_or(Effort::Medium).budget(),
            };
            // The budget is a part of max_tokens, and as much must be left for the answer.
            let budget = budget.min(max_tokens / 2);
            (budget >= LEAST_BUDGET).then(|| json!({"type": "enabled", "budget_tokens": budget}))
        }
        Thinking::Adaptive | Thinking::Budget(_) => None,
    }
}

/// In the words of the model; only those that think as they see fit know any.
fn effort(call: &Call, model: &Model) -> Option<Effort> {
    let asked = match (call.thinking, call.effort) {
        (Some(Thinking::Off), _) => model.always_thinks.then_some(Effort::Low),
        (Some(Thinking::Budget(tokens)), None) => Some(Effort::of_budget(tokens)),
        (_, effort) => effort,
    };
    asked.filter(|_| model.adaptive).map(|effort| match effort {
        Effort::Minimal => Effort::Low,
        Effort::Xhigh if !model.xhigh => Effort::High,
        Effort::Low | Effort::Medium | Effort::High | Effort::Xhigh | Effort::Max => effort,
    })
}

fn output_config(call: &mut Call, model: &Model, own: bool, target: &TargetTraits<'_>) -> Result<Option<Value>, Untranslatable> {
    let mut config = Extra::new();
    if own && let Some(Value::Object(rest)) = call.extra.shift_remove("output_config") {
        config = rest;
    }
    let effort = if own { call.effort } else { effort(call, model) };
    effort.map(|effort| config.insert("effort".to_owned(), effort.as_str().into()));
    match call.format.take() {
        None => {}
        Some(Format::JsonObject) => {
            let message = "the selected provider has no JSON mode without a schema; use response_format json_schema";
            return Err(Untranslatable::unsupported("response_format", message));
        }
        Some(Format::JsonSchema { .. }) if target.facts.json_schema == Some(false) => {
            return Err(Untranslatable::unsupported(
                "response_format",
                "the selected model cannot be held to a JSON schema",
            ));
        }
        Some(Format::JsonSchema { schema, .. }) => {
            let schema = if own { schema } else { schema::clean(schema) };
            config.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
        }
    }
    Ok((!config.is_empty()).then_some(Value::Object(config)))
}
