//! `outrigger check`: what the API server and the controller would say, offline.

use crate::output::say;
use clap::Args;
use std::{path::PathBuf, process::ExitCode};

/// Flags of `outrigger check`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// YAML files, or folders of them.
    #[arg(short, long = "file", value_name = "PATH", required = true, num_args = 1..)]
    file: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(long, default_value = "default")]
    namespace: String,
}

/// Exit code 0: fine, warnings at most. 1: something would be refused, or would not work. 2: there was nothing to check.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let checked = outrigger_config::check::check(&arguments.file, &arguments.namespace);
    say(checked.to_string().trim_end());
    ExitCode::from(checked.exit_code())
}
