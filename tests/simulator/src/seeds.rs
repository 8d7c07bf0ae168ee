//! Many worlds on all cores: their violations, their sums, and what must be true of all of them together.

use crate::{Sums, Violation, World, run};
use std::{
    fmt,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Violations that are kept of one run.
const KEPT: usize = 64;
/// Worlds in which the recovered target must have its share back in time, in a thousand.
const RETURNED: u64 = 990;
/// What the answers may cost, in hundredths of what they would cost at the cheapest.
const SPENT: u128 = 105;

/// How the worlds of a range of seeds went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The lowest seeds first.
    pub violations: Vec<(u64, Violation)>,
    /// Worlds in which the recovered target had not its share back in time, the lowest first.
    pub late: Vec<u64>,
    /// Of all worlds.
    pub sums: Sums,
}

/// Runs the worlds of `seeds` on so many threads. The report does not depend on how many.
pub fn seeds(seeds: Range<u64>, threads: usize) -> Report {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut report = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return report;
            }
            let ran = run(&World::new(seed), false);
            report.sums += ran.sums;
            if ran.sums.returned < ran.sums.recovered {
                report.late.push(seed);
            }
            report.take(ran.violations.into_iter().map(|violation| (seed, violation)));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut report = Report::default();
        for worker in workers {
            let part = match worker.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            report.sums += part.sums;
            report.late.extend(part.late);
            report.take(part.violations.into_iter());
        }
        report.late.sort_unstable();
        report
    })
}

impl Report {
    /// What must be true of all worlds together and is not.
    pub fn missed(&self) -> Vec<String> {
        let Sums {
            recovered,
            returned,
            spent,
            cheapest,
            ..
        } = self.sums;
        let mut missed = Vec::new();
        if returned * 1_000 < recovered * RETURNED {
            missed.push(format!(
                "returns: a recovered target had its share back within 10 s in {returned} of {recovered} worlds, less than 99 %"
            ));
        }
        if spent * 100 > cheapest * SPENT {
            missed.push(format!(
                "cost: {} for what costs {} at the cheapest that would have answered, more than 5 % above",
                dollars(spent),
                dollars(cheapest)
            ));
        }
        missed
    }

    /// Keeps the violations of the lowest seeds, and at least one of each property.
    fn take(&mut self, more: impl Iterator<Item = (u64, Violation)>) {
        self.violations.extend(more);
        self.violations.sort_by_key(|(seed, _)| *seed);
        let mut seen = Vec::new();
        let mut kept = 0;
        self.violations.retain(|(_, violation)| {
            let new = !seen.contains(&violation.property);
            seen.push(violation.property);
            kept += 1;
            new || kept <= KEPT
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = &self.sums;
        for (seed, violation) in &self.violations {
            writeln!(f, "seed {seed}: {violation}")?;
            writeln!(f, "    replay: cargo run -p outrigger-simulator -- --seed {seed}")?;
        }
        for missed in self.missed() {
            writeln!(f, "{missed}")?;
        }
        if !self.late.is_empty() {
            let some = &self.late[..self.late.len().min(KEPT)];
            writeln!(f, "late: seeds {some:?}")?;
        }
        writeln!(
            f,
            "{} calls, {} attempts, {} of them probes; {} answered, {} in vain",
            sums.calls, sums.attempts, sums.probes, sums.answered, sums.failed
        )?;
        writeln!(
            f,
            "share back within 10 s of recovery: {} of {} worlds with a call a second",
            sums.returned, sums.recovered
        )?;
        let above = (sums.spent * 10_000).checked_div(sums.cheapest).unwrap_or(10_000);
        write!(
            f,
            "cost of {} answers: {}, at the cheapest that would have answered {} (x {}.{:04})",
            sums.priced,
            dollars(sums.spent),
            dollars(sums.cheapest),
            above / 10_000,
            above % 10_000
        )
    }
}

fn dollars(pico: u128) -> String {
    format!("${}.{:04}", pico / 1_000_000_000_000, pico / 100_000_000 % 10_000)
}
