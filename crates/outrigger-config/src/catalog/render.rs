//! The catalogue as a table for people.

use super::{Mode, Model, models_of, providers};
use outrigger_core::PicoUsd;
use std::fmt::Write;

const COLUMNS: [&str; 8] = ["MODEL", "USE", "WINDOW", "MAX OUT", "IN $/MTOK", "OUT $/MTOK", "CAN", "UNTIL"];

/// Every provider with its models, as aligned text: what to write as `provider` and `model`, windows in tokens, prices in US dollars per
/// million tokens (`-` where not known), abilities, and the last day where one is announced.
pub fn render() -> String {
    let mut out = String::new();
    for provider in providers() {
        let dialect = match provider.dialect {
            outrigger_core::Dialect::OpenAi => "openai",
            outrigger_core::Dialect::Anthropic => "anthropic",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} ({}) · {} · {dialect} dialect",
            provider.name, provider.title, provider.base_url
        );
        let rows: Vec<[String; 8]> = core::iter::once(COLUMNS.map(str::to_owned))
            .chain(models_of(provider.name).iter().map(row))
            .collect();
        let mut widths = [0usize; 8];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .enumerate()
                .map(|(at, (cell, width))| aligned(at, cell, width))
                .collect();
            let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
        }
        out.push('\n');
    }
    out
}

/// Numbers to the right, the rest to the left.
fn aligned(column: usize, cell: &str, width: usize) -> String {
    if (2..=5).contains(&column) {
        format!("{cell:>width$}")
    } else {
        format!("{cell:<width$}")
    }
}

fn row(model: &Model) -> [String; 8] {
    let facts = &model.facts;
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let money =
        |class: fn(&outrigger_core::Price) -> PicoUsd| facts.price.as_ref().map_or_else(|| "-".to_owned(), |price| dollars(class(price)));
    let can = [
        (facts.tools, "tools"),
        (facts.vision, "vision"),
        (facts.json_schema, "json-schema"),
        (Some(facts.reasoning), "reasoning"),
    ];
    [
        model.name.to_owned(),
        match model.mode {
            Mode::Chat => "chat",
            Mode::Embedding => "embedding",
            Mode::Responses => "responses",
        }
        .to_owned(),
        number(facts.context_window),
        number(facts.max_output),
        money(|price| price.input),
        money(|price| price.output),
        can.into_iter()
            .filter(|(can, _)| *can == Some(true))
            .map(|(_, what)| what)
            .collect::<Vec<_>>()
            .join(" "),
        model.retires.unwrap_or("").to_owned(),
    ]
}

/// A price per token as US dollars per million tokens, without trailing zeros.
fn dollars(each: PicoUsd) -> String {
    let text = format!("{}.{:06}", each.0 / 1_000_000, each.0 % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_shown_as_they_were_written() {
        for (pico, text) in [
            (2_500_000, "2.5"),
            (10_000_000, "10"),
            (75_000, "0.075"),
            (0, "0"),
            (100_000_000, "100"),
        ] {
            assert_eq!(dollars(PicoUsd(pico)), text);
        }
    }

    #[test]
    fn the_table_names_every_provider_and_model() {
        let table = render();
        for model in super::super::models() {
            assert!(table.contains(model.name), "{}", model.name);
        }
        assert!(table.contains("openai (OpenAI) · https://api.openai.com/v1 · openai dialect"));
        assert!(
            table
                .lines()
                .any(|line| line.contains("gpt-4o-mini ") && line.contains("128000") && line.contains("0.15"))
        );
    }
}
