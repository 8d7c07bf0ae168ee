//! Sees that a pod's namespace has the Secret that the pod's mount waits for, whichever replica has admitted the pod. The Secret is made empty
//! and with a mark; the one that leads sees it and fills it. It must never touch a Secret that is there.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use outrigger_snapshot::SECRET_NAME;
use serde_json::json;
use std::time::Duration;

/// The mark on a Secret: a pod has asked for it, so it is there although the namespace has no routes and no label.
pub(crate) const REQUESTED: &str = "outrigger.dev/requested";
/// Fields that this sets are its own, so that the leader's own writes leave them.
const MANAGER: &str = "outrigger-webhook";
/// An admission waits this long at most; what has not worked by then the watchdog does.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes claims for one process.
pub(super) struct Claims {
    client: Client,
}

impl Claims {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Claims a namespace's Secret.
    pub(super) async fn claim(&self, namespace: &str) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": SECRET_NAME,
                "namespace": namespace,
                "labels": {"app.kubernetes.io/managed-by": "outrigger", "outrigger.dev/managed": "true"},
                "annotations": {REQUESTED: "true"},
            },
        });
        let params = PatchParams::apply(MANAGER).force();
        let (patch, claim) = (Patch::Apply(&secret), SECRET_NAME);
        match tokio::time::timeout(PATIENCE, api.patch(claim, &params, &patch)).await {
            Ok(Ok(_)) => tracing::info!(namespace, "a pod has asked for the namespace's Secret"),
            Ok(Err(error)) => tracing::warn!(namespace, %error, "cannot make the namespace's Secret, which its pods wait for"),
            Err(_) => tracing::warn!(namespace, "the API server does not answer about the namespace's Secret"),
        }
    }
}
