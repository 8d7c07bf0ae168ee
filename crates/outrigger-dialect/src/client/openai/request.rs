//! Reads a chat completion request. It must never drop a field silently: what has no place in the intermediate form stays in `extra`.

use super::messages;
use crate::{
    fields::{Fields, missing, wrong},
    ir::{Call, Effort, Extra, Format, Function, Thinking, Tool, ToolChoice},
    untranslatable::Untranslatable,
};
use outrigger_core::Dialect;
use serde_json::Value;

/// Fields that ask for something in the answer, or for a way to make it, that no hint can replace.
const BINDING: [&str; 8] = [
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "audio",
    "web_search_options",
    "moderation",
    "functions",
    "function_call",
];

/// The call in `body`.
pub(crate) fn call(body: Value) -> Result<Call, Untranslatable> {
    let mut fields = Fields::of(body, String::new())?;
    let mut call = Call::new(Dialect::OpenAi);
    // The target's model and way of answering are the caller's business.
    for decided in ["model", "stream", "stream_options"] {
        fields.take(decided);
    }
    let messages = fields.take("messages").ok_or_else(|| missing("messages".to_owned()))?;
    let Value::Array(messages) = messages else {
        return Err(wrong("messages".to_owned(), "a list"));
    };
    messages::read(messages, &mut call)?;
    call.tools = tools(fields.list("tools")?)?;
    call.tool_choice = tool_choice(&mut fields)?;
    call.parallel_tools = fields.flag("parallel_tool_calls")?;
    let deprecated = fields.count("max_tokens")?;
    call.max_tokens = fields.count("max_completion_tokens")?.or(deprecated);
    call.temperature = fields.number("temperature")?;
    call.top_p = fields.number("top_p")?;
    call.top_k = fields.look("top_k").and_then(Value::as_u64);
    if call.top_k.is_some() {
        fields.take("top_k");
    }
    call.stop = stop(&mut fields)?;
    effort(&mut fields, &mut call);
    call.format = format(&mut fields)?;
    let user = fields.text("user")?;
    call.end_user = fields.text("safety_identifier")?.or(user);
    call.answers = fields.count("n")?;
    mark_binding(&fields, &mut call.binding);
    call.extra = fields.rest();
    Ok(call)
}

fn mark_binding(fields: &Fields, binding: &mut Vec<String>) {
    for name in fields.names() {
        let binds = match fields.look(name) {
            // Off is what every other dialect does anyway.
            None | Some(Value::Bool(false)) => false,
            Some(Value::Object(members)) if name == "logit_bias" => !members.is_empty(),
            Some(Value::Array(kinds)) if name == "modalities" => kinds.iter().any(|kind| kind != "text"),
            Some(Value::Number(count)) if name == "top_logprobs" => count.as_u64() != Some(0),
            Some(_) => BINDING.contains(&name),
        };
        if binds {
            binding.push(name.to_owned());
        }
    }
}

fn tools(list: Vec<Value>) -> Result<Vec<Tool>, Untranslatable> {
    list.into_iter()
        .enumerate()
        .map(|(i, tool)| read_tool(tool, format!("tools[{i}]")))
        .collect()
}

fn read_tool(tool: Value, path: String) -> Result<Tool, Untranslatable> {
    let mut fields = Fields::of(tool, path)?;
    if fields.peek("type") != "function" {
        return Ok(Tool::Hosted(fields.rest()));
    }
    let at = fields.at("function");
    let mut function = fields.object("function")?.ok_or_else(|| missing(at))?;
    let parameters = function.at("parameters");
    let schema = function.take("parameters");
    if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(wrong(parameters, "a JSON schema, which is an object"));
    }
    Ok(Tool::Function(Function {
        name: function.required_text("name")?,
        description: function.text("description")?,
        schema,
        strict: function.flag("strict")?,
        cache: None,
        extra: function.rest(),
    }))
}

fn tool_choice(fields: &mut Fields) -> Result<Option<ToolChoice>, Untranslatable> {
    let at = "tool_choice".to_owned();
    let Some(choice) = fields.take("tool_choice") else {
        return Ok(None);
    };
    if let Value::String(word) = &choice {
        return match word.as_str() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            // `any` is what several providers call it.
            "required" | "any" => Ok(Some(ToolChoice::Any)),
            "none" => Ok(Some(ToolChoice::None)),
            _ => Err(wrong(at, "one of none, auto, required, or an object that names a tool")),
        };
    }
    let mut choice = Fields::of(choice, at)?;
    match choice.peek("type") {
        "function" => {
            let at = choice.at("function");
            let mut function = choice.object("function")?.ok_or_else(|| missing(at))?;
            Ok(Some(ToolChoice::Named(function.required_text("name")?)))
        }
        "allowed_tools" => {
            let at = choice.at("allowed_tools");
            let mut allowed = choice.object("allowed_tools")?.ok_or_else(|| missing(at))?;
            let any = allowed.peek("mode") == "required";
            let names = allowed.list("tools")?.iter().filter_map(allowed_name).collect();
            Ok(Some(ToolChoice::Among { names, any }))
        }
        _ => Err(Untranslatable::unsupported(
            "tool_choice",
            "tool_choice of this type cannot be sent to the selected provider; use none, auto, required or a function",
        )),
    }
}

fn allowed_name(tool: &Value) -> Option<String> {
    let name = tool.pointer("/function/name").or_else(|| tool.get("name"))?;
    name.as_str().map(str::to_owned)
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Untranslatable> {
    match fields.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(many)) => many
            .into_iter()
            .map(|stop| match stop {
                Value::String(text) => Ok(text),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    Err(wrong("stop".to_owned(), "a string or a list of strings"))
                }
            })
            .collect(),
        Some(_) => Err(wrong("stop".to_owned(), "a string or a list of strings")),
    }
}

/// A word that is not known stays where it is: only this dialect can make sense of it.
fn effort(fields: &mut Fields, call: &mut Call) {
    let word = fields.peek("reasoning_effort");
    if word == "none" {
        call.thinking = Some(Thinking::Off);
    } else if let Some(effort) = Effort::named(word) {
        call.thinking = Some(Thinking::Adaptive);
        call.effort = Some(effort);
    } else {
        return;
    }
    fields.take("reasoning_effort");
}

fn format(fields: &mut Fields) -> Result<Option<Format>, Untranslatable> {
    let Some(mut format) = fields.object("response_format")? else {
        return Ok(None);
    };
    match format.peek("type") {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::JsonObject)),
        "json_schema" => {
            let at = format.at("json_schema");
            let mut named = format.object("json_schema")?.ok_or_else(|| missing(at))?;
            Ok(Some(Format::JsonSchema {
                name: named.text("name")?,
                description: named.text("description")?,
                schema: named.take("schema").unwrap_or_else(|| Value::Object(Extra::new())),
                strict: named.flag("strict")?,
            }))
        }
        _ => Err(wrong(format.at("type"), "one of text, json_object, json_schema")),
    }
}
