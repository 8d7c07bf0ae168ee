//! `outrigger dev`: the data plane on YAML files. Edits take effect at once; a broken edit keeps what was good and says so.

mod files;

use crate::output::complain;
use anyhow::Context as _;
use clap::Args;
use outrigger_proxy::{
    TraceSettings,
    plane::{Plane, PlaneOptions},
};
use outrigger_runtime::{logs, memory};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

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
    /// The ServiceAccount that calls are taken to come from, for rules that ask for one.
    #[arg(
        long,
        value_name = "NAME",
        env = "OUTRIGGER_SERVICE_ACCOUNT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) service_account: String,
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
    let (plane, _logs) = arguments.common.start(arguments.listen, arguments.admin)?;
    files.first(&plane.proxy)?;
    let _watcher = files.watch(plane.proxy.clone())?;
    arguments.common.announce(&plane)?;
    plane.run_until_signal()?;
    Ok(ExitCode::SUCCESS)
}

impl Common {
    /// A data plane that serves, without routes as yet, and the process's logs, to be held until its end.
    pub(crate) fn start(&self, listen: SocketAddr, admin: SocketAddr) -> anyhow::Result<(Plane, logs::Logs)> {
        let format = if self.log_json { logs::Format::Json } else { logs::Format::Text };
        let logs = logs::init(self.log_level, format)?;
        let memory = match &self.memory_limit {
            None => memory::limit(),
            Some(quantity) => {
                memory::parse_bytes(quantity).with_context(|| format!("--memory-limit {quantity}: write a quantity such as 512Mi"))?
            }
        };
        let plane = Plane::start(&PlaneOptions {
            listen,
            admin,
            memory,
            ca_file: self.ca_file.clone(),
            service_account: self.service_account.clone(),
            traces: TraceSettings::of_process(&[]),
            polls: true,
        })?;
        Ok((plane, logs))
    }

    /// Says where it serves.
    pub(crate) fn announce(&self, plane: &Plane) -> anyhow::Result<()> {
        if let Some(file) = &self.ports_file {
            plane
                .write_ports(file)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let data = plane.data;
        complain(&format!(
            "Outrigger serves on http://{data} (OPENAI_BASE_URL=http://{data}/v1, ANTHROPIC_BASE_URL=http://{data})"
        ));
        complain(&format!("admin port: http://{}/targets, /requests, /metrics", plane.admin_address));
        Ok(())
    }
}
