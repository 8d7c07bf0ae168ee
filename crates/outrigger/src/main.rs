//! The `outrigger` command line.

mod catalog;
mod check;
mod demo;
mod dev;
mod explain;
mod mock;
mod output;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Outrigger, the model aggregator without a central hop: routes calls of unmodified OpenAI and Anthropic SDKs.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch it work: scripted providers, a mixed load, a provider taken down, and what came of it.
    Demo(demo::Arguments),
    /// Run the data plane on YAML files, without a cluster; edits take effect at once.
    Dev(dev::Arguments),
    /// Run scripted providers that fail on command.
    Mock(mock::Arguments),
    /// Say what the API server and the controller would say of YAML files; exit 0 fine, 1 errors, 2 nothing to check.
    Check(check::Arguments),
    /// Say where a call would go and why: which rule, which targets in which order, at what cost; exit 0 somewhere, 1 nowhere.
    Explain(Box<explain::Arguments>),
    /// List the models that are known: providers, context windows, prices, capabilities.
    Catalog,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Mock(arguments) => mock::run(&arguments),
        Command::Check(arguments) => Ok(check::run(&arguments)),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Catalog => {
            catalog::run();
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        output::complain(&format!("error: {error:#}"));
        ExitCode::from(2)
    })
}
