//! Looks through the pods now and then, page by page, keeping none: those that ask for the sidecar and have none or an old one, and those that
//! lead an SDK past it. It must never change a pod.

use super::Shared;
use crate::{
    desired::Told,
    inject::{Problem, survey},
    lease::Leadership,
};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use outrigger_snapshot::SECRET_NAME;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Pods at a time.
const PAGE: u32 = 250;
/// Events of one look; the next one goes on.
const EVENTS: usize = 256;

/// See the module.
pub(super) struct Watchdog {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    /// Empty: all.
    pub(super) namespaces: Vec<String>,
    pub(super) every: Duration,
    pub(super) leadership: Leadership,
}

/// What one look has found.
#[derive(Default)]
struct Found {
    problems: BTreeMap<(String, Problem), u64>,
    bypassed: BTreeMap<String, u64>,
    /// Namespaces with pods that wait for the keys.
    homes: BTreeSet<String>,
    told: Vec<(ObjectReference, Told)>,
}

impl Watchdog {
    pub(super) async fn run(self) {
        let mut leadership = self.leadership.clone();
        loop {
            leadership.gained().await;
            tokio::select! {
                () = self.lead() => {}
                () = leadership.lost() => {}
            }
            // Who does not look must not say what is.
            self.shared.counts.forget();
        }
    }

    async fn lead(&self) {
        loop {
            // Labels decide, so they must be known.
            while !self.shared.cluster.synced() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match self.look().await {
                Ok(found) => self.tell(found).await,
                Err(error) => tracing::warn!(%error, "the pods could not be looked through"),
            }
            tokio::time::sleep(self.every).await;
        }
    }

    async fn look(&self) -> kube::Result<Found> {
        let mut found = Found::default();
        let resource = ApiResource::erase::<Pod>(&());
        let scopes: Vec<Api<DynamicObject>> = if self.namespaces.is_empty() {
            vec![Api::all_with(self.client.clone(), &resource)]
        } else {
            let of = |namespace: &String| Api::namespaced_with(self.client.clone(), namespace, &resource);
            self.namespaces.iter().map(of).collect()
        };
        for api in scopes {
            let mut page = ListParams::default().limit(PAGE);
            loop {
                let pods = api.list(&page).await?;
                for pod in &pods.items {
                    self.one(pod, &mut found);
                }
                match pods.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page = page.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(found)
    }

    fn one(&self, pod: &DynamicObject, found: &mut Found) {
        let namespace = pod.namespace().unwrap_or_default();
        let Ok(value) = serde_json::to_value(pod) else { return };
        let Some(survey) = survey(&value, self.shared.labelled(&namespace), &self.shared.sidecar) else {
            return;
        };
        let containers: BTreeSet<&str> = survey.bypassed.iter().map(|found| found.container.as_str()).collect();
        let bypassed = u64::try_from(containers.len()).unwrap_or(u64::MAX);
        if bypassed > 0 {
            *found.bypassed.entry(namespace.clone()).or_default() += bypassed;
        }
        if let Some((problem, message)) = survey.problem {
            *found.problems.entry((namespace.clone(), problem)).or_default() += 1;
            let about = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name_any()),
                namespace: Some(namespace.clone()),
                uid: pod.uid(),
                ..ObjectReference::default()
            };
            let told = Told {
                warning: true,
                reason: problem.reason().to_owned(),
                message,
                once: false,
            };
            if found.told.len() < EVENTS && !self.shared.teller.knows(&about, &told) {
                found.told.push((about, told));
            }
        }
        found.homes.insert(namespace);
    }

    async fn tell(&self, found: Found) {
        let shared = &self.shared;
        shared.counts.looked(&found.problems, &found.bypassed);
        for namespace in &found.homes {
            if shared.cluster.secrets.find(namespace, SECRET_NAME).is_none() {
                shared.claims.claim(namespace).await;
            }
        }
        for (about, told) in &found.told {
            shared.teller.say(about, told, shared.clock.unix_ms()).await;
        }
    }
}
