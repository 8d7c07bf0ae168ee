//! Writes a chat completion request. Fields of another dialect without an equivalent are left out where they are hints and refused where
//! they are not; nothing is invented that the client did not ask for.

mod messages;
mod strict;

use crate::{
    ir::{Call, Effort, Extra, Format, Function, Thinking, Tool, ToolChoice},
    translate::TargetTraits,
    untranslatable::Untranslatable,
};
use outrigger_core::Dialect;
use serde_json::{Value, json};

/// Longest tool name.
const NAME_LIMIT: usize = 64;
/// Most stop sequences.
const STOP_LIMIT: usize = 4;
/// Longest identifier of an end user that is taken everywhere.
const USER_LIMIT: usize = 64;

/// The body for `target`.
pub(crate) fn call(mut call: Call, target: &TargetTraits<'_>) -> Result<Extra, Untranslatable> {
    let own = call.source == Dialect::OpenAi;
    let mut body = Extra::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("model", target.model.into());
    let turns = core::mem::take(&mut call.turns);
    put(
        "messages",
        messages::write(&call.system, turns, &messages::Style { own, model: target.model })?.into(),
    );
    if let Some(limit) = max_tokens(&call, target)? {
        put(
            if target.quirks.max_completion_tokens {
                "max_completion_tokens"
            } else {
                "max_tokens"
            },
            limit.into(),
        );
    }
    // Most reasoning models refuse any temperature but their own; their thinking is steered by effort.
    if own || !target.facts.reasoning {
        for (key, value) in [("temperature", call.temperature.take()), ("top_p", call.top_p.take())] {
            value.map(|number| put(key, Value::Number(number)));
        }
    }
    if own {
        call.top_k.map(|count| put("top_k", count.into()));
    }
    if !call.stop.is_empty() {
        if call.stop.len() > STOP_LIMIT && !own {
            return Err(Untranslatable::unsupported(
                "stop_sequences",
                "the selected provider takes at most 4 stop sequences",
            ));
        }
        put("stop", core::mem::take(&mut call.stop).into());
    }
    if !call.tools.is_empty() {
        let tools: Result<Vec<Value>, _> = core::mem::take(&mut call.tools)
            .into_iter()
            .enumerate()
            .map(|(i, tool)| self::tool(tool, i, own))
            .collect();
        put("tools", tools?.into());
        call.tool_choice.take().map(|choice| put("tool_choice", tool_choice(choice)));
        call.parallel_tools.map(|parallel| put("parallel_tool_calls", parallel.into()));
    }
    effort(&call, own, target.facts.reasoning).map(|word| put("reasoning_effort", word.into()));
    call.format.take().map(|format| put("response_format", response_format(format)));
    if let Some(user) = call.end_user.take().filter(|user| own || user.len() <= USER_LIMIT) {
        put("user", user.into());
    }
    call.answers.map(|answers| put("n", answers.into()));
    if own {
        body.append(&mut call.extra);
    }
    if target.stream {
        body.insert("stream".to_owned(), true.into());
        if target.quirks.stream_options {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
    }
    for field in &target.quirks.drops {
        body.shift_remove(field);
    }
    Ok(body)
}

/// The client's limit, within what the model can do: a call that moves to a smaller model must not fail over a limit alone.
fn max_tokens(call: &Call, target: &TargetTraits<'_>) -> Result<Option<u64>, Untranslatable> {
    let Some(asked) = call.max_tokens else { return Ok(None) };
    if asked == 0 && call.source == Dialect::Anthropic {
        return Err(Untranslatable::unsupported(
            "max_tokens",
            "max_tokens 0, which only fills the prompt cache, has no equivalent at the selected provider",
        ));
    }
    let most = target.facts.max_output.map_or(u64::MAX, u64::from);
    Ok(Some(asked.min(most)))
}

/// Words that not every reasoning model knows are only sent where the client wrote them for this dialect.
fn effort(call: &Call, own: bool, reasoning: bool) -> Option<&'static str> {
    if own {
        return match (call.thinking, call.effort) {
            (Some(Thinking::Off), _) => Some("none"),
            (_, effort) => effort.map(Effort::as_str),
        };
    }
    let asked = match (call.thinking, call.effort) {
        (Some(Thinking::Off), _) => None,
        (Some(Thinking::Budget(tokens)), None) => Some(Effort::of_budget(tokens)),
        (_, effort) => effort,
    };
    asked
        .filter(|_| reasoning)
        .map(|effort| effort.clamp(Effort::Low, Effort::High).as_str())
}

fn tool(tool: Tool, index: usize, own: bool) -> Result<Value, Untranslatable> {
    let Function {
        name,
        description,
        schema,
        strict,
        mut extra,
        cache: _,
    } = match tool {
        Tool::Function(function) => function,
        Tool::Hosted(tool) if own => return Ok(Value::Object(tool)),
        Tool::Hosted(tool) => {
            let kind = tool.get("type").and_then(Value::as_str).unwrap_or("unknown");
            let message = format!("a tool of type {kind} runs only at its own provider; the selected one takes tools that the client runs");
            return Err(Untranslatable::unsupported(format!("tools[{index}]"), message));
        }
    };
    if name.len() > NAME_LIMIT && !own {
        let message = format!("the selected provider takes tool names of at most {NAME_LIMIT} characters");
        return Err(Untranslatable::unsupported(format!("tools[{index}].name"), message));
    }
    let mut function = Extra::new();
    let strict = if own {
        strict
    } else {
        strict.filter(|_| schema.as_ref().is_some_and(strict::holds))
    };
    function.insert("name".to_owned(), name.into());
    description.map(|text| function.insert("description".to_owned(), text.into()));
    schema.map(|schema| function.insert("parameters".to_owned(), schema));
    strict.map(|strict| function.insert("strict".to_owned(), strict.into()));
    if own {
        function.append(&mut extra);
    }
    Ok(json!({"type": "function", "function": function}))
}

fn tool_choice(choice: ToolChoice) -> Value {
    let function = |name: String| json!({"type": "function", "function": {"name": name}});
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Any => "required".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Named(name) => function(name),
        ToolChoice::Among { names, any } => {
            let tools: Vec<Value> = names.into_iter().map(function).collect();
            json!({"type": "allowed_tools", "allowed_tools": {"mode": if any { "required" } else { "auto" }, "tools": tools}})
        }
    }
}

fn response_format(format: Format) -> Value {
    match format {
        Format::JsonObject => json!({"type": "json_object"}),
        Format::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => {
            // A dialect that always holds the model to the schema says nothing of strictness: ask for it where the schema allows it.
            let strict = strict.or_else(|| name.is_none().then(|| strict::holds(&schema)));
            let mut named = Extra::new();
            named.insert("name".to_owned(), name.unwrap_or_else(|| "answer".to_owned()).into());
            description.map(|text| named.insert("description".to_owned(), text.into()));
            named.insert("schema".to_owned(), schema);
            strict.map(|strict| named.insert("strict".to_owned(), strict.into()));
            json!({"type": "json_schema", "json_schema": named})
        }
    }
}
