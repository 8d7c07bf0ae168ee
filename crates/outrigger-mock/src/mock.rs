//! The mock as tests and demonstrations hold it.
//!
//! Decides its life: a thread with a runtime of its own, so that it serves synchronous tests too and no test's runtime delays it. It must
//! never outlive its handle.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::behaviour::Behaviour;
use crate::call::Call;
use crate::registry::{Connections, Registry};
use crate::server;

/// A running mock: many scripted providers behind one address, chosen by the first segment of the path.
///
/// Dropping it stops it: all connections are closed and the port is free again when the drop returns.
#[derive(Debug)]
pub struct Mock {
    /// Where it listens. The base URL of provider `NAME` is `http://ADDR/NAME`, or `http://ADDR/NAME/v1`.
    pub addr: SocketAddr,
    registry: Arc<Registry>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was waited for did not happen in time.
#[derive(Debug, thiserror::Error)]
#[error("provider `{name}` received {} calls within {timeout:?}, and they are not what was waited for: {}", .calls.len(), outline(.calls))]
pub struct TimedOut {
    /// The provider.
    pub name: String,
    /// How long was waited.
    pub timeout: Duration,
    /// What it had received by then.
    pub calls: Vec<Call>,
}

fn outline(calls: &[Call]) -> String {
    let state = |call: &Call| {
        if call.aborted {
            "aborted"
        } else if call.done {
            "done"
        } else {
            "in flight"
        }
    };
    let lines: Vec<String> = calls
        .iter()
        .take(20)
        .map(|call| format!("{} {} ({})", call.method, call.path, state(call)))
        .collect();
    lines.join(", ")
}

impl Mock {
    /// Starts on the address; port 0 takes a free port. Returns once it accepts connections.
    ///
    /// # Errors
    /// If the address cannot be bound, or no thread or runtime can be had.
    pub fn start(addr: SocketAddr) -> io::Result<Self> {
        let listener = server::bind(addr)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let registry = Arc::new(Registry::new());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("outrigger-mock".to_owned()).spawn({
            let registry = Arc::clone(&registry);
            move || runtime.block_on(server::run(listener, registry, stopped))
        })?;
        Ok(Self {
            addr,
            registry,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// As [`Mock::start`].
    pub fn local() -> io::Result<Self> {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Base URL of a provider, without `/v1`.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.addr)
    }

    /// Replaces a provider's script. Calls under way keep the one they began with.
    pub fn set(&self, name: &str, behaviour: Behaviour) {
        self.registry.provider(name).set(behaviour);
    }

    /// The calls a provider received, oldest first; the last 10,000 are kept.
    pub fn calls(&self, name: &str) -> Vec<Call> {
        self.registry.provider(name).calls()
    }

    /// Forgets the calls of a provider.
    pub fn clear(&self, name: &str) {
        self.registry.provider(name).clear();
    }

    /// Connections that carried calls to a provider.
    pub fn connections(&self, name: &str) -> Connections {
        self.registry.provider(name).connections()
    }

    /// Waits until a provider has received `n` calls since the last [`Mock::clear`]; a call counts once its body has arrived.
    ///
    /// # Errors
    /// If that takes longer than `timeout`.
    pub async fn wait_for_calls(&self, name: &str, n: usize, timeout: Duration) -> Result<Vec<Call>, TimedOut> {
        let provider = self.registry.provider(name);
        let received = || usize::try_from(provider.counts().0).unwrap_or(usize::MAX);
        self.changed(name, timeout, || received() >= n).await
    }

    /// Waits until the calls of a provider are as `expected`: a call was aborted, all are done.
    ///
    /// # Errors
    /// If that takes longer than `timeout`.
    pub async fn wait_until(&self, name: &str, timeout: Duration, expected: impl Fn(&[Call]) -> bool) -> Result<Vec<Call>, TimedOut> {
        let provider = self.registry.provider(name);
        self.changed(name, timeout, || expected(&provider.calls())).await
    }

    /// Waits until a provider's connections are as `expected`.
    ///
    /// # Errors
    /// If that takes longer than `timeout`.
    pub async fn wait_for_connections(
        &self,
        name: &str,
        timeout: Duration,
        expected: impl Fn(Connections) -> bool,
    ) -> Result<Connections, TimedOut> {
        let provider = self.registry.provider(name);
        self.changed(name, timeout, || expected(provider.connections())).await?;
        Ok(provider.connections())
    }

    /// Stops it, as dropping does.
    pub fn stop(self) {
        drop(self);
    }

    async fn changed(&self, name: &str, timeout: Duration, expected: impl Fn() -> bool) -> Result<Vec<Call>, TimedOut> {
        let provider = self.registry.provider(name);
        let mut changes = provider.changes();
        let happened = tokio::time::timeout(timeout, changes.wait_for(|_| expected())).await;
        let calls = provider.calls();
        if happened.is_ok() {
            Ok(calls)
        } else {
            Err(TimedOut {
                name: name.to_owned(),
                timeout,
                calls,
            })
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to finish: connections die with its runtime.
            let _ = thread.join();
        }
    }
}
