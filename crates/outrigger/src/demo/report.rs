//! What a demo run showed, as tables.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// One call as its caller saw it, with the data plane's own record of it.
#[derive(Debug)]
pub(super) struct Sample {
    /// Which part of the run it belongs to.
    pub(super) phase: &'static str,
    /// Whether the caller got its answer whole.
    pub(super) ok: bool,
    /// From the request sent to the last byte of the answer.
    pub(super) took: Duration,
    /// The record, null where there is none.
    pub(super) record: Value,
}

#[derive(Debug, Default)]
struct Row {
    calls: usize,
    failed: usize,
    attempts: usize,
    took: Vec<Duration>,
    cost: f64,
    baseline: f64,
}

impl Row {
    fn add(&mut self, sample: &Sample) {
        let number = |name: &str| sample.record.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        self.calls += 1;
        self.failed += usize::from(!sample.ok);
        self.attempts += sample.record.get("attempts").and_then(Value::as_array).map_or(0, Vec::len);
        self.took.push(sample.took);
        self.cost += number("cost_usd");
        self.baseline += number("baseline_usd");
    }

    fn cells(&mut self) -> [String; 8] {
        self.took.sort_unstable();
        [
            self.calls.to_string(),
            self.failed.to_string(),
            format!("{:.2}", ratio(self.attempts, self.calls)),
            milliseconds(&self.took, 50),
            milliseconds(&self.took, 95),
            format!("{:.4}", self.cost),
            if self.baseline > 0.0 {
                format!("{:.4}", self.baseline)
            } else {
                "–".to_owned()
            },
            if self.baseline > 0.0 {
                format!("{:.0} %", 100.0 * (1.0 - self.cost / self.baseline))
            } else {
                "–".to_owned()
            },
        ]
    }
}

/// The table by route and by who served.
pub(super) fn by_route(samples: &[Sample]) -> String {
    let text = |record: &Value, name: &str| record.get(name).and_then(Value::as_str).unwrap_or("–").to_owned();
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    let mut all = Row::default();
    for sample in samples {
        let served = format!("{} · {}", text(&sample.record, "provider"), text(&sample.record, "model"));
        rows.entry((text(&sample.record, "route"), served)).or_default().add(sample);
        all.add(sample);
    }
    let mut table = empty(&["route", "served by"]);
    for ((route, served), mut row) in rows {
        table.add_row([route, served].into_iter().chain(row.cells()));
    }
    table.add_row(["all".to_owned(), String::new()].into_iter().chain(all.cells()));
    table.to_string()
}

/// The table by part of the run.
pub(super) fn by_phase(samples: &[Sample], phases: &[&'static str]) -> String {
    let mut table = empty(&["while"]);
    for phase in phases {
        let mut row = Row::default();
        samples
            .iter()
            .filter(|sample| sample.phase == *phase)
            .for_each(|sample| row.add(sample));
        table.add_row([(*phase).to_owned()].into_iter().chain(row.cells()));
    }
    table.to_string()
}

fn empty(left: &[&str]) -> Table {
    let figures = [
        "calls",
        "failed",
        "attempts/call",
        "p50 ms",
        "p95 ms",
        "cost $",
        "baseline $",
        "saved",
    ];
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(left.iter().chain(&figures));
    for column in table.column_iter_mut().skip(left.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The `percent`th percentile of sorted times.
fn milliseconds(sorted: &[Duration], percent: usize) -> String {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted
        .get(rank)
        .map_or_else(|| "–".to_owned(), |took| format!("{:.0}", took.as_secs_f64() * 1e3))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a short run")]
fn ratio(a: usize, b: usize) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn costs_and_savings_add_up_by_route() {
        let sample = |provider: &str, ok: bool| Sample {
            phase: "p",
            ok,
            took: Duration::from_millis(100),
            record: json!({
                "route": "default/r", "provider": provider, "model": "m", "attempts": [1, 2], "cost_usd": 0.25, "baseline_usd": 1.0
            }),
        };
        let table = by_route(&[sample("a", true), sample("a", true), sample("b", false)]);
        let line = |name: &str| {
            table
                .lines()
                .find(|line| line.contains(name))
                .unwrap()
                .split_whitespace()
                .filter(|word| !matches!(*word, "│" | "┆"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(line("a · m"), "default/r a · m 2 0 2.00 100 100 0.5000 2.0000 75 %");
        assert_eq!(line("│ all"), "all 3 1 2.00 100 100 0.7500 3.0000 75 %");
        assert_eq!(milliseconds(&[1, 2, 3, 4].map(Duration::from_millis), 50), "2");
    }
}
