//! A running data plane with its admin port: each on a thread with a runtime of its own, so that neither a scrape nor a reload takes a turn
//! from a call. It is what `outrigger dev`, `outrigger demo` and the sidecar share; where routes come from is theirs.

use crate::{
    Admin, Page, Proxy, Settings, TraceSettings,
    traces::{Recorder, Surroundings},
    upstream::TlsError,
};
use http::StatusCode;
use outrigger_runtime::{Clock, Drain, Draining, Listeners, Metrics, Tasks, admin, files, signals::Signals};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::watch,
};

/// Where to listen, port 0 being the system's choice, and what may be used.
#[derive(Clone, Debug)]
pub struct PlaneOptions {
    /// Where applications connect.
    pub listen: SocketAddr,
    /// Health and metrics; on loopback also what is inside.
    pub admin: SocketAddr,
    /// Memory that the process may use, bytes.
    pub memory: u64,
    /// PEM file of certificates to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// The ServiceAccount of whoever calls; empty = there is none.
    pub service_account: String,
    /// How requests are traced; absent = not at all.
    pub traces: Option<TraceSettings>,
    /// Whether providers that want health checks are asked all the time, which one process may and a thousand must not.
    pub polls: bool,
}

/// Why a data plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}. Is another one running? Choose another port, 0 takes a free one")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The certificates to trust are none.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The system refuses a thread, a runtime or a signal handler.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// A thread has ended as none should.
    #[error("a thread of the data plane panicked")]
    Panicked,
}

/// A data plane whose ports are open.
pub struct Plane {
    /// The data plane.
    pub proxy: Proxy,
    /// What its admin port shows.
    pub admin: Admin,
    /// Its clock.
    pub clock: Clock,
    /// Where applications connect.
    pub data: SocketAddr,
    /// Where its admin port is.
    pub admin_address: SocketAddr,
    side: (Handle, Tasks),
    drain: Drain,
    grace: Duration,
    threads: Vec<JoinHandle<()>>,
}

impl Plane {
    /// Opens the ports and starts to serve, without routes as yet.
    ///
    /// # Errors
    /// [`PlaneError`]
    pub fn start(options: &PlaneOptions) -> Result<Self, PlaneError> {
        let clock = Clock::start();
        let metrics = Metrics::new("outrigger");
        let (recorder, exporter) = options.traces.clone().map(|traces| Recorder::new(traces, &metrics)).unzip();
        let settings = Settings {
            traces: recorder,
            service_account: Some(options.service_account.as_str())
                .filter(|name| !name.is_empty())
                .map(Into::into),
            polls: options.polls,
            ..Settings::for_memory(options.memory)
        };
        let grace = settings.drain;
        let (drain, draining) = Drain::new();
        let (calls, beside) = (Tasks::new(), Tasks::new());
        let (calls_runtime, side_runtime) = (runtime()?, runtime()?);
        let proxy = {
            let _inside = calls_runtime.enter();
            Proxy::new(settings, options.ca_file.as_deref(), &metrics, calls.clone(), clock)?
        };
        let data = open(&calls_runtime, options.listen)?;
        let pages = open(&side_runtime, options.admin)?;
        let at = |asked: SocketAddr, opened: &Listeners| SocketAddr::new(asked.ip(), opened.port());
        let (data_address, admin_address) = (at(options.listen, &data), at(options.admin, &pages));

        let shown = proxy.admin();
        let (serves, ends) = watch::channel(());
        if let Some(exporter) = exporter {
            let _inside = side_runtime.enter();
            let surroundings = Surroundings {
                tls: proxy.tls(),
                tasks: beside.clone(),
                clock,
                calls: ends,
                in_flight: draining.hold(),
            };
            beside.background("traces", exporter.run(surroundings));
        }
        let serving = serve(proxy.clone(), data, draining.clone(), (calls, serves), grace);
        let answering = admin::serve(pages, metrics, routes(shown.clone(), admin_address), beside.clone(), draining);
        let side = (side_runtime.handle().clone(), beside);
        let threads = vec![thread("calls", calls_runtime, serving)?, thread("side", side_runtime, answering)?];
        Ok(Self {
            proxy,
            admin: shown,
            clock,
            data: data_address,
            admin_address,
            side,
            drain,
            grace,
            threads,
        })
    }

    /// Runs `work` beside the calls, never in their way, until the process ends. `name` says what it does, for logs.
    pub fn beside(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let _inside = self.side.0.enter();
        self.side.1.background(name, work);
    }

    /// The set that [`beside`](Self::beside) puts its work into, for work that starts more.
    pub fn side_tasks(&self) -> Tasks {
        self.side.1.clone()
    }

    /// Writes the ports as JSON: `data` and `admin`.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_ports(&self, file: &Path) -> io::Result<()> {
        let ports = serde_json::json!({ "data": self.data.port(), "admin": self.admin_address.port() });
        files::replace(file, ports.to_string().as_bytes())
    }

    /// Serves until SIGTERM or SIGINT, then lets calls under way finish; a second signal ends it at once.
    ///
    /// # Errors
    /// [`PlaneError::System`] or [`PlaneError::Panicked`]
    pub fn run_until_signal(self) -> Result<(), PlaneError> {
        runtime()?.block_on(async {
            let mut signals = Signals::new()?;
            let signal = signals.next().await;
            tracing::info!(signal, "draining");
            tokio::select! {
                _ = self.drain.drain(self.grace) => {}
                _ = signals.next() => {}
            }
            io::Result::Ok(())
        })?;
        self.stop()
    }

    /// Ends it; what is under way is cut.
    ///
    /// # Errors
    /// [`PlaneError::Panicked`]
    pub fn stop(self) -> Result<(), PlaneError> {
        self.drain.force();
        self.threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| PlaneError::Panicked))
    }
}

/// Serves calls to the end of the last one, which it tells by dropping the second of `calls`.
async fn serve(proxy: Proxy, listeners: Listeners, mut draining: Draining, calls: (Tasks, watch::Sender<()>), grace: Duration) {
    let (calls, serves) = calls;
    let alive = draining.hold();
    proxy.serve(listeners, draining.clone()).await;
    tokio::select! {
        _ = calls.shutdown(grace) => {}
        () = draining.forced() => {
            calls.shutdown(Duration::ZERO).await;
        }
    }
    drop((alive, serves));
}

/// The data plane's pages; those that show what is inside on loopback alone.
fn routes(pages: Admin, address: SocketAddr) -> admin::Routes {
    let local = address.ip().is_loopback();
    Arc::new(move |request| {
        Some(match pages.page(request.uri.path(), local)? {
            Page::Text(status, body) => admin::text(status, body),
            Page::Json(value) => admin::json(StatusCode::OK, serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"),
        })
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn open(runtime: &Runtime, address: SocketAddr) -> Result<Listeners, PlaneError> {
    let _inside = runtime.enter();
    Listeners::bind(address).map_err(|error| PlaneError::Listen { address, error })
}

fn thread(name: &str, runtime: Runtime, future: impl Future<Output = ()> + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(future))
}
