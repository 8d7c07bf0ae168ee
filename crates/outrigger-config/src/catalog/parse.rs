//! From a line of CSV to a row. The files are ours: no quoting, no escapes; a line that does not parse is left out, and a test counts them.

use super::{Mode, Model, Provider};
use crate::units::{BaseUrl, parse_money};
use outrigger_core::{Dialect, ModelFacts, PicoUsd, Price, Quirks};

/// Every data line of `text`, sorted by `key`. Comments start with `#`; the first other line names the columns.
pub(super) fn rows<T, K: Ord>(text: &'static str, row: impl Fn(&'static str) -> Option<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut rows: Vec<T> = text.lines().filter(|line| !line.starts_with('#')).skip(1).filter_map(row).collect();
    rows.sort_by_key(key);
    rows
}

pub(super) fn provider(line: &'static str) -> Option<Provider> {
    let [name, title, base_url, dialect, max_tokens, stream_options, usage_unasked, drops] = columns(line)?;
    Some(Provider {
        name,
        title,
        base_url: BaseUrl::parse(base_url).ok()?,
        dialect: match dialect {
            "openai" => Dialect::OpenAi,
            "anthropic" => Dialect::Anthropic,
            _ => return None,
        },
        quirks: Quirks {
            stream_options: flag(stream_options).ok()??,
            max_completion_tokens: match max_tokens {
                "max_completion_tokens" => true,
                "max_tokens" => false,
                _ => return None,
            },
            usage_unasked: flag(usage_unasked).ok()??,
            drops: drops.split_whitespace().map(str::to_owned).collect(),
        },
    })
}

pub(super) fn model(line: &'static str) -> Option<Model> {
    let [
        provider,
        name,
        mode,
        window,
        max_output,
        input,
        output,
        cached_read,
        cache_write,
        tools,
        vision,
        json_schema,
        reasoning,
        retires,
    ] = columns(line)?;
    let price = match (money(input).ok()?, money(output).ok()?) {
        (Some(input), Some(output)) => Some(Price {
            input,
            output,
            cached_read: money(cached_read).ok()?,
            cache_write: money(cache_write).ok()?,
        }),
        _ => None,
    };
    Some(Model {
        provider,
        name,
        mode: match mode {
            "chat" => Mode::Chat,
            "embedding" => Mode::Embedding,
            "responses" => Mode::Responses,
            _ => return None,
        },
        facts: ModelFacts {
            context_window: tokens(window).ok()?,
            max_output: tokens(max_output).ok()?,
            price,
            reasoning: flag(reasoning).ok()?.unwrap_or(false),
            tools: flag(tools).ok()?,
            vision: flag(vision).ok()?,
            json_schema: flag(json_schema).ok()?,
        },
        retires: Some(retires).filter(|day| !day.is_empty()),
    })
}

fn columns<const N: usize>(line: &'static str) -> Option<[&'static str; N]> {
    line.split(',').collect::<Vec<_>>().try_into().ok()
}

/// A cell that cannot be read.
struct Malformed;

fn flag(cell: &str) -> Result<Option<bool>, Malformed> {
    match cell {
        "" => Ok(None),
        "yes" => Ok(Some(true)),
        "no" => Ok(Some(false)),
        _ => Err(Malformed),
    }
}

fn tokens(cell: &str) -> Result<Option<u32>, Malformed> {
    stated(cell, |cell| cell.parse().ok())
}

fn money(cell: &str) -> Result<Option<PicoUsd>, Malformed> {
    stated(cell, parse_money)
}

/// An empty cell is not stated; any other must be read.
fn stated<T>(cell: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Malformed> {
    if cell.is_empty() {
        return Ok(None);
    }
    read(cell).map(Some).ok_or(Malformed)
}
