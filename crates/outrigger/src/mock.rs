//! `outrigger mock`: scripted providers on their own.

use crate::output::say;
use anyhow::Context as _;
use clap::Args;
use outrigger_mock::{Mock, REFERENCE, behaviours};
use outrigger_runtime::signals::Signals;
use serde_json::json;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Flags of `outrigger mock`.
#[derive(Debug, Args)]
#[command(after_long_help = REFERENCE)]
pub(crate) struct Arguments {
    /// JSON file: behaviours by provider name. Providers that it does not name are healthy.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where to listen; port 0 is the system's choice.
    #[arg(long, default_value = "127.0.0.1:5570")]
    listen: SocketAddr,
    /// Write the port as JSON into this file once it is open.
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,
}

/// Runs until it is told to stop.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mock = Mock::start(arguments.listen).with_context(|| format!("cannot listen on {}", arguments.listen))?;
    if let Some(file) = &arguments.file {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let scripts = behaviours(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
        for (name, behaviour) in scripts {
            mock.set(&name, behaviour);
        }
    }
    if let Some(file) = &arguments.ports_file {
        super::output::write_ports(file, &json!({ "data": mock.addr.port() }))?;
    }
    say(&format!(
        "Scripted providers listen. Base URL of provider NAME, both dialects: {}",
        mock.url("NAME/v1")
    ));
    say(&format!(
        "Change one while it runs: curl -X PUT {} -d '{{\"status\": 503}}'",
        mock.url("_mock/behaviour/NAME")
    ));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        signals.next().await;
        anyhow::Ok(())
    })?;
    mock.stop();
    Ok(ExitCode::SUCCESS)
}
