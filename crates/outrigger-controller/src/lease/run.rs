//! The loop around one Lease object: read, decide, write with the version that was read, sleep.

use super::{DURATION_US, EVERY_US, Elector, MARGIN_US, Move};
use crate::moment;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use outrigger_runtime::{Clock, Draining};
use std::time::Duration;
use tokio::sync::watch;

/// No call to the API server takes longer.
const CALL: Duration = Duration::from_secs(4);

/// Which lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The Lease's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// This replica.
    pub identity: String,
}

/// Whether this replica writes; clones hear of changes.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    /// Until when, on the process's clock; 0 = not at all.
    until: watch::Receiver<u64>,
    clock: Clock,
}

impl Leadership {
    /// Nobody's yet, and the hand that changes it.
    pub(crate) fn new(clock: Clock) -> (watch::Sender<u64>, Self) {
        let (tell, until) = watch::channel(0);
        (tell, Self { until, clock })
    }

    /// Whether this replica may write now.
    pub(crate) fn held(&self) -> bool {
        self.clock.now_us() < *self.until.borrow()
    }

    /// Resolves when it may write.
    pub(crate) async fn gained(&mut self) {
        while !self.held() {
            if self.until.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves when it may no longer write: whatever it has under way must stop.
    pub(crate) async fn lost(&mut self) {
        loop {
            let until = *self.until.borrow_and_update();
            if self.clock.now_us() >= until {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(self.clock.instant_at(until)) => {}
                changed = self.until.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Holds the lease whenever it can, until the process drains; then lets go of it, so that another replica need not wait.
pub(crate) async fn hold(client: Client, settings: LeaseSettings, tell: watch::Sender<u64>, clock: Clock, mut draining: Draining) {
    let api: Api<Lease> = Api::namespaced(client, &settings.namespace);
    let mut elector = Elector::new(settings.identity.clone());
    loop {
        let asked = clock.now_us();
        match tokio::time::timeout(CALL, turn(&api, &settings, &mut elector, clock)).await {
            Ok(Ok(true)) => {
                let before = tell.send_replace(asked + DURATION_US - MARGIN_US);
                if before <= asked {
                    tracing::info!(identity = settings.identity, "this replica writes");
                }
            }
            Ok(Ok(false)) => give_up(&tell),
            // The last renewal still counts for as long as it said.
            Ok(Err(error)) => tracing::warn!(%error, "cannot renew or read the lease"),
            Err(_) => tracing::warn!("the API server does not answer about the lease"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_micros(EVERY_US)) => {}
            // What writes has stopped by then, and another replica need not wait until the rest here is over.
            () = draining.graceful() => break,
        }
    }
    let held = *tell.borrow() > clock.now_us();
    give_up(&tell);
    if held {
        let _ = tokio::time::timeout(CALL, release(&api, &settings)).await;
    }
}

fn give_up(tell: &watch::Sender<u64>) {
    if tell.send_replace(0) > 0 {
        tracing::info!("this replica no longer writes");
    }
}

/// Whether the lease is ours after this.
async fn turn(api: &Api<Lease>, settings: &LeaseSettings, elector: &mut Elector, clock: Clock) -> kube::Result<bool> {
    let found = api.get_opt(&settings.name).await?;
    let spec = found.as_ref().and_then(|lease| lease.spec.as_ref());
    let taken = match elector.decide(spec, clock.now_us()) {
        Move::Wait => return Ok(false),
        Move::Take => true,
        Move::Renew => false,
    };
    let lease = written(found.clone(), settings, taken, clock);
    let done = match found {
        Some(_) => api.replace(&settings.name, &PostParams::default(), &lease).await,
        None => api.create(&PostParams::default(), &lease).await,
    };
    match done {
        Ok(_) => Ok(true),
        // Somebody was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

fn written(found: Option<Lease>, settings: &LeaseSettings, taken: bool, clock: Clock) -> Lease {
    let Lease { metadata, spec } = found.unwrap_or_default();
    let before = spec.unwrap_or_default();
    let now = Some(moment::micros(clock.unix_ms()));
    Lease {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            namespace: Some(settings.namespace.clone()),
            managed_fields: None,
            ..metadata
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(settings.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION_US / 1_000_000).ok(),
            renew_time: now.clone(),
            acquire_time: if taken { now } else { before.acquire_time },
            lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(i32::from(taken))),
            ..before
        }),
    }
}

async fn release(api: &Api<Lease>, settings: &LeaseSettings) -> kube::Result<()> {
    let Some(mut lease) = api.get_opt(&settings.name).await? else {
        return Ok(());
    };
    let Some(spec) = lease
        .spec
        .as_mut()
        .filter(|spec| spec.holder_identity.as_deref() == Some(&settings.identity))
    else {
        return Ok(());
    };
    spec.holder_identity = None;
    spec.lease_duration_seconds = Some(1);
    lease.metadata.managed_fields = None;
    api.replace(&settings.name, &PostParams::default(), &lease).await?;
    Ok(())
}
