//! `outrigger check`: what the API server and the controller would say, offline.

use crate::output::say;
use clap::Args;
use outrigger_config::{Severity, compile, load};
use std::{path::PathBuf, process::ExitCode};

/// Flags of `outrigger check`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// YAML files, or folders of them.
    #[arg(short, long = "file", value_name = "PATH", required = true, num_args = 1..)]
    file: Vec<PathBuf>,
    /// The namespace whose routes are looked at.
    #[arg(long, default_value = "default")]
    namespace: String,
}

/// Exit code 0: fine, warnings at most. 1: something would be refused, or would not work. 2: the files cannot be read.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(missing) = arguments.file.iter().find(|path| !path.exists()) {
        anyhow::bail!("{}: no such file or folder", missing.display());
    }
    let mut loaded = load(&arguments.file);
    let compiled = compile(&loaded.objects, &arguments.namespace);
    loaded.diagnostics.extend(compiled.diagnostics);
    for diagnostic in &loaded.diagnostics {
        say(&diagnostic.to_string());
    }
    let count = |severity| loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let table = &compiled.table;
    say(&format!(
        "{} route(s), {} target(s), {} provider key(s) in namespace {}: {errors} error(s), {warnings} warning(s)",
        table.routes.len(),
        table.targets.len(),
        table.providers.len(),
        arguments.namespace
    ));
    Ok(ExitCode::from(u8::from(errors > 0)))
}
