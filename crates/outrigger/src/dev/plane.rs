//! A running data plane with its admin port: each on a thread with a runtime of its own, so that neither a scrape nor a reload takes a turn
//! from a call.

use super::Common;
use crate::output::{complain, write_ports};
use anyhow::Context as _;
use http::StatusCode;
use outrigger_proxy::{Page, Proxy, Settings};
use outrigger_runtime::{Clock, Drain, Draining, Metrics, Tasks, admin, listen::Listener, logs, signals::Signals};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    thread::JoinHandle,
    time::Duration,
};
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
}

impl Plane {
    /// Opens the ports and starts to serve, without routes as yet.
    pub(crate) fn start(options: &PlaneOptions, common: &Common) -> anyhow::Result<Self> {
        logs::init(common.log_level, if common.log_json { logs::Format::Json } else { logs::Format::Text });
        let settings = Settings::for_memory(memory(common)?);
        let clock = Clock::start();
        let metrics = Metrics::new("outrigger");
        let (drain, draining) = Drain::new();
        let calls = Tasks::new();
        let proxy = Proxy::new(settings, common.ca_file.as_deref(), &metrics, calls.clone(), clock)?;

        let (calls_runtime, side_runtime) = (runtime()?, runtime()?);
        let listener = open(&calls_runtime, options.listen)?;
        let admin_listener = open(&side_runtime, options.admin)?;
        let (data, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);

        let serving = serve(proxy.clone(), listener, draining.clone(), calls, settings.drain);
        let pages = admin_pages(&proxy, admin_listener, metrics, draining);
        let threads = vec![thread("calls", calls_runtime, serving)?, thread("side", side_runtime, pages)?];
        Ok(Self { proxy, clock, data, admin_address, drain, grace: settings.drain, threads })
    }

    /// Says where it serves.
    pub(crate) fn announce(&self, ports_file: Option<&Path>) -> anyhow::Result<()> {
        if let Some(file) = ports_file {
            write_ports(file, &json!({ "data": self.data.port(), "admin": self.admin_address.port() }))?;
        }
        complain(&format!("Outrigger serves on http://{} (OPENAI_BASE_URL=http://{}/v1, ANTHROPIC_BASE_URL=http://{})", self.data, self.data, self.data));
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

async fn serve(proxy: Proxy, listener: Listener, mut draining: Draining, calls: Tasks, grace: Duration) {
    let alive = draining.hold();
    proxy.serve(listener, draining.clone()).await;
    tokio::select! {
        _ = calls.shutdown(grace) => {}
        () = draining.forced() => {
            calls.shutdown(Duration::ZERO).await;
        }
    }
    drop(alive);
}

fn admin_pages(proxy: &Proxy, listener: Listener, metrics: Metrics, draining: Draining) -> impl Future<Output = ()> + Send + 'static {
    let local = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let (pages, gauges) = (proxy.admin(), proxy.admin());
    let page = move |path: &str| {
        Some(match pages.page(path, local)? {
            Page::Text(status, body) => admin::Page { status, content_type: "text/plain; charset=utf-8", body },
            Page::Json(value) => {
                let body = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
                admin::Page { status: StatusCode::OK, content_type: "application/json", body }
            }
        })
    };
    admin::serve(listener, metrics, move || gauges.refresh(), page, Tasks::new(), draining)
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

fn open(runtime: &Runtime, address: SocketAddr) -> anyhow::Result<Listener> {
    let _inside = runtime.enter();
    Listener::open(address).with_context(|| format!("cannot listen on {address}: is another one running? Choose another port, 0 takes a free one"))
}

fn thread(name: &str, runtime: Runtime, future: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(future)).context("cannot start a thread")
}

/// What the process may use: the flag, else its cgroup's limit, else a gibibyte.
fn memory(common: &Common) -> anyhow::Result<u64> {
    if let Some(quantity) = &common.memory_limit {
        return outrigger_config::units::parse_bytes(quantity).with_context(|| format!("--memory-limit {quantity}: write a quantity such as 512Mi"));
    }
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    // Version 1 writes a huge number for "none".
    Ok(limit.filter(|limit| *limit < 1 << 50).unwrap_or(UNLIMITED))
}
