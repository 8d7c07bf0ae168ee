//! `cargo xtask run NAME`: what takes minutes and is run on purpose.

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use std::process::{Command, ExitCode};

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to run.
    name: Name,
    /// Build profile of the binary under test; figures of record are taken with `dist`.
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Only the figures whose test's name contains this.
    filter: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// Seconds and mebibytes: the compile step, reloads under load, idle connections, slow answers, memory; and on a real API server how soon an
    /// edit is in force, what a rotation costs, and what thousands of routes take.
    Figures,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match args.name {
        Name::Figures => figures(args),
    }
}

fn figures(args: &Args) -> anyhow::Result<ExitCode> {
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
