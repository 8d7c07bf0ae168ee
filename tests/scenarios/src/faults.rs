//! The fault matrix: one target that fails in every way that providers do, one that is well, 20 calls a second for a minute. Each cell has
//! a data plane and providers of its own; cells run side by side with a healthy one, which is what their times are held against.

mod cell;
mod verdict;

use crate::{progress::Progress, report::Report, rig};
use cell::{Cell, Outcome, cells};
use std::{collections::BTreeMap, time::Duration};
use tokio::task::JoinSet;

/// Cells that run side by side; together they leave a core idle.
const BATCH: usize = 24;

/// Flags of the fault matrix.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the cells whose name contains this, such as `hang/stream` or `midway`.
    #[arg(long, default_value = "")]
    cell: String,
    /// How often the matrix runs; times are the median of the runs, all else is the worst.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Print the matrix's cells and end.
    #[arg(long)]
    list: bool,
}

/// Runs the matrix, or what is wanted of it.
pub(crate) async fn run(args: &Args, seed: u64) -> anyhow::Result<Option<Report>> {
    let wanted: Vec<Cell> = cells().into_iter().filter(|cell| cell.name().contains(&args.cell)).collect();
    anyhow::ensure!(!wanted.is_empty(), "no cell has `{}` in its name; --list shows them", args.cell);
    if args.list {
        for cell in &wanted {
            println!("{}", cell.name());
        }
        return Ok(None);
    }
    let mut found: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    for turn in 0..args.runs {
        for (number, batch) in wanted.chunks(BATCH).enumerate() {
            let what = format!("run {} of {}, batch {}", turn + 1, args.runs, number + 1);
            for outcome in together(&what, batch, seed + u64::from(turn)).await? {
                found.entry(outcome.cell.name()).or_default().push(outcome);
            }
        }
    }
    Ok(Some(verdict::report(&wanted, &found, seed)))
}

/// Runs cells side by side, and beside them a healthy one of each kind.
async fn together(what: &str, batch: &[Cell], seed: u64) -> anyhow::Result<Vec<Outcome>> {
    let controls = [false, true].map(Cell::healthy);
    let all: Vec<Cell> = controls.iter().chain(batch).cloned().collect();
    let progress = std::sync::Arc::new(Progress::new(what, all.iter().map(Cell::calls).sum()));
    let mut ready = Vec::new();
    for cell in all {
        ready.push(cell.start(seed).await?);
    }
    let begin = rig::soon();
    let mut running = JoinSet::new();
    for cell in ready {
        let progress = std::sync::Arc::clone(&progress);
        running.spawn(async move { cell.run(begin, &progress).await });
    }
    let mut outcomes = running.join_all().await.into_iter().collect::<anyhow::Result<Vec<Outcome>>>()?;
    let healthy: Vec<Outcome> = outcomes.extract_if(.., |outcome| outcome.cell.is_control()).collect();
    for outcome in &mut outcomes {
        outcome.clear_away();
        let control = healthy.iter().find(|control| control.cell.stream == outcome.cell.stream);
        if let Some(control) = control {
            let (from, to) = outcome.cell.settled();
            outcome.added = [500, 990].map(|q| millis(outcome.quantile(from, to, q)) - millis(control.quantile(from, to, q)));
        }
    }
    Ok(outcomes)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
