//! `cargo xtask run NAME`: what takes minutes and is run on purpose.

use crate::{bench::subject, test, workspace};
use anyhow::{Context as _, ensure};
use clap::Subcommand;
use std::process::{Command, ExitCode};

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Seconds and mebibytes: the compile step, reloads under load, idle connections, slow answers, memory; and on a real API server how soon an
    /// edit is in force, what a rotation costs, and what thousands of routes take.
    Figures(Figures),
    /// Seconds and mebibytes of pods on a node of this host, which takes root: from nothing to an answer, what a sidecar adds to a pod's start, what
    /// it takes at rest, and how long it is gone when it is killed.
    Node {
        /// Build profile of what ships; figures of record are taken with `dist`.
        #[arg(long, default_value = "dist")]
        profile: String,
    },
    /// What users count on, over real sockets: spike, fleet, outage, tiers, tasks, keys, residency, lastresort, or all.
    Scenario(Scenario),
    /// The fault matrix: a target that fails in every way that providers do, and what callers notice.
    Faults(Scenario),
    /// Changes the core's code in hundreds of places, one at a time, and counts those that no test of it notices.
    Mutants {
        /// Only the changes whose description matches this.
        filter: Option<String>,
        /// Only so many of them, spread over all: K/N is the Kth of N parts. All of them take hours.
        #[arg(long, value_name = "K/N")]
        part: Option<String>,
    },
}

#[derive(clap::Args)]
struct Figures {
    /// Build profile of the binary under test; figures of record are taken with `dist`.
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Only the figures whose test's name contains this.
    filter: Option<String>,
}

#[derive(clap::Args)]
struct Scenario {
    /// Build profile of the binary under test; figures of record are taken with `dist`.
    #[arg(long, default_value = "release")]
    profile: String,
    /// The scenario's name and its flags; `--help` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Figures(args) => figures(args),
        What::Node { profile } => test::figures_of_a_node(profile),
        What::Scenario(args) => scenario("scenario", args),
        What::Faults(args) => scenario("faults", args),
        What::Mutants { filter, part } => mutants(filter.as_deref(), part.as_deref()),
    }
}

/// Builds the real binary and the program that loads it, side by side, and runs that.
fn scenario(what: &str, args: &Scenario) -> anyhow::Result<ExitCode> {
    let scenarios = subject::build(&args.profile, "scenarios", &["--package", "outrigger-scenarios"])?;
    subject::build(&args.profile, "outrigger", &["--package", "outrigger"])?;
    let mut command = Command::new(scenarios);
    command
        .arg(what)
        .args(&args.rest)
        .arg("--json")
        .arg(workspace::target().join("scenario"));
    let status = command.status().context("the scenarios")?;
    println!("profile: {}", args.profile);
    Ok(ExitCode::from(u8::from(!status.success())))
}

fn figures(args: &Figures) -> anyhow::Result<ExitCode> {
    let cargo = |arguments: &[&str]| -> anyhow::Result<bool> {
        let status = Command::new("cargo")
            .args(arguments)
            .args(["--profile", &args.profile])
            .status()
            .context("cargo")?;
        Ok(status.success())
    };
    let binaries = [
        "build",
        "--package=outrigger",
        "--package=outrigger-proxy",
        "--package=outrigger-controller",
    ];
    let allocator = ["--features", "outrigger/jemalloc,outrigger-proxy/jemalloc"];
    ensure!(cargo(&[&binaries[..], &allocator].concat())?, "the build failed");
    let mut all_met = true;
    let tests = [
        ("outrigger-config", "scale"),
        ("outrigger-tests", "figures"),
        ("outrigger-cluster", "controller"),
    ];
    for (package, test) in tests {
        let mut command = Command::new("cargo");
        command.args(["test", "--package", package, "--test", test, "--profile", &args.profile, "--"]);
        command.args(["--ignored", "--nocapture", "--test-threads", "1"]).args(&args.filter);
        all_met &= command.status().context("cargo test")?.success();
    }
    println!("profile: {}", args.profile);
    Ok(ExitCode::from(u8::from(!all_met)))
}

/// cargo-mutants works on a copy of the workspace; its report and the changes that nobody noticed are in `mutants.out` in the target folder.
fn mutants(filter: Option<&str>, part: Option<&str>) -> anyhow::Result<ExitCode> {
    let found = Command::new("cargo").args(["mutants", "--version"]).output().context("cargo")?;
    ensure!(
        found.status.success(),
        "cargo-mutants is not installed; `cargo install --locked cargo-mutants` does that"
    );
    let mut command = Command::new("cargo");
    command
        .args(["mutants", "--package", "outrigger-core", "--output"])
        .arg(workspace::target());
    command.args(filter.iter().flat_map(|filter| ["--re", filter]));
    command.args(part.iter().flat_map(|part| ["--sharding", "round-robin", "--shard", part]));
    let status = command.current_dir(workspace::root()).status().context("cargo mutants")?;
    Ok(ExitCode::from(u8::from(!status.success())))
}
