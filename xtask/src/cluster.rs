//! `cargo xtask cluster`: a Kubernetes API server on this host for a person to look around in, the same that the cluster suite starts for
//! itself. It must never touch a cluster that it did not start.

use crate::workspace;
use anyhow::Result;
use clap::Subcommand;
use outrigger_cluster::{Programs, Unavailable, down, up};
use std::{path::PathBuf, process::ExitCode};

/// Arguments of `cargo xtask cluster`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start etcd, kube-apiserver and kube-controller-manager, and leave them running.
    Up {
        /// Add a scheduler and a node, so that pods run.
        #[arg(long)]
        node: bool,
    },
    /// End what `up` started, and remove its data.
    Down,
    /// Find the programs, or build those that are missing; start nothing.
    Build {
        /// Those of a node, too.
        #[arg(long)]
        node: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match args.command {
        Command::Up { node } => start(node)?,
        Command::Down => {
            let ended = down(&folder())?;
            println!("{}", if ended { "The cluster is gone." } else { "No cluster runs." });
        }
        Command::Build { node } => {
            let programs = Programs::find_or_build(&say)?;
            if node {
                outrigger_cluster::build_node(&say)?;
            }
            for program in programs.all() {
                println!("{}", program.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start(node: bool) -> Result<()> {
    let running = match up(&folder(), node, &say) {
        Err(error) if error.is::<Unavailable>() => {
            println!("skipped: {error}");
            return Ok(());
        }
        running => running?,
    };
    println!(
        "{}\n\n  export KUBECONFIG={}\n  {} get namespaces\n\nLogs and the audit log are in {}.\n`cargo xtask cluster down` ends it.",
        if running.already {
            "The cluster runs already."
        } else {
            "The cluster runs."
        },
        running.kubeconfig.display(),
        running.programs.kubectl.display(),
        running.folder.display(),
    );
    Ok(())
}

fn folder() -> PathBuf {
    workspace::target().join("cluster")
}

fn say(line: &str) {
    println!("{line}");
}
