//! The sidecar: a data plane whose routing comes from a namespace's signed snapshot. The mounted files serve boot and survival, the watch
//! serves speed, and the authority decides between them. Neither an API server nor a controller need be there for it to serve.
//!
//! ```text
//! ConfigMap, Secret ──mounts──┐
//!                             ├──► authority ──install──► Proxy
//! API server ────────watch────┘    (pure)
//! ```

mod api;
mod authority;
mod config;
mod hold;
mod mounts;
#[cfg(test)]
mod testing;
mod watch;

pub use config::{Command, Config, ConfigError};

use crate::{
    Proxy, TraceSettings,
    plane::{Plane, PlaneError, PlaneOptions},
};
use api::{Api, Clocks};
use authority::{Authority, Event, Install};
use mounts::Mounts;
use outrigger_core::Tick;
use outrigger_runtime::{Clock, logs};
use std::{io, time::Duration};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use watch::Watch;

/// Looks at the mounts are never closer together.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);
/// Changes that may wait to be taken in; the watch waits with the next.
const QUEUE: usize = 4;

/// Why a sidecar cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The logs cannot be set up.
    #[error("{0}")]
    Logs(#[from] logs::LogsError),
    /// The data plane cannot.
    #[error("{0}")]
    Plane(#[from] PlaneError),
    /// The ports file cannot be written.
    #[error("cannot write the ports file: {0}")]
    Ports(io::Error),
}

/// Runs until a signal asks for the end.
///
/// # Errors
/// Where it cannot start.
pub fn run(config: &Config) -> Result<(), SidecarError> {
    let format = if config.log_json { logs::Format::Json } else { logs::Format::Text };
    let _logs = logs::init(config.log_level, format)?;
    let plane = Plane::start(&PlaneOptions {
        listen: config.listen,
        admin: config.admin,
        memory: config.memory,
        ca_file: config.ca_file.clone(),
        service_account: config.service_account.clone(),
        traces: TraceSettings::of_process(&[
            ("k8s.namespace.name", &config.namespace),
            ("k8s.pod.name", &config.pod),
            ("k8s.pod.uid", &config.pod_uid),
        ]),
        polls: false,
    })?;
    tracing::info!(
        namespace = config.namespace,
        pod = config.pod,
        uid = config.pod_uid,
        service_account = config.service_account,
        data = %plane.data,
        admin = %plane.admin_address,
        "the sidecar starts"
    );
    // What is mounted is in force before anybody can ask.
    let now = Tick(plane.clock.now_us());
    let patience = if config.server.is_some() { config.patience } else { Duration::ZERO };
    let mut driver = Driver {
        authority: Authority::new(config.namespace.clone(), patience, now),
        mounts: Mounts::new(config.snapshot_dir.clone(), config.keys_dir.clone()),
        proxy: plane.proxy.clone(),
        clock: plane.clock,
    };
    driver.look();

    let (tell, events) = mpsc::channel(QUEUE);
    if let Some(server) = config.server.clone() {
        let api = Api {
            server,
            folder: config.token_dir.clone(),
            clocks: Clocks {
                step: config.step,
                ping: config.ping,
            },
            tasks: plane.side_tasks(),
        };
        plane.beside("watch", Watch::new(api, &config.namespace, plane.clock, tell).run());
    }
    plane.beside("snapshot", driver.run(events, config.look.max(SHORTEST_LOOK)));
    let (admin, hold) = (plane.admin.clone(), config.hold);
    plane.beside("hold", async move {
        tokio::time::sleep(hold).await;
        admin.waive_start();
    });
    if let Some(file) = &config.ports_file {
        plane.write_ports(file).map_err(SidecarError::Ports)?;
    }
    Ok(plane.run_until_signal()?)
}

/// Carries events to the authority and its decisions to the data plane.
struct Driver {
    authority: Authority,
    mounts: Mounts,
    proxy: Proxy,
    clock: Clock,
}

impl Driver {
    /// Looks at the mounts every `pause`, which must not be zero.
    async fn run(mut self, mut events: mpsc::Receiver<Event>, pause: Duration) {
        let mut look = interval(pause);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.take(event),
                _ = look.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        for event in self.mounts.look() {
            self.take(event);
        }
        if self.authority.wake().is_some_and(|at| at <= self.now()) {
            self.take(Event::Woken);
        }
    }

    fn take(&mut self, event: Event) {
        let decision = self.authority.take(event, self.now());
        for refusal in decision.refused {
            self.proxy.reject(refusal.rejected.reason());
            tracing::warn!(
                source = refusal.source.as_str(),
                reason = refusal.rejected.reason(),
                problem = %refusal.rejected,
                "a snapshot is refused: the last good one stays in force"
            );
        }
        if let Some(install) = decision.install {
            self.install(install);
        }
    }

    fn install(&mut self, install: Install) {
        if self.publish(install) {
            self.authority.confirm();
        } else if let Some(before) = self.authority.unusable() {
            self.publish(before);
        }
    }

    fn publish(&self, install: Install) -> bool {
        let Install {
            generation,
            source,
            resolved,
        } = install;
        let (routes, pending) = (resolved.table.routes.len(), resolved.pending.len());
        match self.proxy.publish(generation, resolved.table, &resolved.secrets, source.as_str()) {
            Ok(()) => {
                self.proxy.await_keys(pending > 0);
                tracing::info!(generation, source = source.as_str(), routes, pending, "a snapshot is in force");
                true
            }
            Err(error) => {
                tracing::warn!(generation, source = source.as_str(), %error, "a snapshot cannot be used: the last good one stays in force");
                false
            }
        }
    }

    fn now(&self) -> Tick {
        Tick(self.clock.now_us())
    }
}
