//! The controller's process. The turns have one thread, the lease and the admin port another, so that a long turn costs neither.

use anyhow::Context as _;
use clap::Parser;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use outrigger_controller::{
    Arguments, Command, Controller,
    installation::{self, TestArguments},
};
use outrigger_runtime::{Clock, Drain, Listeners, Metrics, logs, signals::Signals};
use std::{net::SocketAddr, path::Path, process::ExitCode, thread, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// How long turns and reviews under way may take to end.
const GRACE: Duration = Duration::from_secs(8);

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Command::Test(test)) = &arguments.command {
        return examine(&arguments, test);
    }
    let format = if arguments.log_json {
        logs::Format::Json
    } else {
        logs::Format::Text
    };
    let _logs = logs::init(arguments.log_level, format)?;
    let (clock, metrics, settings) = (Clock::start(), Metrics::new("outrigger"), arguments.settings());
    let (drain, draining) = Drain::new();
    let (turns, side) = (runtime()?, runtime()?);
    let config = turns.block_on(config(arguments.kubeconfig.as_deref()))?;
    let api_server = turns.block_on(addresses(&config));
    let bind = |address: SocketAddr| {
        let _inside = side.enter();
        Listeners::bind(address).with_context(|| format!("cannot listen on {address}"))
    };
    let (listeners, webhook) = (bind(arguments.admin)?, arguments.webhook.address.map(bind).transpose()?);
    let (admin_port, webhook_port) = (listeners.port(), webhook.as_ref().map(Listeners::port));

    let (client, lease_client) = (client(&turns, config.clone())?, client(&side, config)?);
    let (controller, rest) = {
        let _inside = turns.enter();
        Controller::new(&settings, &client, api_server, &metrics, clock)
    };
    let answering = rest.run(lease_client, listeners, webhook, metrics, draining.clone());
    let side = thread::Builder::new()
        .name("side".to_owned())
        .spawn(move || side.block_on(answering))?;
    if let Some(file) = &arguments.ports_file {
        write_ports(file, admin_port, webhook_port)?;
    }
    tracing::info!(admin_port, webhook_port, namespaces = ?settings.namespaces, "started");

    turns.block_on(async {
        let mut signals = Signals::new()?;
        let running = controller.run(client, draining);
        tokio::pin!(running);
        tokio::select! {
            signal = signals.next() => tracing::info!(signal, "stopping"),
            () = &mut running => {}
        }
        tokio::select! {
            _ = async { tokio::join!(drain.drain(GRACE), running) } => {}
            _ = signals.next() => drain.force(),
        }
        anyhow::Ok(())
    })?;
    side.join().map_err(|_| anyhow::anyhow!("the side thread panicked"))?;
    Ok(ExitCode::SUCCESS)
}

/// Says what is well, or fails with what is not.
#[expect(clippy::print_stdout, reason = "whoever runs a test reads what it prints")]
fn examine(arguments: &Arguments, test: &TestArguments) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let config = runtime.block_on(config(arguments.kubeconfig.as_deref()))?;
    let client = client(&runtime, config)?;
    let lease = arguments.settings().lease;
    for word in runtime.block_on(installation::test(&client, &lease, test, Clock::start()))? {
        println!("{word}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file).with_context(|| file.display().to_string())?;
            Ok(Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?)
        }
        None => Config::incluster().context("outside a pod, give --kubeconfig"),
    }
}

/// Where the API server is, as far as that can be said: verification never connects there.
async fn addresses(config: &Config) -> Vec<SocketAddr> {
    let url = &config.cluster_url;
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot tell the API server's address");
            Vec::new()
        }
    }
}

fn client(runtime: &Runtime, config: Config) -> anyhow::Result<Client> {
    let _inside = runtime.enter();
    Ok(Client::try_from(config)?)
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// Whole at once: who waits for the file never reads half of it.
fn write_ports(file: &Path, admin: u16, webhook: Option<u16>) -> anyhow::Result<()> {
    let draft = file.with_extension("draft");
    let ports = serde_json::json!({"admin": admin, "webhook": webhook});
    std::fs::write(&draft, format!("{ports}\n"))
        .and_then(|()| std::fs::rename(&draft, file))
        .with_context(|| file.display().to_string())
}
