//! The admission webhook: every replica answers, the one that leads looks after the certificates and the pods that are there already.
//!
//! ```text
//! API server ──HTTPS──► serve ──► inject (pure) ──► answer
//!                         │ tls ◄── keep ◄── certificates (pure), Secret, caBundle
//!                         └► claim: a namespace's Secret, so that no pod waits for it
//! watchdog ──► pods without their sidecar ──► Events, metrics
//! ```
//!
//! It must never answer "allowed" for a pod that asked for the sidecar and does not get it.

mod certificates;
mod claim;
mod keep;
mod serve;
mod tls;
mod watchdog;

pub(crate) use claim::REQUESTED;

use crate::{
    cluster::{Cluster, shared},
    desired::INJECT,
    inject::{Facts, SidecarSettings},
    lease::Leadership,
    metrics::Injections,
    tell::Teller,
};
use claim::Claims;
use kube::{Client, ResourceExt};
use outrigger_runtime::{Clock, Draining, Listeners, Tasks};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tls::Credentials;

/// What the webhook is told.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// What goes into a pod.
    pub sidecar: SidecarSettings,
    /// Names and addresses by which the API server calls.
    pub names: Vec<String>,
    /// The `MutatingWebhookConfiguration` whose `caBundle` is ours to write.
    pub configuration: String,
    /// The namespace and name of the Secret with the certificates.
    pub secret: (String, String),
    /// A folder with `tls.crt` and `tls.key` instead: then neither Secret nor `caBundle` is ours.
    pub given: Option<PathBuf>,
    /// How long a certificate of ours lasts.
    pub life: Duration,
    /// Between two looks at the certificates.
    pub look: Duration,
    /// Between two looks at the pods.
    pub watchdog: Duration,
}

/// The webhook of one process, not yet answering.
pub(crate) struct Webhook {
    settings: WebhookSettings,
    namespaces: Vec<String>,
    cluster: Arc<Cluster>,
    leadership: Leadership,
    counts: Injections,
    clock: Clock,
    credentials: Arc<Credentials>,
}

/// What every connection needs.
struct Shared {
    sidecar: SidecarSettings,
    cluster: Arc<Cluster>,
    counts: Injections,
    claims: Claims,
    teller: Arc<Teller>,
    tasks: Tasks,
    clock: Clock,
}

impl Webhook {
    pub(crate) fn new(
        settings: WebhookSettings,
        namespaces: Vec<String>,
        cluster: Arc<Cluster>,
        leadership: Leadership,
        counts: Injections,
        clock: Clock,
    ) -> Self {
        Self {
            settings,
            namespaces,
            cluster,
            leadership,
            counts,
            clock,
            credentials: Arc::default(),
        }
    }

    /// Whether it has a certificate to answer with.
    pub(crate) fn ready(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials)
    }

    /// Answers and keeps watch until the process drains for good.
    pub(crate) async fn run(self, client: Client, identity: String, listeners: Listeners, mut draining: Draining) {
        let tasks = Tasks::new();
        let teller = Arc::new(Teller::new(client.clone(), identity));
        let shared = Arc::new(Shared {
            sidecar: self.settings.sidecar.clone(),
            cluster: Arc::clone(&self.cluster),
            counts: self.counts.clone(),
            claims: Claims::new(client.clone()),
            teller: Arc::clone(&teller),
            tasks: tasks.clone(),
            clock: self.clock,
        });
        let keeper = keep::Keeper {
            client: client.clone(),
            settings: self.settings.clone(),
            credentials: Arc::clone(&self.credentials),
            leadership: self.leadership.clone(),
            counts: self.counts.clone(),
            clock: self.clock,
        };
        let watchdog = watchdog::Watchdog {
            client,
            shared: Arc::clone(&shared),
            namespaces: self.namespaces,
            every: self.settings.watchdog,
            leadership: self.leadership,
        };
        let serving = serve::serve(listeners, self.credentials, shared, draining.clone());
        tokio::select! {
            () = async { tokio::join!(serving, keeper.run(), watchdog.run()); } => {}
            () = draining.forced() => {}
        }
        tasks.shutdown(Duration::ZERO).await;
    }
}

impl Shared {
    /// What is known of a namespace. As long as not everything is known, nothing is said to be missing.
    fn facts(&self, namespace: &str) -> Facts {
        let reaches =
            |route: &crate::cluster::AnyRoute| route.namespace().as_deref() == Some(namespace) || route.0.as_ref().map_or(true, shared);
        Facts {
            labelled: self.labelled(namespace),
            routes: !self.cluster.synced() || self.cluster.routes.any(reaches),
        }
    }

    fn labelled(&self, namespace: &str) -> bool {
        let found = self.cluster.namespaces.find("", namespace);
        found.is_some_and(|found| found.labels().get(INJECT).is_some_and(|value| value == "true"))
    }
}
