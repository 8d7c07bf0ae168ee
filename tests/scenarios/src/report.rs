//! What a scenario found: a table for people, figures held to what was asked, and all of it as JSON. It must never drop a figure that
//! was missed.

use crate::load::Shot;
use comfy_table::{CellAlignment, Table, presets};
use outrigger_tests::Times;
use serde::Serialize;
use serde_json::{Map, Value};
use std::{fmt::Display, path::Path, time::Duration};

/// A figure beside what was asked.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    what: String,
    measured: String,
    asked: String,
    met: bool,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: String,
    seed: u64,
    #[serde(skip)]
    heads: Vec<String>,
    #[serde(skip)]
    rows: Vec<Vec<String>>,
    figures: Vec<Figure>,
    table: Vec<Map<String, Value>>,
    details: Map<String, Value>,
}

impl Report {
    pub(crate) fn new(scenario: &str, seed: u64, heads: &[&str]) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seed,
            heads: heads.iter().map(|head| (*head).to_owned()).collect(),
            rows: Vec::new(),
            figures: Vec::new(),
            table: Vec::new(),
            details: Map::new(),
        }
    }

    /// A line of the table, with a cell for each head.
    pub(crate) fn row(&mut self, cells: &[&dyn Display]) {
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        let named = self.heads.iter().cloned().zip(cells.iter().map(|cell| Value::from(cell.as_str())));
        self.table.push(named.collect());
        self.rows.push(cells);
    }

    /// Lines that set the baseline beside what the route did with the same calls.
    pub(crate) fn compare(&mut self, baseline: &[Shot], ours: &[Shot]) {
        let (before, after) = (Summary::of(baseline), Summary::of(ours));
        for ((what, before), (_, after)) in before.lines().into_iter().zip(after.lines()) {
            self.row(&[&what, &before, &after]);
        }
    }

    pub(crate) fn figure(&mut self, what: impl Display, measured: impl Display, asked: impl Display, met: bool) {
        self.figures.push(Figure {
            what: what.to_string(),
            measured: measured.to_string(),
            asked: asked.to_string(),
            met,
        });
    }

    /// That no call failed where the client could see it.
    pub(crate) fn no_failures(&mut self, shots: &[Shot]) {
        self.no_failures_of("failures that a client saw", shots);
    }

    /// The same in other words.
    pub(crate) fn no_failures_of(&mut self, what: &str, shots: &[Shot]) {
        let failed: Vec<String> = shots.iter().filter(|shot| !shot.good).map(Shot::trace).collect();
        let none = failed.is_empty() && !shots.is_empty();
        self.figure(what, format!("{} of {}", failed.len(), shots.len()), "0", none);
        self.traces(what, failed);
    }

    /// Calls worth a look, for the JSON; the first few hundred.
    pub(crate) fn traces(&mut self, name: &str, traces: impl IntoIterator<Item = String>) {
        self.detail(name, traces.into_iter().take(400).collect::<Vec<_>>());
    }

    pub(crate) fn detail(&mut self, name: &str, value: impl Into<Value>) {
        self.details.insert(name.to_owned(), value.into());
    }

    pub(crate) fn is_met(&self) -> bool {
        self.figures.iter().all(|figure| figure.met) && !self.figures.is_empty()
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        println!("\n{} (seed {})", self.scenario, self.seed);
        if !self.rows.is_empty() {
            let mut table = Table::new();
            table.load_style(presets::UTF8_BORDERS_ONLY);
            table.set_header(&self.heads);
            for row in &self.rows {
                table.add_row(row);
            }
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            println!("{table}");
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["figure", "measured", "asked", ""]);
        for Figure {
            what,
            measured,
            asked,
            met,
        } in &self.figures
        {
            let verdict = if *met { "met" } else { "MISSED" };
            table.add_row([what, measured, asked, verdict].map(|cell: &str| cell.to_owned()));
        }
        println!("{table}");
    }

    /// Writes `FOLDER/SCENARIO.json`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.json", self.scenario));
        std::fs::write(&file, serde_json::to_vec_pretty(self)?)?;
        println!("{}", file.display());
        Ok(())
    }
}

/// Calls in figures.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    calls: usize,
    failed: usize,
    attempts: usize,
    times: Times,
    most: Duration,
}

impl Summary {
    pub(crate) fn of<'a>(shots: impl IntoIterator<Item = &'a Shot>) -> Self {
        let shots: Vec<&Shot> = shots.into_iter().collect();
        Self {
            calls: shots.len(),
            failed: shots.iter().filter(|shot| !shot.good).count(),
            attempts: shots.iter().map(|shot| shot.tries.len()).sum(),
            times: Times::new(shots.iter().map(|shot| shot.took)),
            most: shots.iter().map(|shot| shot.took).max().unwrap_or_default(),
        }
    }

    /// Attempts for each call.
    pub(crate) fn per_call(&self) -> f64 {
        ratio(self.attempts, self.calls)
    }

    pub(crate) fn quantile(&self, thousandths: usize) -> Duration {
        self.times.quantile(thousandths)
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("calls", self.calls.to_string()),
            ("failed", self.failed.to_string()),
            ("attempts per call", format!("{:.3}", self.per_call())),
            ("p50", ms(self.quantile(500))),
            ("p95", ms(self.quantile(950))),
            ("p99", ms(self.quantile(990))),
            ("longest", ms(self.most)),
        ]
    }
}

/// A time in milliseconds, with a decimal.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A part of a whole; of nothing it is none.
#[expect(clippy::cast_precision_loss, reason = "counts of calls")]
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn a_report_without_figures_or_with_a_missed_one_is_not_met() {
        let mut report = Report::new("s", 1, &["a"]);
        assert!(!report.is_met());
        report.figure("x", 1, "1", true);
        assert!(report.is_met());
        report.no_failures(&[]);
        assert!(!report.is_met(), "no call is no success");
    }
}
