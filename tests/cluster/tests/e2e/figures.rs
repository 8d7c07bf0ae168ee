//! Seconds and mebibytes of pods, with the images that ship. `cargo xtask run node` takes them; a host that is busy with other things shows larger
//! ones.

use crate::{
    connects,
    images::{self, SHIPPED},
    pod, ready_pod,
    rig::{HOME, Rig, SHOP, Seen, now, sidecar_of, signal},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Pods of each kind.
const PODS: usize = 10;

/// How long a sidecar is watched at rest.
const REST: Duration = Duration::from_mins(1);

#[test]
#[ignore = "cargo xtask run node"]
fn figures_of_a_node() {
    let rig = Rig::bare();
    rig.behave("quick", &json!({ "keys": ["sk-figures"] }));
    let mut missed = Vec::new();
    let mut told = |what: &str, figure: f64, limit: f64, unit: &str| {
        println!("figure: {what}: {figure:.1} {unit} (at most {limit})");
        if figure > limit {
            missed.push(what.to_owned());
        }
    };
    told(
        "from `helm install` on an empty cluster, images brought to the node, to the first answer",
        from_nothing_to_an_answer(&rig),
        120.0,
        "s",
    );
    let [with, without] = starts(&rig);
    println!("figure: a pod's start until its program runs, p50 of {PODS}: {with:.2} s with the sidecar, {without:.2} s without");
    told("what the sidecar adds to a pod's start, p50", with - without, 2.0, "s");
    let [resident, own, millis] = at_rest(&rig);
    println!("figure: a sidecar at rest: {own:.1} MiB of its own, by its control group");
    told("a sidecar at rest: resident, its program's pages included", resident, 20.0, "MiB");
    told("a sidecar at rest: CPU", millis, 2.0, "m");
    told("a killed sidecar: the last call that fails was made after", killed(&rig), 3.0, "s");
    assert_eq!(missed, Vec::<String>::new());
}

/// As the README has it, every wait included; seconds.
fn from_nothing_to_an_answer(rig: &Rig) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    // As they come from a registry.
    let archives = SHIPPED.map(|name| {
        let archive = folder.path().join(name);
        let written = images::shipped(name).write(&archive, true).unwrap();
        println!("figure: … {name}: {:.1} MiB to transfer", mebibytes(written.size()));
        archive
    });
    let start = Instant::now();
    let mut last = start;
    let mut step = |what: &str| {
        println!("figure: … {what}: {:.1} s", last.elapsed().as_secs_f64());
        last = Instant::now();
    };
    for archive in archives {
        rig.cluster.import(&archive).unwrap();
    }
    step("both images are on the node");
    rig.install();
    step("both charts are installed");
    rig.kubectl(&format!("rollout status deployment/outrigger-controller -n {HOME} --timeout=180s"));
    step("the controller is ready");
    rig.shop("sk-figures");
    rig.kubectl(&format!(
        "wait -n {SHOP} --for=condition=Programmed --timeout=180s modelroute/assistant providerkey/quick"
    ));
    step("keys and routes are in force");
    let program = pod::container(&["/once.py"]);
    rig.apply(SHOP, &[bare_pod("first", &program, true)]);
    rig.until("an answer", |rig| {
        said(rig, "first").lines().any(|line| line.contains("\"answer\"")).then_some(())
    });
    step("a pod with the sidecar has its SDK's answer");
    start.elapsed().as_secs_f64()
}

/// Half of the pods run their program within so many seconds after somebody asks for them: with the sidecar, and without.
fn starts(rig: &Rig) -> [f64; 2] {
    let mut taken = [Vec::new(), Vec::new()];
    for at in 0..PODS {
        for (kind, injected) in [true, false].into_iter().enumerate() {
            let name = format!("start-{kind}-{at}");
            let program = pod::container(&["-c", "import time; print('born', time.time(), flush=True)"]);
            let asked = now();
            rig.apply(SHOP, &[bare_pod(&name, &program, injected)]);
            let born = rig.until("its program runs", |rig| {
                said(rig, &name).strip_prefix("born ")?.trim().parse::<f64>().ok()
            });
            taken[kind].push(born - asked);
            rig.kubectl(&format!("delete pod {name} -n {SHOP} --grace-period=1"));
        }
    }
    taken.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        f64::midpoint(seconds[PODS / 2 - 1], seconds[PODS / 2])
    })
}

/// Of a sidecar whose application asks for nothing: mebibytes that are resident, those that no file backs, and thousandths of a CPU.
fn at_rest(rig: &Rig) -> [f64; 3] {
    let program = pod::container(&["-c", "import time; time.sleep(3600)"]);
    rig.apply(SHOP, &[bare_pod("rest", &program, true)]);
    rig.kubectl(&format!("wait pod/rest -n {SHOP} --for=condition=Ready --timeout=180s"));
    let uid = rig.kubectl(&format!("get pod rest -n {SHOP} -o jsonpath={{.metadata.uid}}"));
    let process = sidecar_of(&uid).unwrap();
    let group = Group::of(process);
    // What is measured is rest, not the start.
    thread::sleep(Duration::from_secs(10));
    let (before, start) = (group.cpu_ns(), Instant::now());
    let (mut resident, mut own) = (0.0_f64, 0.0_f64);
    while start.elapsed() < REST {
        thread::sleep(Duration::from_secs(1));
        resident = resident.max(resident_bytes(process));
        own = own.max(group.own_bytes());
    }
    let millis = (group.cpu_ns() - before) / (start.elapsed().as_secs_f64() * 1e9) * 1_000.0;
    rig.kubectl(&format!("delete pod rest -n {SHOP} --grace-period=1"));
    let mebibyte = f64::from(1 << 20);
    [resident / mebibyte, own / mebibyte, millis]
}

/// What the kernel counts as a process's own memory and the pages of its files that it has in use.
fn resident_bytes(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1_024.0
}

/// Seconds from the end of a sidecar to the last call that meets nobody.
fn killed(rig: &Rig) -> f64 {
    rig.behave("steady", &json!({ "chunks": 30, "chunk_ms": 200 }));
    rig.apply(SHOP, &[pod::deployment()]);
    let (name, uid) = ready_pod(rig, "");
    let seen = Seen::follow(rig, &name);
    rig.until("calls are answered", |_| (seen.well("openai") > 100).then_some(()));
    let first = sidecar_of(&uid).unwrap();
    let before = seen.failures().len();
    let killed = now();
    signal(first, "KILL");
    let second = rig.until("another sidecar runs", |_| sidecar_of(&uid).filter(|process| *process != first));
    rig.until("it serves", |_| connects(second).then_some(()));
    let back = now();
    rig.until("calls go on", |_| (now() > back + 5.0).then_some(()));
    let failures = &seen.failures()[before..];
    let started = failures.iter().map(|line| line["started"].as_f64().unwrap());
    let last = started.fold(killed, f64::max) - killed;
    println!(
        "figure: … it listens again after {:.1} s; {} calls of three callers failed",
        back - killed,
        failures.len()
    );
    last
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A pod of its own with one container.
fn bare_pod(name: &str, container: &Value, injected: bool) -> Value {
    let annotations = json!({ "outrigger.dev/inject": injected.to_string() });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "annotations": annotations },
        "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container] },
    })
}

/// What the application of a pod has said; nothing where it has not started.
fn said(rig: &Rig, pod: &str) -> String {
    let mut logs = rig.cluster.kubectl();
    logs.args(["logs", pod, "-n", SHOP, "-c", "app"]);
    outrigger_cluster::run(&mut logs).unwrap_or_default()
}

/// The control groups of a process: one in all, or one in each hierarchy.
struct Group {
    memory: PathBuf,
    cpu: PathBuf,
}

impl Group {
    fn of(process: u32) -> Self {
        let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
        let top = Path::new("/sys/fs/cgroup");
        let find = |controller: &str| {
            let mut lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
            let own = lines.find(|parts| parts[1].split(',').any(|name| name == controller));
            let unified = || groups.lines().find_map(|line| line.strip_prefix("0::"));
            match own {
                Some(parts) => top.join(controller).join(parts[2].trim_start_matches('/')),
                None => top.join(unified().unwrap().trim_start_matches('/')),
            }
        };
        Self {
            memory: find("memory"),
            cpu: find("cpuacct"),
        }
    }

    /// Memory that no file backs.
    fn own_bytes(&self) -> f64 {
        let statistics = fs::read_to_string(self.memory.join("memory.stat")).unwrap();
        field(&statistics, "rss").or_else(|| field(&statistics, "anon")).unwrap()
    }

    fn cpu_ns(&self) -> f64 {
        let own = fs::read_to_string(self.cpu.join("cpuacct.usage")).ok();
        let unified = || field(&fs::read_to_string(self.cpu.join("cpu.stat")).unwrap(), "usage_usec").unwrap() * 1_000.0;
        own.map_or_else(unified, |nanoseconds| nanoseconds.trim().parse().unwrap())
    }
}

fn field(statistics: &str, name: &str) -> Option<f64> {
    let mut lines = statistics.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name)?.1.parse().ok()
}
