//! Writes what objects should say of themselves: status and Events. It must be called only after what they speak of has been published.

use crate::{
    apply::MANAGER,
    desired::{Report, Told},
    moment,
};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::{core::v1::ObjectReference, events::v1::Event};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use outrigger_config::v1alpha1::{ModelRoute, ProviderKey};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Writes at a time.
const AT_ONCE: usize = 16;
/// Objects in one turn: what is more waits for the next, so that a namespace is published in between.
const IN_ONE_TURN: usize = 256;
/// What the API server takes as a note.
const LONGEST_NOTE: usize = 1_000;

/// Tells for one process.
pub(crate) struct Teller {
    pub(crate) client: Client,
    pub(crate) identity: String,
}

impl Teller {
    /// Whether everything was told; what was not is told the next time.
    pub(crate) async fn tell(&self, reports: Vec<Report>, may_write: &(dyn Fn() -> bool + Sync), now: u64) -> kube::Result<bool> {
        let mut news: Vec<Report> = reports.into_iter().filter(|report| report.status.is_some()).collect();
        let all = news.len() <= IN_ONE_TURN;
        news.truncate(IN_ONE_TURN);
        let mut told = stream::iter(news)
            .map(|report| self.one(report, may_write, now))
            .buffer_unordered(AT_ONCE);
        let mut first_error = None;
        while let Some(done) = told.next().await {
            if let Err(error) = done {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(all), Err)
    }

    async fn one(&self, report: Report, may_write: &(dyn Fn() -> bool + Sync), now: u64) -> kube::Result<()> {
        if !may_write() {
            return Ok(());
        }
        // By raw JSON: the object may be one that our types cannot read.
        let resource = match report.kind {
            "ModelRoute" => ApiResource::erase::<ModelRoute>(&()),
            _ => ApiResource::erase::<ProviderKey>(&()),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &report.namespace, &resource);
        for told in &report.told {
            self.event(&report, told, &resource, now).await?;
        }
        let Some(status) = &report.status else { return Ok(()) };
        // Another object of the same name has a status of its own.
        let patch = json!({ "metadata": { "uid": report.uid }, "status": status });
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match api.patch_status(&report.name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            // It is gone, or another one by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One Event; the same words about the same object are one Event, whoever says them again.
    async fn event(&self, report: &Report, told: &Told, resource: &ApiResource, now: u64) -> kube::Result<()> {
        let note: String = told.message.chars().take(LONGEST_NOTE / 4).collect();
        let digest = Sha256::digest(format!("{}\n{}\n{}", report.uid, told.reason, told.message));
        let digest = digest.iter().take(8).fold(0_u64, |digest, byte| digest << 8 | u64::from(*byte));
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{digest:016x}", report.name.chars().take(200).collect::<String>())),
                namespace: Some(report.namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            reason: Some(told.reason.clone()),
            note: Some(if told.message.len() <= LONGEST_NOTE {
                told.message.clone()
            } else {
                note + "…"
            }),
            type_: Some(if told.warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(moment::micros(now)),
            reporting_controller: Some("outrigger.dev/controller".to_owned()),
            reporting_instance: Some(self.identity.chars().take(128).collect()),
            regarding: Some(ObjectReference {
                api_version: Some(resource.api_version.clone()),
                kind: Some(resource.kind.clone()),
                name: Some(report.name.clone()),
                namespace: Some(report.namespace.clone()),
                uid: Some(report.uid.clone()),
                ..ObjectReference::default()
            }),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &report.namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            // An Event that cannot be written must not keep a status back.
            Err(error) => {
                tracing::warn!(%error, "cannot write an Event");
                Ok(())
            }
        }
    }
}
