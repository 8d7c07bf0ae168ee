//! The project's automation: `cargo xtask <command>`.
//!
//! Everything that a person or the continuous integration runs beside `cargo` itself is here, in Rust, so that it works wherever the
//! toolchain works. Only `codegen` may change a tracked file.
#![expect(clippy::print_stdout, reason = "a program for a terminal: its output is its result")]
#![expect(
    clippy::disallowed_methods,
    reason = "a tool at the rim of the project reads the clock and the environment itself"
)]

mod bench;
mod cluster;
mod codegen;
mod image;
mod process;
mod run;
mod test;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Outrigger's automation.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check and every suite, or only those that are named.
    Test(test::Args),
    /// Check the rules of the code base that no compiler checks.
    Tidy,
    /// Run pods with real SDKs on a node of this host, which takes root; what is missing is said.
    E2e,
    /// A Kubernetes cluster on this host, started and ended.
    Cluster(cluster::Args),
    /// Write the charts' definitions and the reference of every field, from the types, and plain manifests from the chart.
    Codegen(codegen::Args),
    /// Pack the images of the controller and of the sidecar, without a container engine.
    Image(image::Args),
    /// Run what takes minutes and is run on purpose.
    Run(run::Args),
    /// Measure the data plane against a bare pass-through, in turn in one run.
    Bench(bench::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Test(args) => test::run(&args),
        Command::E2e => test::end_to_end(),
        Command::Tidy => tidy::run(),
        Command::Cluster(args) => cluster::run(&args),
        Command::Codegen(args) => codegen::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Bench(args) => bench::run(args).map(|()| ExitCode::SUCCESS),
    }
}
