//! Every property in thousands of worlds, and what must be true of all of them together.

use outrigger_simulator::{World, run, seeds};
use std::{collections::BTreeSet, thread};

#[test]
fn no_property_fails_in_twelve_thousand_worlds() {
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let report = seeds(0..12_000, threads);
    println!("{report}");
    assert!(report.violations.is_empty() && report.missed().is_empty(), "\n{report}");
    // Worlds in which nothing happens would show nothing.
    let sums = report.sums;
    assert!(sums.calls > 2_000_000 && sums.answered < sums.calls * 9 / 10, "{sums:?}");
    assert!(sums.attempts > sums.calls * 6 / 5 && sums.probes > 50_000, "{sums:?}");
    assert!(sums.recovered > 1_500 && sums.priced > 200_000, "{sums:?}");
}

#[test]
fn a_seed_is_one_trace_whoever_runs_it() {
    let hashes: Vec<u64> = (0..64).map(|seed| run(&World::new(seed), false).hash).collect();
    let again: Vec<u64> = (0..64).map(|seed| run(&World::new(seed), true).hash).collect();
    assert_eq!(hashes, again);
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), 64, "worlds differ");
    let ran = run(&World::new(3), true);
    assert_eq!(ran.trace, run(&World::new(3), true).trace);
    assert!(ran.trace.len() > 100, "{}", ran.trace.len());
    assert_eq!(seeds(0..64, 1).sums, seeds(0..64, 3).sums);
}
