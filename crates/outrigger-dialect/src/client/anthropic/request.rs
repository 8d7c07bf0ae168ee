//! Reads a Messages request. It must never drop a field silently: what has no place in the intermediate form stays in `extra`.

use super::blocks;
use crate::{
    fields::{Fields, missing, wrong},
    ir::{Call, Effort, Format, Function, Role, Thinking, Tool, ToolChoice, Turn},
    untranslatable::Untranslatable,
};
use outrigger_core::Dialect;
use serde_json::Value;

/// Fields that say where or with what the call must run: no hint can replace them.
const BINDING: [&str; 4] = ["container", "mcp_servers", "inference_geo", "output_format"];

/// The call in `body`.
pub(crate) fn call(body: Value) -> Result<Call, Untranslatable> {
    let mut fields = Fields::of(body, String::new())?;
    let mut call = Call::new(Dialect::Anthropic);
    // The target's model and way of answering are the caller's business.
    for decided in ["model", "stream"] {
        fields.take(decided);
    }
    call.max_tokens = fields.count("max_tokens")?;
    if call.max_tokens.is_none() {
        return Err(missing("max_tokens".to_owned()));
    }
    call.system = blocks::content(&mut fields, "system", &mut call.binding)?;
    let messages = fields.take("messages").ok_or_else(|| missing("messages".to_owned()))?;
    let Value::Array(messages) = messages else {
        return Err(wrong("messages".to_owned(), "a list"));
    };
    for (i, message) in messages.into_iter().enumerate() {
        let turn = turn(message, i, &mut call.binding)?;
        call.turns.push(turn);
    }
    call.tools = tools(fields.list("tools")?)?;
    tool_choice(&mut fields, &mut call)?;
    call.temperature = fields.number("temperature")?;
    call.top_p = fields.number("top_p")?;
    call.top_k = fields.count("top_k")?;
    call.stop = stop(&mut fields)?;
    call.thinking = thinking(&mut fields)?;
    output(&mut fields, &mut call)?;
    if let Some(mut metadata) = fields.object("metadata")? {
        call.end_user = metadata.text("user_id")?;
    }
    call.binding
        .extend(fields.names().filter(|name| BINDING.contains(name)).map(str::to_owned));
    call.extra = fields.rest();
    Ok(call)
}

fn turn(message: Value, index: usize, binding: &mut Vec<String>) -> Result<Turn, Untranslatable> {
    let mut fields = Fields::of(message, format!("messages[{index}]"))?;
    let role = match fields.required_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(wrong(fields.at("role"), "user or assistant")),
    };
    if fields.look("content").is_none() {
        return Err(missing(fields.at("content")));
    }
    let blocks = blocks::content(&mut fields, "content", binding)?;
    Ok(Turn {
        index,
        role,
        blocks,
        extra: fields.rest(),
    })
}

fn tools(list: Vec<Value>) -> Result<Vec<Tool>, Untranslatable> {
    list.into_iter()
        .enumerate()
        .map(|(i, tool)| read_tool(tool, format!("tools[{i}]")))
        .collect()
}

fn read_tool(tool: Value, path: String) -> Result<Tool, Untranslatable> {
    let mut fields = Fields::of(tool, path)?;
    if !["", "custom"].contains(&fields.peek("type")) {
        return Ok(Tool::Hosted(fields.rest()));
    }
    fields.take("type");
    let at = fields.at("input_schema");
    let schema = fields.take("input_schema").ok_or_else(|| missing(at.clone()))?;
    if !schema.is_object() {
        return Err(wrong(at, "a JSON schema, which is an object"));
    }
    Ok(Tool::Function(Function {
        name: fields.required_text("name")?,
        description: fields.text("description")?,
        schema: Some(schema),
        strict: fields.flag("strict")?,
        cache: fields.take("cache_control"),
        extra: fields.rest(),
    }))
}

fn tool_choice(fields: &mut Fields, call: &mut Call) -> Result<(), Untranslatable> {
    let Some(mut choice) = fields.object("tool_choice")? else {
        return Ok(());
    };
    call.tool_choice = Some(match choice.required_text("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(choice.required_text("name")?),
        _ => return Err(wrong(choice.at("type"), "one of auto, any, tool, none")),
    });
    call.parallel_tools = choice.flag("disable_parallel_tool_use")?.map(|disabled| !disabled);
    Ok(())
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Untranslatable> {
    let strings = fields.list("stop_sequences")?.into_iter().map(|stop| match stop {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    });
    strings
        .collect::<Option<_>>()
        .ok_or_else(|| wrong("stop_sequences".to_owned(), "a list of strings"))
}

fn thinking(fields: &mut Fields) -> Result<Option<Thinking>, Untranslatable> {
    let Some(mut thinking) = fields.object("thinking")? else {
        return Ok(None);
    };
    let budget = thinking.count("budget_tokens")?;
    Ok(Some(match (thinking.required_text("type")?.as_str(), budget) {
        ("disabled", _) => Thinking::Off,
        ("enabled", Some(tokens)) => Thinking::Budget(tokens),
        ("enabled", None) => return Err(missing(thinking.at("budget_tokens"))),
        // Whatever kinds come later are ways to think.
        _ => Thinking::Adaptive,
    }))
}

/// `output_config`: the effort and the form of the answer. What it holds beside them stays.
fn output(fields: &mut Fields, call: &mut Call) -> Result<(), Untranslatable> {
    let Some(mut config) = fields.object("output_config")? else {
        return Ok(());
    };
    if let Some(effort) = Effort::named(config.peek("effort")) {
        config.take("effort");
        call.effort = Some(effort);
    }
    if let Some(mut format) = config.object("format")? {
        if format.peek("type") != "json_schema" {
            return Err(wrong(format.at("type"), "json_schema"));
        }
        let at = format.at("schema");
        let schema = format.take("schema").ok_or_else(|| missing(at))?;
        call.format = Some(Format::JsonSchema {
            name: None,
            description: None,
            schema,
            strict: None,
        });
    }
    let rest = config.rest();
    if !rest.is_empty() {
        fields.put("output_config", Value::Object(rest));
    }
    Ok(())
}
