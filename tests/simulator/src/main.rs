//! `cargo run -p outrigger-simulator -- --seed N`: a world and what happened in it. `--seeds A..B`: only what did not hold in any of them,
//! and the sums.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use outrigger_simulator::{World, run, seeds};
use std::{ops::Range, process::ExitCode, thread};

const USAGE: &str = "usage: outrigger-simulator --seed N | --seeds A..B";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--seed", seed] => seed.parse().map_or_else(|_| usage(), one),
        ["--seeds", range] => parse(range).map_or_else(usage, many),
        _ => usage(),
    }
}

fn one(seed: u64) -> ExitCode {
    let world = World::new(seed);
    let ran = run(&world, true);
    println!("{world}");
    for entry in &ran.trace {
        println!("{entry}");
    }
    println!("\n{:?}\nhash {:016x}", ran.sums, ran.hash);
    for violation in &ran.violations {
        println!("NOT HELD: {violation}");
    }
    ExitCode::from(u8::from(!ran.violations.is_empty()))
}

fn many(range: Range<u64>) -> ExitCode {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let report = seeds(range, threads);
    println!("{report}");
    ExitCode::from(u8::from(!report.violations.is_empty() || !report.missed().is_empty()))
}

fn parse(range: &str) -> Option<Range<u64>> {
    let (from, until) = range.split_once("..")?;
    Some(from.parse().ok()?..until.parse().ok()?)
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
