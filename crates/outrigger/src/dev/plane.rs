//! A running data plane with its admin port: each on a thread with a runtime of its own, so that neither a scrape nor a reload takes a turn
//! from a call.

use super::Common;
use crate::output::{complain, write_ports};
use anyhow::Context as _;
use http::StatusCode;
use outrigger_proxy::{Page, Proxy, Settings};
use outrigger_runtime::{Clock, Drain, Draining, Listeners, Metrics, Tasks, admin, logs, signals::Signals};
use serde_json::json;
use std::{fs, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// Memory that may be used where nothing limits the process.
const UNLIMITED: u64 = 1 << 30;

/// Where to listen; port 0 is the system's choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaneOptions {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A data plane whose ports are open.
pub(crate) struct Plane {
    pub(crate) proxy: Proxy,
    pub(crate) clock: Clock,
    /// Where applications connect.
    pub(crate) data: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    drain: Drain,
    grace: Duration,
    threads: Vec<JoinHandle<()>>,
    /// Written out when the process ends.
    _logs: logs::Logs,
}

impl Plane {
    /// Opens the ports and starts to serve, without routes as yet.
    pub(crate) fn start(options: &PlaneOptions, common: &Common) -> anyhow::Result<Self> {
        let logs = logs::init(
            common.log_level,
            if common.log_json { logs::Format::Json } else { logs::Format::Text },
        )?;
        let settings = Settings::for_memory(memory(common)?);
        let clock = Clock::start();
        let metrics = Metrics::new("outrigger");
        let (drain, draining) = Drain::new();
        let calls = Tasks::new();
        let (calls_runtime, side_runtime) = (runtime()?, runtime()?);
        let proxy = {
            let _inside = calls_runtime.enter();
            Proxy::new(settings, common.ca_file.as_deref(), &metrics, calls.clone(), clock)?
        };
        let data = open(&calls_runtime, options.listen)?;
        let pages = open(&side_runtime, options.admin)?;
        let at = |asked: SocketAddr, opened: &Listeners| SocketAddr::new(asked.ip(), opened.port());
        let (data_address, admin_address) = (at(options.listen, &data), at(options.admin, &pages));

        let serving = serve(proxy.clone(), data, draining.clone(), calls, settings.drain);
        let answering = admin::serve(pages, metrics, routes(&proxy, admin_address), Tasks::new(), draining);
        let threads = vec![thread("calls", calls_runtime, serving)?, thread("side", side_runtime, answering)?];
        Ok(Self {
            proxy,
            clock,
            data: data_address,
            admin_address,
            drain,
            grace: settings.drain,
            threads,
            _logs: logs,
        })
    }

    /// Says where it serves.
    pub(crate) fn announce(&self, ports_file: Option<&Path>) -> anyhow::Result<()> {
        if let Some(file) = ports_file {
            write_ports(file, &json!({ "data": self.data.port(), "admin": self.admin_address.port() }))?;
        }
        complain(&format!(
            "Outrigger serves on http://{} (OPENAI_BASE_URL=http://{}/v1, ANTHROPIC_BASE_URL=http://{})",
            self.data, self.data, self.data
        ));
        complain(&format!("admin port: http://{}/targets, /requests, /metrics", self.admin_address));
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT, then lets calls under way finish; a second signal ends it at once.
    pub(crate) fn run_until_signal(self) -> anyhow::Result<ExitCode> {
        let runtime = runtime()?;
        runtime.block_on(async {
            let mut signals = Signals::new()?;
            let signal = signals.next().await;
            tracing::info!(signal, "draining");
            tokio::select! {
                _ = self.drain.drain(self.grace) => {}
                _ = signals.next() => {}
            }
            anyhow::Ok(())
        })?;
        self.stop()?;
        Ok(ExitCode::SUCCESS)
    }

    /// Ends it; what is under way is cut.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.drain.force();
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the data plane panicked"))?;
        }
        Ok(())
    }
}

async fn serve(proxy: Proxy, listeners: Listeners, mut draining: Draining, calls: Tasks, grace: Duration) {
    let alive = draining.hold();
    proxy.serve(listeners, draining.clone()).await;
    tokio::select! {
        _ = calls.shutdown(grace) => {}
        () = draining.forced() => {
            calls.shutdown(Duration::ZERO).await;
        }
    }
    drop(alive);
}

/// The data plane's pages; those that show what is inside on loopback alone.
fn routes(proxy: &Proxy, address: SocketAddr) -> admin::Routes {
    let pages = proxy.admin();
    let local = address.ip().is_loopback();
    Arc::new(move |request| {
        Some(match pages.page(request.uri.path(), local)? {
            Page::Text(status, body) => admin::text(status, body),
            Page::Json(value) => admin::json(StatusCode::OK, serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"),
        })
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

fn open(runtime: &Runtime, address: SocketAddr) -> anyhow::Result<Listeners> {
    let _inside = runtime.enter();
    Listeners::bind(address)
        .with_context(|| format!("cannot listen on {address}: is another one running? Choose another port, 0 takes a free one"))
}

fn thread(name: &str, runtime: Runtime, future: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(future))
        .context("cannot start a thread")
}

/// What the process may use: the flag, else its cgroup's limit, else a gibibyte.
fn memory(common: &Common) -> anyhow::Result<u64> {
    if let Some(quantity) = &common.memory_limit {
        return outrigger_config::units::parse_bytes(quantity)
            .with_context(|| format!("--memory-limit {quantity}: write a quantity such as 512Mi"));
    }
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files
        .iter()
        .find_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    // Version 1 writes a huge number for "none".
    Ok(limit.filter(|limit| *limit < 1 << 50).unwrap_or(UNLIMITED))
}
