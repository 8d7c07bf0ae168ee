//! The cluster itself: what the other suites rely on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where it fails")]

use anyhow::Result;
use outrigger_cluster::{Cluster, Options, down, run, shared, up};
use std::{fs, net::TcpStream, path::Path, process::Command};

/// As the administrator.
fn kubectl(cluster: &Cluster, line: &str) -> Result<String> {
    run(cluster.kubectl().args(line.split(' ')))
}

fn connect(cluster: &Cluster) -> std::io::Result<TcpStream> {
    TcpStream::connect(cluster.url().strip_prefix("https://").unwrap())
}

#[test]
fn the_administrator_sees_the_namespaces() {
    let names = kubectl(shared(), "get namespaces -o name").unwrap();
    assert!(names.lines().any(|name| name == "namespace/kube-system"), "{names}");
}

#[test]
fn a_service_account_may_do_what_it_was_allowed_and_nothing_else() {
    let cluster = shared();
    kubectl(cluster, "create namespace rights").unwrap();
    kubectl(cluster, "create serviceaccount reader --namespace rights").unwrap();
    let kubeconfig = cluster.kubeconfig_for("rights", "reader").unwrap();
    let list = || {
        let mut command = cluster.kubectl();
        run(command
            .args(["get", "configmaps", "-n", "rights", "-o", "name"])
            .env("KUBECONFIG", &kubeconfig))
    };
    let refused = list().unwrap_err().to_string();
    let who = r#"User "system:serviceaccount:rights:reader" cannot list resource "configmaps""#;
    assert!(refused.contains(who), "{refused}");

    kubectl(cluster, "create role reader --namespace rights --verb list --resource configmaps").unwrap();
    kubectl(
        cluster,
        "create rolebinding reader --namespace rights --role reader --serviceaccount rights:reader",
    )
    .unwrap();
    list().unwrap();
}

#[test]
fn the_audit_log_has_what_was_done_and_no_byte_of_a_secret() {
    let cluster = shared();
    kubectl(cluster, "create namespace audited").unwrap();
    kubectl(
        cluster,
        "create secret generic keys --namespace audited --from-literal=a=canary-in-a-secret",
    )
    .unwrap();
    kubectl(cluster, "get secret keys --namespace audited -o yaml").unwrap();
    kubectl(
        cluster,
        "create configmap plain --namespace audited --from-literal=a=canary-in-a-config-map",
    )
    .unwrap();

    let log = fs::read_to_string(cluster.audit_log()).unwrap();
    let encoded = "Y2FuYXJ5LWluLWEtc2VjcmV0";
    assert!(!log.contains("canary-in-a-secret") && !log.contains(encoded));
    let touched = |resource: &str, verb: &str| -> Vec<serde_json::Value> {
        let entries = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let ours = entries.filter(|entry| entry["objectRef"]["namespace"] == "audited" && entry["objectRef"]["resource"] == resource);
        ours.filter(|entry| entry["verb"] == verb).collect()
    };
    for verb in ["create", "get"] {
        let entries = touched("secrets", verb);
        assert!(!entries.is_empty(), "{verb}");
        assert!(
            entries
                .iter()
                .all(|entry| entry["level"] == "Metadata" && entry.get("responseObject").is_none()),
            "{verb}"
        );
    }
    let created = touched("configmaps", "create");
    assert!(
        created
            .iter()
            .any(|entry| entry["requestObject"]["data"]["a"] == "canary-in-a-config-map")
    );
}

/// What `helm uninstall` relies on: it removes the cluster-scoped owner, and the cluster removes what that one owned.
#[test]
fn an_object_goes_with_its_cluster_scoped_owner() {
    let cluster = shared();
    kubectl(cluster, "create namespace owned").unwrap();
    kubectl(cluster, "create clusterrole owner --verb get --resource configmaps").unwrap();
    let uid = kubectl(cluster, "get clusterrole owner -o jsonpath={.metadata.uid}").unwrap();
    let owner = |uid: &str| format!("[{{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, name: owner, uid: {uid} }}]");
    let object = |name: &str, owners: &str| {
        format!("{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: {name}, namespace: owned, ownerReferences: {owners} }} }}\n---\n")
    };
    cluster.apply(&(object("child", &owner(&uid)) + &object("orphan", "[]"))).unwrap();
    kubectl(cluster, "delete clusterrole owner").unwrap();
    kubectl(cluster, "wait --for=delete configmap/child --namespace owned --timeout=120s").unwrap();
    kubectl(cluster, "get configmap orphan --namespace owned").unwrap();
}

#[test]
fn helm_reaches_the_cluster() {
    let cluster = shared();
    let version = run(cluster.helm().args(["version", "--short"])).unwrap();
    assert!(version.starts_with("v4."), "{version}");
    run(cluster.helm().args(["list", "--all-namespaces"])).unwrap();
}

#[test]
fn the_api_server_can_be_paused_and_stopped_and_comes_back_with_its_data() {
    let mut cluster = Cluster::start(&Options {
        audit: false,
        ..Options::default()
    })
    .unwrap();
    kubectl(&cluster, "create namespace kept").unwrap();
    let url = cluster.url();

    cluster.pause_api().unwrap();
    let unanswered = kubectl(&cluster, "get namespace kept --request-timeout=1s")
        .unwrap_err()
        .to_string();
    assert!(unanswered.contains("timeout") || unanswered.contains("deadline"), "{unanswered}");
    connect(&cluster).expect("a paused server still takes connections");
    cluster.resume_api().unwrap();
    kubectl(&cluster, "get namespace kept").unwrap();

    cluster.stop_api().unwrap();
    assert!(connect(&cluster).is_err());
    cluster.start_api().unwrap();
    assert_eq!(cluster.url(), url);
    kubectl(&cluster, "get namespace kept").unwrap();
    assert!(!cluster.audit_log().exists());

    let folder = cluster.admin_kubeconfig().parent().unwrap().to_path_buf();
    cluster.pause_api().unwrap();
    drop(cluster);
    assert!(!folder.exists());
    assert_eq!(processes_of(&folder), 0);
}

#[test]
fn a_cluster_that_is_left_running_is_found_again_and_ended() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("cluster");
    assert!(!down(&folder).unwrap());
    let running = up(&folder, false, &|_| {}).unwrap();
    assert!(!running.already);
    let ready = |verb: &str| {
        let mut command = Command::new(&running.programs.kubectl);
        run(command.args([verb, "namespaces"]).env("KUBECONFIG", &running.kubeconfig))
    };
    ready("get").unwrap();
    assert_eq!(processes_of(&folder), 3);

    assert!(up(&folder, false, &|_| {}).unwrap().already);
    assert_eq!(processes_of(&folder), 3);

    assert!(down(&folder).unwrap());
    assert_eq!(processes_of(&folder), 0);
    assert!(!folder.exists());
    ready("get").unwrap_err();
    assert!(!down(&folder).unwrap());
}

/// How many processes have the folder in their arguments.
fn processes_of(folder: &Path) -> usize {
    let folder = folder.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(folder)).count()
}
