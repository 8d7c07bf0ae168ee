//! Pods as an API server makes them: asked for by people, by Jobs, by CronJobs and by Deployments, with the webhook of a controller process.

mod certificates;
mod installation;
mod matrix;
mod second;

use crate::rig::{Controller, definitions, kubectl, prepare, until};
use outrigger_cluster::{Cluster, Options, run, run_with_input};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Output, Stdio},
};

/// The image that sidecars get here; nothing runs it.
const IMAGE: &str = "outrigger-proxy:test";

/// A cluster of its own, for a configuration of webhooks is one for the whole cluster.
fn start() -> Cluster {
    let cluster = Cluster::start(&Options::default()).unwrap();
    prepare(&cluster, &definitions());
    cluster
}

/// A controller that answers reviews.
pub fn reviewer(cluster: &Cluster, identity: &str, more: &[&str]) -> Controller {
    let own = [
        "--webhook",
        "127.0.0.1:0",
        "--webhook-names",
        "127.0.0.1",
        "--sidecar-image",
        IMAGE,
        "--sidecar-user",
        "5567",
        "--webhook-look",
        "200ms",
        "--watchdog",
        "500ms",
    ];
    Controller::start_with(cluster, identity, &[&own, more].concat())
}

/// The chart's configuration, for a webhook at `port`.
fn configure(cluster: &Cluster, port: u16, more: &[&str]) {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/outrigger");
    let url = format!("webhook.url=https://127.0.0.1:{port}");
    let mut template = cluster.helm();
    template.args(["template", "outrigger", chart, "--namespace", "outrigger-system"]);
    template.args(["--show-only", "templates/webhook.yaml", "--set", &url]).args(more);
    // As Helm does it: what others have written beside stays.
    let configuration = run(&mut template).unwrap();
    let mut apply = cluster.kubectl();
    apply.args(["apply", "--server-side", "--field-manager=helm", "--force-conflicts", "-f", "-"]);
    run_with_input(&mut apply, &configuration).unwrap();
}

/// A namespace with these labels, in which pods can be made.
pub fn namespace(cluster: &Cluster, name: &str, labels: &Value) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    cluster.apply(&namespace.to_string()).unwrap();
    let get = ["get", "serviceaccount/default", "configmap/kube-root-ca.crt", "-n", name];
    until("its account", || run(cluster.kubectl().args(get)).ok());
}

/// What the API server made of a pod, and the warnings; or its refusal.
pub fn ask(cluster: &Cluster, namespace: &str, pod: &Value) -> Result<(Value, String), String> {
    create(cluster, namespace, pod, &["--dry-run=server"])
}

fn create(cluster: &Cluster, namespace: &str, pod: &Value, more: &[&str]) -> Result<(Value, String), String> {
    let mut command = cluster.kubectl();
    command.args(["create", "-n", namespace, "-o", "json", "-f", "-"]).args(more);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(pod.to_string().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    if status.success() {
        Ok((serde_json::from_slice(&stdout).unwrap(), said))
    } else {
        Err(said)
    }
}

/// A pod of one container that asks for the sidecar.
pub fn asking(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"outrigger.dev/inject": "true"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    })
}

/// Waits until the API server asks the webhook and trusts it.
pub fn in_force(cluster: &Cluster, namespace: &str) {
    let mut last = String::new();
    until("the webhook is asked", || match ask(cluster, namespace, &asking("probe")) {
        Ok((pod, _)) => has_sidecar(&pod).then_some(()),
        Err(error) => {
            if error != last {
                println!("{error}");
                last = error;
            }
            None
        }
    });
}

pub fn has_sidecar(pod: &Value) -> bool {
    let init = pod["spec"]["initContainers"].as_array();
    let named = |list: Option<&Vec<Value>>| list.into_iter().flatten().filter(|each| each["name"] == "outrigger").count();
    let there = named(init);
    assert!(there <= 1, "{pod}");
    if there == 1 {
        assert_eq!(init.unwrap()[0]["name"], "outrigger", "it starts first: {pod}");
        assert_eq!(init.unwrap()[0]["image"], IMAGE);
    }
    there == 1
}

/// A variable of a container as it is written.
fn variable(pod: &Value, container: &str, name: &str) -> Option<String> {
    let all = ["initContainers", "containers"].map(|field| pod["spec"][field].as_array().cloned().unwrap_or_default());
    let container = all.iter().flatten().find(|each| each["name"] == container).unwrap().clone();
    let found = container["env"].as_array()?.iter().find(|each| each["name"] == name)?.clone();
    found["value"].as_str().map(str::to_owned)
}

/// The first pod of a namespace whose name begins like that.
fn made(cluster: &Cluster, namespace: &str, prefix: &str) -> Option<Value> {
    let pods: Value = serde_json::from_str(&kubectl(cluster, &format!("get pods -n {namespace} -o json"))).unwrap();
    let mut pods = pods["items"].as_array().unwrap().clone().into_iter();
    pods.find(|pod| pod["metadata"]["name"].as_str().unwrap().starts_with(prefix))
}
