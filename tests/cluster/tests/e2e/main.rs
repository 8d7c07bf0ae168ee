//! Everything together, as its users have it: pods on a node, real SDKs, the controller from its chart and its image. `cargo xtask e2e` runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    reason = "a test panics where it fails, and looks at the clock to fail at all"
)]

mod canary;
mod figures;
mod images;
mod jobs;
mod pod;
mod readme;
mod rig;

use outrigger_cluster::{Cluster, Options, run};
use rig::{HOME, Rig, SHOP, Seen, now, sidecar_of, signal};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// One test, because a host has one node: what comes later starts with the pod that the steps before have left.
#[test]
#[ignore = "cargo xtask e2e"]
fn an_application_in_a_pod_keeps_being_answered() {
    let mut rig = Rig::start();
    rig.behave("quick", &json!({ "keys": ["sk-canary-one"] }));
    rig.behave("steady", &json!({ "chunks": 30, "chunk_ms": 200 }));

    let start = Instant::now();
    rig.install();
    rig.shop("sk-canary-one");
    rig.apply(SHOP, &[pod::deployment()]);
    let (name, uid) = ready_pod(&rig, "");
    let seen = Seen::follow(&rig, &name);
    rig.until("both SDKs are answered", |_| {
        (seen.well("openai") > 0 && seen.well("anthropic") > 0).then_some(())
    });
    println!(
        "figure: from helm install to answers of both SDKs: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    assert!(
        sidecar_of(&uid).is_some_and(|process| !environment_of(process).contains("canary")),
        "a key in the environment"
    );

    jobs::ask_without_routes(&rig);
    jobs::a_job_is_answered_at_once_and_completes(&rig);
    rig.mark("a job is answered at once and completes");
    canary::a_key_is_nowhere_in_the_applications_container(&rig, "sk-canary-one");
    rig.mark("a key is nowhere in the application's container");
    a_key_rotates(&rig, &seen);
    rig.mark("a key rotates");
    jobs::it_was_held_and_told_what_to_apply(&rig);
    rig.mark("it was held and told what to apply");
    the_controller_is_gone(&rig, &seen);
    rig.mark("the controller is gone");
    none_failed(&seen);
    let seen = the_sidecar_is_killed_while_nothing_else_runs(&mut rig, &name, &uid);
    rig.mark("the sidecar was killed while nothing else runs");
    the_sidecar_is_asked_to_end(&rig, &seen, &uid);
    rig.mark("the sidecar is asked to end");
    the_pod_is_asked_to_end(&rig, &seen, &name);
    rig.mark("the pod is asked to end");
}

/// A cluster with a pod in it, ended the way a test program ends: nothing of it is left on the host.
#[test]
#[ignore = "cargo xtask e2e"]
fn a_node_takes_everything_off_the_host_again() {
    let traces = || -> Vec<String> {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let groups = hierarchies.map(|entry| entry.path().join("outrigger-node"));
        let groups = groups.chain([PathBuf::from("/sys/fs/cgroup/outrigger-node")]);
        let places = ["/sys/class/net/outrigger0", "/run/outrigger-node"].map(PathBuf::from).into_iter();
        let mut left: Vec<String> = groups
            .chain(places)
            .filter(|path| path.exists())
            .map(|path| path.display().to_string())
            .collect();
        let rules = run(Command::new("iptables-save").args(["-t", "nat"])).unwrap();
        left.extend(rules.lines().filter(|line| line.contains("OUTRIGGER")).map(str::to_owned));
        left
    };
    let cluster = Cluster::start(&Options {
        node: true,
        ..Options::default()
    })
    .unwrap();
    let folder = cluster.admin_kubeconfig().parent().unwrap().to_path_buf();
    run(cluster.kubectl().args(["create", "namespace", "left"])).unwrap();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "left", "namespace": "left" },
        "spec": {
            "automountServiceAccountToken": false,
            "serviceAccountName": "default",
            "containers": [{ "name": "left", "image": "outrigger.test/pause:1", "imagePullPolicy": "Never" }],
        },
    });
    let patience = Instant::now();
    while cluster.apply(&pod.to_string()).is_err() {
        assert!(patience.elapsed().as_secs() < 60, "no service account");
    }
    run(cluster
        .kubectl()
        .args(["wait", "--for=condition=Ready", "pod/left", "-n", "left", "--timeout=120s"]))
    .unwrap();
    assert!(traces().len() > 4, "{:?}", traces());
    assert!(mentions(&folder) > 6);
    let settings: Vec<(String, String)> = std::fs::read_to_string(folder.join("sysctls"))
        .unwrap()
        .lines()
        .map(|line| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap())
        .collect();
    assert_eq!(settings.len(), 4);
    drop(cluster);
    assert_eq!(traces(), Vec::<String>::new());
    assert_eq!(mentions(&folder), 0, "processes of the cluster");
    assert!(!folder.exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(folder.to_str().unwrap()), "{mounts}");
    for (key, before) in settings {
        let after = std::fs::read_to_string(Path::new("/proc/sys").join(&key)).unwrap();
        assert_eq!(after.trim(), before, "{key}");
    }
}

/// How many processes have the folder in their arguments.
fn mentions(folder: &Path) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let folder = folder.to_str().unwrap();
    lines.filter(|line| String::from_utf8_lossy(line).contains(folder)).count()
}

/// The application's pod that is ready, other than `before`.
fn ready_pod(rig: &Rig, before: &str) -> (String, String) {
    rig.until("the application runs", |rig| {
        let pods = rig.kubectl("get pods -n shop -l app=app -o json");
        let pods: serde_json::Value = serde_json::from_str(&pods).unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        pods.filter(|pod| pod["metadata"]["name"] != before && pod["status"]["containerStatuses"][0]["ready"] == true)
            .map(|pod| {
                let text = |field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
                (text("name"), text("uid"))
            })
            .next()
    })
}

fn environment_of(process: u32) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{process}/environ")).unwrap()).into_owned()
}

fn none_failed(seen: &Seen) {
    assert_eq!(seen.failures(), Vec::<serde_json::Value>::new());
}

/// Waits for so many more answers to each SDK.
fn more(rig: &Rig, seen: &Seen, count: u64) {
    for kind in ["openai", "anthropic"] {
        let before = seen.well(kind);
        rig.until(&format!("{count} more answers to {kind}"), |_| {
            (seen.well(kind) >= before + count).then_some(())
        });
    }
}

/// New bytes come through the kubelet's mount; the old ones are refused as soon as they are not needed.
fn a_key_rotates(rig: &Rig, seen: &Seen) {
    rig.behave("quick", &json!({ "keys": ["sk-canary-one", "sk-canary-two"] }));
    rig.store("sk-canary-two");
    let start = Instant::now();
    rig.until("the new key is in use", |rig| {
        rig.keys_seen("quick").last().filter(|key| *key == "sk-canary-two").map(|_| ())
    });
    println!(
        "figure: from a changed Secret to calls with it: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    rig.behave("quick", &json!({ "keys": ["sk-canary-two"] }));
    more(rig, seen, 50);
    assert!(rig.keys_seen("quick").iter().skip(5).all(|key| key == "sk-canary-two"));
    none_failed(seen);
}

/// Neither of its replicas is there; nobody notices.
fn the_controller_is_gone(rig: &Rig, seen: &Seen) {
    rig.kubectl(&format!("scale deployment outrigger-controller -n {HOME} --replicas=0"));
    rig.until("the controller is gone", |rig| {
        rig.kubectl(&format!("get pods -n {HOME} -o name")).is_empty().then_some(())
    });
    more(rig, seen, 50);
    none_failed(seen);
}

/// No controller, no API server: it comes up again from its mounts. The log is read afterwards, since `kubectl` needs the API server.
fn the_sidecar_is_killed_while_nothing_else_runs(rig: &mut Rig, name: &str, uid: &str) -> Seen {
    let first = sidecar_of(uid).unwrap();
    rig.cluster.stop_api().unwrap();
    let killed = now();
    signal(first, "KILL");
    let second = rig.until("another sidecar runs", |_| sidecar_of(uid).filter(|process| *process != first));
    rig.until("it serves", |_| connects(second).then_some(()));
    let back = now();
    rig.until("calls go on", |_| (now() > back + 5.0).then_some(()));
    rig.cluster.start_api().unwrap();
    let seen = Seen::follow(rig, name);
    more(rig, &seen, 50);
    let started = |line: &serde_json::Value| line["started"].as_f64().unwrap();
    let failures = seen.failures();
    let last = failures.iter().map(started).fold(killed, f64::max);
    println!(
        "figure: calls that failed when the sidecar was killed: {}, the last made {:.1} s after",
        failures.len(),
        last - killed
    );
    // Whoever asks before it listens is refused; what was open when it ended is lost. The long stream may be older than that.
    for line in &failures {
        assert!(line["kind"] == "stream" || started(line) > killed - 1.0, "{line}");
        assert!(started(line) < back, "{line}");
    }
    seen
}

/// Whether a process listens at the data port, in the network that it is in.
fn connects(process: u32) -> bool {
    // 5567 in hexadecimal, in the state LISTEN.
    let sockets = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    sockets.lines().any(|line| line.contains("0100007F:15BF") && line.contains(" 0A "))
}

/// The stream that is open ends whole, then the process does.
fn the_sidecar_is_asked_to_end(rig: &Rig, seen: &Seen, uid: &str) {
    let process = rig.until("a sidecar", |_| sidecar_of(uid));
    let (opened, _) = open_stream(rig, seen);
    signal(process, "TERM");
    let outcome = rig.until("the stream ends", |_| stream_of(seen, opened));
    assert!(outcome.get("error").is_none() && outcome["pieces"] == 30, "{outcome}");
    rig.until("it ends", |_| (sidecar_of(uid) != Some(process)).then_some(()));
    rig.until("another one serves", |_| sidecar_of(uid).filter(|next| connects(*next)));
    more(rig, seen, 20);
}

/// The application ends its stream through the sidecar, which ends after it.
fn the_pod_is_asked_to_end(rig: &Rig, seen: &Seen, name: &str) {
    // The pod that comes after it needs the webhook.
    let controller = format!("deployment/outrigger-controller -n {HOME}");
    rig.kubectl(&format!("scale {controller} --replicas=2"));
    rig.kubectl(&format!("rollout status {controller} --timeout=180s"));
    let failures = seen.failures().len();
    let (opened, _) = open_stream(rig, seen);
    rig.kubectl(&format!("delete pod {name} -n {SHOP} --wait=false"));
    let outcome = rig.until("the stream ends", |_| stream_of(seen, opened));
    assert!(outcome.get("error").is_none() && outcome["pieces"] == 30, "{outcome}");
    assert_eq!(outcome["after_the_end"], true, "{outcome}");
    rig.until("the application ends by itself", |_| {
        seen.lines().iter().any(|line| line["kind"] == "end").then_some(())
    });
    assert_eq!(seen.failures().len(), failures, "calls failed on the way out");
    ready_pod(rig, name);
}

/// Waits for a stream that has just been opened: its line, and its moment.
fn open_stream(rig: &Rig, seen: &Seen) -> (usize, f64) {
    let before = seen.lines().len();
    rig.until("a stream is open", |_| {
        let lines = seen.lines();
        let found = lines.iter().enumerate().skip(before).find(|(_, line)| line["opened"] == true);
        found
            .map(|(at, line)| (at, line["at"].as_f64().unwrap()))
            .filter(|(_, at)| now() > at + 1.0)
    })
}

/// What came of the stream whose opening is the line `opened`.
fn stream_of(seen: &Seen, opened: usize) -> Option<serde_json::Value> {
    let mut lines = seen.lines().into_iter().skip(opened + 1);
    lines.find(|line| line["kind"] == "stream" && line.get("pieces").is_some())
}
