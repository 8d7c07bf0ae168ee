//! Scenarios with figures: what users count on, shown with the real binary, real sockets, scripted providers and a load that does not wait.
//! `cargo xtask run scenario` and `cargo xtask run faults` build and start it. Each run prints a table beside the baseline, writes JSON, and
//! fails where a figure is missed.
#![expect(clippy::print_stdout, reason = "a program for a terminal: its output is its result")]
#![expect(clippy::disallowed_methods, reason = "what measures looks at the clock itself")]

mod faults;
mod fleet;
mod keys;
mod lastresort;
mod load;
mod money;
mod objects;
mod outage;
mod progress;
mod report;
mod residency;
mod rig;
mod sink;
mod spike;
mod tasks;
mod tiers;
mod tokens;

use clap::{Parser, Subcommand, ValueEnum};
use report::Report;
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
struct Args {
    /// Where the JSON goes.
    #[arg(long, default_value = "target/scenario", global = true)]
    json: PathBuf,
    /// Of the traffic and of failures that come now and then.
    #[arg(long, default_value_t = 7, global = true)]
    seed: u64,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The fault matrix.
    Faults(faults::Args),
    /// A scenario, or all of them one after the other.
    Scenario { name: Name },
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// All of the others.
    All,
    /// A provider turns slow three times.
    Spike,
    /// Twenty sidecars with little traffic meet a provider that turns slow.
    Fleet,
    /// A region goes dark.
    Outage,
    /// Three tiers by the length of the prompt.
    Tiers,
    /// Three workloads, told apart in five ways.
    Tasks,
    /// Keys that are revoked, spent, limited and rotated.
    Keys,
    /// A route that may use Europe only.
    Residency,
    /// Every regular target is down.
    Lastresort,
}

impl Name {
    async fn run(self, seed: u64) -> anyhow::Result<Report> {
        match self {
            Self::All => anyhow::bail!("all is no scenario of its own"),
            Self::Spike => spike::run(seed).await,
            Self::Fleet => fleet::run(seed).await,
            Self::Outage => outage::run(seed).await,
            Self::Tiers => tiers::run(seed).await,
            Self::Tasks => tasks::run(seed).await,
            Self::Keys => keys::run(seed).await,
            Self::Residency => residency::run(seed).await,
            Self::Lastresort => lastresort::run(seed).await,
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut met = true;
    let mut close = |report: &Report| {
        report.print();
        met &= report.is_met();
        report.save(&args.json)
    };
    match &args.what {
        What::Faults(faults) => {
            if let Some(report) = faults::run(faults, args.seed).await? {
                close(&report)?;
            }
        }
        What::Scenario { name } => {
            let all = Name::value_variants().iter().skip(1).copied().collect::<Vec<_>>();
            for name in if matches!(name, Name::All) { all } else { vec![*name] } {
                close(&Box::pin(name.run(args.seed)).await?)?;
            }
        }
    }
    Ok(ExitCode::from(u8::from(!met)))
}
