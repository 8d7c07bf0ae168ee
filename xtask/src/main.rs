//! Automation of the workspace.

mod bench;

use clap::Parser;

#[derive(Parser)]
enum Task {
    /// Measures the data plane against a bare pass-through.
    Bench(bench::Args),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Bench(args) => bench::run(args),
    }
}
