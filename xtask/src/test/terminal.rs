//! What a person sees of a run. It must never hide a failure behind a picture: without a terminal it is plain lines.

use super::{Done, Verdict, counts::Counts};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    fs::File,
    io::{IsTerminal, Read, Seek, SeekFrom, stdout},
    path::Path,
    time::Duration,
};

/// Widest part of a command's latest line beside the spinner.
const MESSAGE: usize = 80;

pub(super) struct Terminal {
    spinner: Option<ProgressBar>,
    colour: bool,
}

impl Terminal {
    pub(super) fn new() -> Self {
        let is_terminal = stdout().is_terminal();
        Self {
            spinner: is_terminal.then(|| {
                let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
                let style = ProgressStyle::with_template("{spinner} {prefix:16} {elapsed:>5}  {msg}");
                spinner.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
            }),
            colour: is_terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    pub(super) fn begin(&self, name: &'static str) {
        match &self.spinner {
            Some(spinner) => {
                spinner.reset();
                spinner.set_prefix(name);
                spinner.set_message("");
            }
            // So that the log of a run that hangs ends in the name of what hung.
            None => println!("… {name}"),
        }
    }

    /// Shows the last line that the running step wrote.
    pub(super) fn tick(&self, log: &Path) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(last_line(log).unwrap_or_default());
            spinner.tick();
        }
    }

    pub(super) fn end(&self, name: &str, verdict: &Verdict, took: Duration, details: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        let (mark, reason) = match verdict {
            Verdict::Passed => (self.paint("✔", "32"), String::new()),
            Verdict::Failed => (self.paint("✘", "31"), "  failed".to_owned()),
            Verdict::Skipped(why) => (self.paint("–", "33"), format!("  skipped: {why}")),
        };
        println!("{mark} {name:16} {:>7.1} s{reason}", took.as_secs_f64());
        if !details.is_empty() {
            println!("{}", details.trim_end());
        }
    }

    pub(super) fn note(&self, text: &str) {
        println!("{}", self.paint(text, "33"));
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

pub(super) fn table(done: &[Done]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "passed", "failed", "skipped", "seconds", ""]);
    for step in done {
        let verdict = match &step.verdict {
            Verdict::Passed => String::new(),
            Verdict::Failed => "failed".to_owned(),
            Verdict::Skipped(why) => format!("skipped: {why}"),
        };
        let counts = [step.counts.passed, step.counts.failed, step.counts.skipped].map(|count| count.to_string());
        let [passed, failed, skipped] = counts;
        table.add_row([
            step.name.to_owned(),
            passed,
            failed,
            skipped,
            format!("{:.1}", step.took.as_secs_f64()),
            verdict,
        ]);
    }
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("\n{}", table.trim_fmt());
}

pub(super) fn close(total: Counts) {
    println!("\n{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
}

/// The end of the file alone: a log may be long, and this is called often.
fn last_line(log: &Path) -> Option<String> {
    const TAIL: u64 = 512;
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail).into_owned();
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(MESSAGE).collect())
}
