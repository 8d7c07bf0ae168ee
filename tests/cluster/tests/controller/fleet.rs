//! A namespace as its users have it: a controller process, sidecar processes that watch the real API server, scripted providers, and
//! mounts that are filled when the test says so, as a kubelet does in its own time.

use crate::rig::{Controller, View, until};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use outrigger_cluster::{Cluster, run_with_input};
use outrigger_mock::Mock;
use outrigger_tests::{Answer, Sidecar, chat};
use serde_json::Value;
use std::collections::BTreeMap;

/// See the module.
pub struct Fleet<'c> {
    pub cluster: &'c Cluster,
    pub namespace: &'static str,
    /// The scripted providers.
    pub mock: Mock,
    /// None while it is stopped.
    pub controller: Option<Controller>,
    /// The pods' sidecars.
    pub sidecars: Vec<Sidecar>,
}

impl<'c> Fleet<'c> {
    /// Starts a controller for `namespace`, applies what `manifests` makes of the scripted providers, and starts `size` sidecars once it is
    /// published.
    pub async fn start(cluster: &'c Cluster, namespace: &'static str, size: usize, manifests: impl FnOnce(&Mock) -> Vec<String>) -> Self {
        let mock = outrigger_tests::mock();
        let controller = Controller::start(cluster, &[namespace], "one");
        let created = format!("{{ apiVersion: v1, kind: Namespace, metadata: {{ name: {namespace} }} }}");
        cluster.apply(&created).unwrap();
        let mut fleet = Self {
            cluster,
            namespace,
            controller: Some(controller),
            sidecars: Vec::new(),
            mock,
        };
        fleet.apply(&manifests(&fleet.mock));
        until("it is published", || fleet.view().published());
        for _ in 0..size {
            let sidecar = fleet.pod().start().await;
            fleet.sidecars.push(sidecar);
        }
        fleet
    }

    /// A sidecar of the namespace with its mounts filled; not started.
    pub fn pod(&self) -> Sidecar {
        let token = until("a token", || self.cluster.token_of(self.namespace, "default").ok());
        let sidecar =
            Sidecar::new()
                .with("namespace", self.namespace)
                .watching_at(&self.cluster.url(), &self.cluster.ca_pem().unwrap(), &token);
        self.mount(&sidecar);
        sidecar
    }

    /// Applies manifests that name no namespace.
    pub fn apply(&self, manifests: &[String]) {
        let mut kubectl = self.cluster.kubectl();
        run_with_input(kubectl.args(["apply", "-n", self.namespace, "-f", "-"]), &manifests.join("\n---\n")).unwrap();
    }

    /// Changes one object.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["patch", kind, name, "-n", self.namespace, "--type=merge", "-p", &patch.to_string()]);
        outrigger_cluster::run(&mut kubectl).unwrap();
    }

    /// What is published.
    pub fn view(&self) -> View<'c> {
        View {
            cluster: self.cluster,
            namespace: self.namespace,
        }
    }

    /// Brings what is published into every pod's mounts.
    pub fn sync(&self) {
        for sidecar in &self.sidecars {
            self.mount(sidecar);
        }
    }

    /// Brings what is published into one pod's mounts.
    pub fn mount(&self, sidecar: &Sidecar) {
        let view = self.view();
        if let Some(secret) = view.object::<Secret>("secret", "outrigger-keys") {
            let files = secret.data.unwrap_or_default().into_iter().map(|(name, bytes)| (name, bytes.0));
            sidecar.keys.swap(&files.collect::<BTreeMap<_, _>>());
        }
        if let Some(map) = view.object::<ConfigMap>("configmap", "outrigger-snapshot") {
            sidecar.snapshot.swap(&map.data.unwrap_or_default());
        }
    }

    /// Waits until every sidecar answers calls for `model` by `provider`.
    pub async fn served_by(&self, model: &str, provider: &str) {
        for sidecar in &self.sidecars {
            answered(sidecar, model, provider).await;
        }
    }
}

/// One call.
pub async fn call(sidecar: &Sidecar, model: &str) -> Answer {
    sidecar.post("/v1/chat/completions", &chat(model, "hello")).await
}

/// Waits until `sidecar` answers calls for `model` by `provider`.
pub async fn answered(sidecar: &Sidecar, model: &str, provider: &str) {
    let mut last = String::new();
    for _ in 0..1_200 {
        let answer = call(sidecar, model).await;
        if answer.status == 200 && answer.header("x-outrigger-provider") == provider {
            return;
        }
        last = format!("{} {} {}", answer.status, answer.header("x-outrigger-provider"), answer.text());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{model} never came to be served by {provider}; last: {last}\n{}", sidecar.log());
}

/// The keys that a scripted provider was called with, in order, for chat calls alone.
pub fn keys_seen(mock: &Mock, provider: &str) -> Vec<String> {
    let calls = mock
        .calls(provider)
        .into_iter()
        .filter(|call| call.path.contains("chat/completions"));
    calls
        .map(|call| {
            call.headers
                .get("authorization")
                .cloned()
                .unwrap_or_default()
                .trim_start_matches("Bearer ")
                .to_owned()
        })
        .collect()
}
