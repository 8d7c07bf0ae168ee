//! `outrigger catalog`: the models that are known.

use crate::output::say;
use clap::Args;
use std::process::ExitCode;

/// Flags of `outrigger catalog`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only this provider's models.
    #[arg(long)]
    provider: Option<String>,
}

/// Prints the table.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let table = outrigger_config::catalog::render(arguments.provider.as_deref());
    anyhow::ensure!(!table.is_empty(), "no such provider in the catalogue: {}", arguments.provider.as_deref().unwrap_or(""));
    say(&table);
    Ok(ExitCode::SUCCESS)
}
