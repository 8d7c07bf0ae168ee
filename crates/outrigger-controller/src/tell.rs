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
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Writes at a time.
const AT_ONCE: usize = 16;
/// Objects in one turn: what is more waits for the next, so that a namespace is published in between.
const IN_ONE_TURN: usize = 256;
/// Events that are remembered.
const MOST_TOLD: usize = 16_384;
/// What the API server takes as a note.
const LONGEST_NOTE: usize = 1_000;

/// Tells for one process.
pub(crate) struct Teller {
    client: Client,
    identity: String,
    /// Events that this process has written or tried to write.
    told: Mutex<BTreeSet<u64>>,
}

impl Teller {
    pub(crate) fn new(client: Client, identity: String) -> Self {
        Self {
            client,
            identity,
            told: Mutex::default(),
        }
    }

    /// Whether everything was told; what was not is told the next time.
    pub(crate) async fn tell(&self, reports: Vec<Report>, may_write: &(dyn Fn() -> bool + Sync), now: u64) -> kube::Result<bool> {
        let (mut news, mut words): (Vec<Report>, Vec<Report>) = reports.into_iter().partition(|report| report.status.is_some());
        let all = news.len() <= IN_ONE_TURN;
        news.truncate(IN_ONE_TURN);
        // Words without a status come again every turn, and are left out where they were said.
        words.retain(|report| !report.told.is_empty());
        news.extend(words.into_iter().take(IN_ONE_TURN));
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
        let about = ObjectReference {
            api_version: Some(resource.api_version.clone()),
            kind: Some(resource.kind.clone()),
            name: Some(report.name.clone()),
            namespace: Some(report.namespace.clone()),
            uid: Some(report.uid.clone()),
            ..ObjectReference::default()
        };
        for told in &report.told {
            self.say(&about, told, now).await;
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

    /// One Event, in the namespace of what it is about; the same words about the same object are one Event, whoever says them again.
    pub(crate) async fn say(&self, about: &ObjectReference, told: &Told, now: u64) {
        // A character has at most four bytes.
        let note: String = told.message.chars().take(LONGEST_NOTE / 4).collect();
        let digest = digest(about, told);
        if !self.is_news(digest) {
            return;
        }
        let name: String = about.name.iter().flat_map(|name| name.chars()).take(200).collect();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{digest:016x}", name.trim_end_matches(['-', '.']))),
                namespace: about.namespace.clone(),
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
            regarding: Some(about.clone()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), about.namespace.as_deref().unwrap_or_default());
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // Somebody has said so before.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            // An Event that cannot be written must not keep a status back.
            Err(error) => tracing::warn!(%error, "cannot write an Event"),
        }
    }

    /// Whether this process has said so.
    pub(crate) fn knows(&self, about: &ObjectReference, told: &Told) -> bool {
        let known = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&digest(about, told))
    }

    fn is_news(&self, digest: u64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD {
            told.clear();
        }
        told.insert(digest)
    }
}

/// What makes an Event the same: the object, by its name where it has no uid yet, and what is said of it.
fn digest(about: &ObjectReference, told: &Told) -> u64 {
    let words = if told.once { "" } else { told.message.as_str() };
    let object = about.uid.as_ref().or(about.name.as_ref()).map_or("", String::as_str);
    let digest = Sha256::digest(format!("{object}\n{}\n{words}", told.reason));
    digest.iter().take(8).fold(0_u64, |digest, byte| digest << 8 | u64::from(*byte))
}
