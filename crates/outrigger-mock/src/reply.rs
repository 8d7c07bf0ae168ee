//! What a scripted model says, before any dialect: thinking, text in pieces, tool calls, the reason for ending, tokens.
//!
//! Decides the content of an answer from the script and the request alone, so that the same two give the same answer. It must never know
//! how a dialect spells it.

use serde_json::Value;

use crate::ask::{Ask, tokens};
use crate::behaviour::{Behaviour, BodyFault, Tokens, ToolCall};
use crate::schema;

/// Creation time of a provider's first answer, in Unix seconds; each later answer is a second younger. Fixed, so that runs compare.
const EPOCH: u64 = 1_760_000_000;

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// `<provider>-<number>`: what ids are made of.
    pub(crate) tag: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) thinking: Vec<String>,
    pub(crate) text: Vec<String>,
    pub(crate) tools: Vec<ToolUse>,
    /// In OpenAI's words.
    pub(crate) finish: String,
    pub(crate) tokens: Tokens,
    pub(crate) choices: usize,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolUse {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    /// JSON text, unless the script wants it broken.
    pub(crate) arguments: String,
}

impl Reply {
    pub(crate) fn compose(behaviour: &Behaviour, ask: &Ask, provider: &str, number: u64) -> Self {
        let empty = behaviour.body == Some(BodyFault::EmptyChoices);
        let tools = if empty { Vec::new() } else { tools(behaviour, ask) };
        let text = if empty {
            Vec::new()
        } else {
            text(behaviour, ask, provider, !tools.is_empty())
        };
        let thinking = behaviour.thinking.as_deref().filter(|_| !empty).map(words).unwrap_or_default();
        let finish = behaviour
            .finish
            .clone()
            .unwrap_or_else(|| if tools.is_empty() { "stop" } else { "tool_calls" }.to_owned());
        let choices = if empty { 0 } else { ask.choices };
        let tokens = behaviour.usage.unwrap_or_else(|| count(ask, &thinking, &text, &tools));
        Self {
            tag: format!("{provider}-{number}"),
            created: EPOCH.saturating_add(number),
            model: behaviour.model.clone().unwrap_or_else(|| ask.model.clone()),
            thinking,
            text,
            tools,
            finish,
            tokens,
            choices,
        }
    }
}

fn tools(behaviour: &Behaviour, ask: &Ask) -> Vec<ToolUse> {
    if ask.brings_results {
        return Vec::new();
    }
    if let (true, Some((name, schema))) = (behaviour.tool_calls.is_empty(), &ask.forced_tool) {
        return vec![ToolUse {
            id: None,
            name: name.clone(),
            arguments: arguments(&schema::example(schema)),
        }];
    }
    let scripted = |call: &ToolCall| ToolUse {
        id: call.id.clone(),
        name: call.name.clone(),
        arguments: arguments(&call.arguments),
    };
    behaviour.tool_calls.iter().map(scripted).collect()
}

fn arguments(value: &Value) -> String {
    match value {
        Value::Null => "{}".to_owned(),
        Value::String(text) => text.clone(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

fn text(behaviour: &Behaviour, ask: &Ask, provider: &str, calls_tools: bool) -> Vec<String> {
    let said = match (&behaviour.text, behaviour.echo) {
        (Some(text), true) => format!("{text}{}", ask.last_text),
        (Some(text), false) => text.clone(),
        (None, true) => ask.last_text.clone(),
        (None, false) if calls_tools => return Vec::new(),
        (None, false) => match (&ask.schema, behaviour.chunks) {
            (Some(schema), _) => schema::example(schema).to_string(),
            (None, Some(chunks)) => return (1..=chunks).map(|piece| format!("piece{piece} ")).collect(),
            (None, None) => format!("Hello from {provider}, a scripted provider."),
        },
    };
    match behaviour.chunks {
        Some(chunks) => even(&said, chunks),
        None => words(&said),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// At most `pieces` parts of about the same length, split between characters.
pub(crate) fn even(text: &str, pieces: usize) -> Vec<String> {
    let characters = text.chars().count();
    let length = characters.div_ceil(pieces.max(1)).max(1);
    let mut parts = Vec::with_capacity(pieces.min(characters));
    let mut rest = text.chars();
    loop {
        let part: String = rest.by_ref().take(length).collect();
        if part.is_empty() {
            return parts;
        }
        parts.push(part);
    }
}

fn count(ask: &Ask, thinking: &[String], text: &[String], tools: &[ToolUse]) -> Tokens {
    let bytes = |parts: &[String]| parts.iter().map(String::len).sum::<usize>();
    let reasoning = tokens(bytes(thinking));
    let each = tokens(bytes(text)) + tools.iter().map(|tool| tokens(tool.name.len() + tool.arguments.len())).sum::<u64>();
    let choices = u64::try_from(ask.choices).unwrap_or(1);
    Tokens {
        input: ask.prompt_tokens.max(1),
        output: (each.max(1) + reasoning) * choices,
        cached_read: 0,
        cache_write: 0,
        reasoning: reasoning * choices,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compose(behaviour: serde_json::Value, ask: &Ask) -> Reply {
        Reply::compose(&serde_json::from_value(behaviour).unwrap(), ask, "main", 1)
    }

    fn asking(text: &str) -> Ask {
        Ask {
            model: "m".to_owned(),
            choices: 1,
            last_text: text.to_owned(),
            ..Ask::default()
        }
    }

    #[test]
    fn text_is_split_between_characters_into_the_pieces_asked_for() {
        for (text, pieces, expected) in [
            ("abcdef", 3, vec!["ab", "cd", "ef"]),
            ("äöü", 2, vec!["äö", "ü"]),
            ("ab", 9, vec!["a", "b"]),
            ("", 3, vec![]),
            ("ab", 0, vec!["ab"]),
        ] {
            assert_eq!(even(text, pieces), expected, "{text} in {pieces}");
        }
        assert_eq!(compose(json!({"chunks": 20}), &asking("")).text.len(), 20);
    }

    #[test]
    fn the_same_script_and_request_give_the_same_reply() {
        let script = json!({"text": "a b c", "thinking": "well", "tool_calls": [{"name": "f"}]});
        assert_eq!(compose(script.clone(), &asking("x")), compose(script, &asking("x")));
    }

    #[test]
    fn an_echo_follows_the_text() {
        assert_eq!(compose(json!({"echo": true}), &asking("one two")).text.concat(), "one two");
        assert_eq!(
            compose(json!({"echo": true, "text": "You said: "}), &asking("one")).text.concat(),
            "You said: one"
        );
    }

    #[test]
    fn a_model_that_got_tool_results_goes_on_in_words() {
        let ask = Ask {
            brings_results: true,
            ..asking("x")
        };
        let reply = compose(json!({"tool_calls": [{"name": "f"}]}), &ask);
        assert_eq!((reply.tools.len(), reply.finish.as_str()), (0, "stop"));
        assert!(!reply.text.is_empty());
    }

    #[test]
    fn a_forced_tool_gets_arguments_that_fit_its_schema() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let ask = Ask {
            forced_tool: Some(("weather".to_owned(), schema)),
            ..asking("x")
        };
        let reply = compose(json!({}), &ask);
        assert_eq!(reply.tools[0].arguments, r#"{"city":"example"}"#);
        assert_eq!(reply.finish, "tool_calls");
    }
}
