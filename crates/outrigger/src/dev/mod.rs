//! `outrigger dev`: the data plane on YAML files. Edits take effect at once; a broken edit keeps what was good and says so.

mod files;
mod plane;

use clap::Args;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

pub(crate) use plane::{Plane, PlaneOptions};

/// Flags of `outrigger dev`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// YAML files, or folders of them: ModelRoute, ProviderKey, Secret, ConfigMap.
    #[arg(short, long = "file", value_name = "PATH", required = true, num_args = 1..)]
    file: Vec<PathBuf>,
    /// The namespace whose routes are served.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// A Secret's bytes from the environment, in place of a manifest: `name/key=env:VARIABLE`. May be given again.
    #[arg(long, value_name = "NAME/KEY=env:VARIABLE")]
    secret: Vec<String>,
    /// Where applications connect.
    #[arg(long, default_value = "127.0.0.1:5567")]
    listen: SocketAddr,
    /// Health, metrics and what is going on inside.
    #[arg(long, default_value = "127.0.0.1:5568")]
    admin: SocketAddr,
    #[command(flatten)]
    common: Common,
}

/// Flags that every command with a data plane has.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// How much is logged: error, warn, info, debug, trace.
    #[arg(long, default_value = "info")]
    pub(crate) log_level: tracing::level_filters::LevelFilter,
    /// Logs as JSON lines.
    #[arg(long)]
    pub(crate) log_json: bool,
    /// Memory that the process may use, such as `512Mi`; 40 % of it may hold prompts. Default: the cgroup's limit, else 1Gi.
    #[arg(long, value_name = "QUANTITY", env = "OUTRIGGER_MEMORY_LIMIT")]
    pub(crate) memory_limit: Option<String>,
    /// PEM file of certificates to trust beside the public ones.
    #[arg(long, value_name = "FILE", env = "SSL_CERT_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Write the ports as JSON into this file once they are open.
    #[arg(long, value_name = "FILE")]
    pub(crate) ports_file: Option<PathBuf>,
}

/// Runs until it is told to stop.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut files = files::Files::new(arguments.file, arguments.namespace, &arguments.secret)?;
    let options = PlaneOptions {
        listen: arguments.listen,
        admin: arguments.admin,
    };
    let plane = Plane::start(&options, &arguments.common)?;
    files.first(&plane.proxy)?;
    let _watcher = files.watch(plane.proxy.clone())?;
    plane.announce(arguments.common.ports_file.as_deref())?;
    plane.run_until_signal()
}
