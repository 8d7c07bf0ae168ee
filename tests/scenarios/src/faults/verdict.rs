//! What is asked of the matrix, cell by cell.

use super::cell::{Cell, Kind, Onset, Outcome};
use crate::{
    load::Shot,
    report::{Report, Summary, ratio},
};
use std::collections::BTreeMap;

/// Milliseconds that a call without a probe may take longer at the 99th percentile.
const ADDED: f64 = 10.0;
/// Calls without a probe that a silent hang may take.
const HANG: usize = 10;
/// The share of streams that may break in a target that begins well and never ends so: those under way when it shows, and probes.
const BROKEN: f64 = 0.1;

pub(super) fn report(wanted: &[Cell], found: &BTreeMap<String, Vec<Outcome>>, seed: u64) -> Report {
    let heads = [
        "cell",
        "success",
        "calls per call",
        "added p50",
        "added p99",
        "on the broken",
        "probes",
        "",
    ];
    let mut report = Report::new("faults", seed, &heads);
    let (mut missed, mut untrue) = (0, 0);
    for cell in wanted {
        let Some(runs) = found.get(&cell.name()) else { continue };
        let sum = Sum::of(runs);
        let complaints = sum.complaints(cell);
        missed += usize::from(!complaints.is_empty());
        untrue += usize::from(runs.iter().any(|run| run.told() > run.received));
        report.row(&[
            &cell.name(),
            &format!("{} of {}", sum.calls - sum.failed, sum.calls),
            &format!("{:.3}", sum.per_call),
            &format!("{:.1} ms", sum.added[0]),
            &format!("{:.1} ms", sum.added[1]),
            &sum.on_the_broken,
            &sum.probes,
            &complaints.join(", "),
        ]);
        if !complaints.is_empty() {
            let worth = |shot: &&Shot| !shot.good || shot.tries.len() > 1 || shot.tries.iter().any(|attempt| attempt.provider == "first");
            let traces = runs.iter().flat_map(|run| run.faced().filter(worth).map(Shot::trace));
            report.traces(&cell.name(), traces);
        }
    }
    report.figure("cells that miss what is asked", missed, "0", missed == 0);
    report.figure("cells whose answers tell of more attempts than arrived", untrue, "0", untrue == 0);
    report
}

/// A cell over all its runs.
struct Sum {
    calls: usize,
    /// Those since the fault began.
    faced: usize,
    failed: usize,
    per_call: f64,
    added: [f64; 2],
    on_the_broken: usize,
    probes: usize,
    /// Broken streams that were tried again, or whose client was not told.
    mishandled: usize,
}

impl Sum {
    fn of(runs: &[Outcome]) -> Self {
        let mut added = [0, 1].map(|which| runs.iter().filter_map(|run| run.added.get(which).copied()).collect::<Vec<f64>>());
        let worst = |of: fn(&Outcome) -> usize| runs.iter().map(of).max().unwrap_or(0);

        Self {
            calls: runs.iter().map(|run| run.shots.len()).sum(),
            faced: runs.iter().map(|run| run.faced().count()).sum(),
            failed: runs.iter().map(|run| broken(run).count()).sum(),
            per_call: runs.iter().map(|run| Summary::of(run.faced()).per_call()).fold(0.0, f64::max),
            added: added.each_mut().map(|times| median(times)),
            on_the_broken: worst(|run| run.on_the_broken().1),
            probes: worst(|run| run.on_the_broken().0),
            mishandled: worst(|run| {
                broken(run)
                    .filter(|shot| shot.tries.len() != 1 || !shot.ended_with_an_error())
                    .count()
            }),
        }
    }

    fn complaints(&self, cell: &Cell) -> Vec<String> {
        let mut complaints = Vec::new();
        if cell.onset == Onset::Committed {
            // What has begun cannot be taken back: an error event, no second answer, and the target is left soon.
            if ratio(self.failed, self.faced) > BROKEN {
                complaints.push(format!("{} of {} streams broken", self.failed, self.faced));
            }
            if self.failed == 0 || self.mishandled > 0 {
                complaints.push(format!("{} broken streams, {} not told once", self.failed, self.mishandled));
            }
        } else if self.failed > 0 {
            complaints.push(format!("{} failed", self.failed));
        }
        if self.added[1] > ADDED {
            complaints.push(format!("p99 over {ADDED:.0} ms"));
        }
        let most = match cell.kind {
            Kind::Errors | Kind::Control => 1.05,
            Kind::Doubtful => 1.1,
        };
        if self.per_call > most {
            complaints.push(format!("over {most} calls"));
        }
        if cell.onset == Onset::Minute && self.on_the_broken > HANG {
            complaints.push(format!("over {HANG} before it was left"));
        }
        complaints
    }
}

/// Calls whose client saw them fail.
fn broken(run: &Outcome) -> impl Iterator<Item = &Shot> {
    run.shots.iter().filter(|shot| !shot.good)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_does_not_follow_one_bad_run() {
        assert!((median(&mut [3.0, 900.0, 1.0]) - 3.0).abs() < f64::EPSILON);
    }
}
