//! Reads a whole chat completion.

use super::types::{Completion, Message, Said};
use crate::ir::{Answer, Arguments, Block, Body, Reply, Stop, ToolCall, mark_unsigned};

/// The answer in `body`; `None` where there is none.
pub(crate) fn reply(body: &[u8]) -> Option<Reply> {
    let completion: Completion = serde_json::from_slice(body).ok()?;
    if completion.choices.is_empty() {
        return None;
    }
    let model = completion.model.clone().unwrap_or_default();
    let mut choices = completion.choices;
    choices.sort_by_key(|choice| choice.index);
    let answers = choices.into_iter().map(|choice| {
        let blocks = blocks(choice.message, &model);
        let calls_tools = blocks.iter().any(|block| matches!(block.body, Body::ToolCall(_)));
        Answer {
            stop: stop(choice.finish_reason.as_deref(), choice.stop_reason, calls_tools),
            blocks,
            logprobs: choice.logprobs,
        }
    });
    Some(Reply {
        id: completion.id.filter(|id| !id.is_empty()),
        model: completion.model.filter(|model| !model.is_empty()),
        created: completion.created,
        answers: answers.collect(),
    })
}

fn blocks(mut message: Message, model: &str) -> Vec<Block> {
    let said = message.said().into_iter().map(|said| match said {
        Said::Thinking { text, echo } => Body::Thinking {
            text,
            signature: Some(mark_unsigned(if echo { model } else { "" })),
        },
        Said::Text(text) => Body::Text(text),
        Said::Refusal(text) => Body::Refusal(text),
    });
    let calls = message.tool_calls.into_iter().filter_map(|call| {
        let id = call.id().unwrap_or_default().to_owned();
        let arguments = Arguments::from_value(call.function.arguments.unwrap_or_default());
        Some(Body::ToolCall(ToolCall {
            id,
            name: call.function.name?,
            arguments,
        }))
    });
    said.chain(calls).map(Block::of).collect()
}

/// The finish reason; several providers say `stop`, or nothing, where tools are called.
pub(super) fn stop(finish_reason: Option<&str>, stop_string: Option<String>, calls_tools: bool) -> Stop {
    match finish_reason {
        Some("length" | "model_length" | "max_tokens") => Stop::Length,
        Some("content_filter" | "sensitive") => Stop::Refusal,
        Some("tool_calls" | "function_call") => Stop::ToolUse,
        _ if calls_tools => Stop::ToolUse,
        _ if stop_string.is_some() => Stop::Sequence(stop_string),
        _ => Stop::End,
    }
}
