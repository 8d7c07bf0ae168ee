//! A cluster with a node, the controller installed by its chart from its image, scripted providers in a pod, and what an application in a pod has
//! seen.

use crate::images::{self, REGISTRY, name_of};
use outrigger_cluster::{Cluster, Options, run, run_with_input};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Where the applications are.
pub const SHOP: &str = "shop";

/// Where the controller is.
pub const HOME: &str = "outrigger-system";

/// How long anything may take on a host that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(4);

/// See the module.
pub struct Rig {
    pub cluster: Cluster,
    /// Address of the scripted providers' pod.
    mock: String,
    start: Instant,
}

impl Rig {
    /// An empty cluster whose node knows all images.
    pub fn start() -> Self {
        let rig = Self::bare();
        images::import_shipped(&rig.cluster);
        rig.mark("images of what ships");
        rig
    }

    /// Says when something was done: for those who wonder what takes so long.
    pub fn mark(&self, what: &str) {
        println!("{:6.1} s: {what}", self.start.elapsed().as_secs_f64());
    }

    /// An empty cluster whose node has never seen what ships.
    pub fn bare() -> Self {
        let options = Options {
            node: true,
            ..Options::default()
        };
        let start = Instant::now();
        let cluster = Cluster::start(&options).unwrap();
        images::import_others(&cluster);
        let mut rig = Self {
            cluster,
            mock: String::new(),
            start,
        };
        rig.mark("the node runs, with an application's image");
        rig.apply("default", &[mock()]);
        rig.mock = rig.until("the scripted providers run", |rig| {
            let address = rig.kubectl("get pod mock -n default -o jsonpath={.status.podIP}");
            let serves = || TcpStream::connect((address.as_str(), 5570)).is_ok();
            (!address.is_empty() && serves()).then_some(address.clone())
        });
        rig
    }

    /// Installs both charts, the controller's with the packed image.
    pub fn install(&self) {
        for (name, more) in [
            ("outrigger-crds", vec![]),
            (
                "outrigger",
                vec![
                    format!("image.registry={REGISTRY}"),
                    // The scripted providers are pods.
                    "allowedCIDRs={10.88.0.0/16}".to_owned(),
                ],
            ),
        ] {
            let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts").join(name);
            let mut helm = self.cluster.helm();
            helm.args(["install", name])
                .arg(chart)
                .args(["--namespace", HOME, "--create-namespace"]);
            run(helm.args(more.iter().flat_map(|set| ["--set", set]))).unwrap();
        }
    }

    /// As the administrator; what it says.
    pub fn kubectl(&self, line: &str) -> String {
        run(self.cluster.kubectl().args(line.split(' '))).unwrap()
    }

    /// Applies objects in a namespace.
    pub fn apply(&self, namespace: &str, objects: &[Value]) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        run_with_input(
            self.cluster.kubectl().args(["apply", "-n", namespace, "-f", "-"]),
            &list.to_string(),
        )
        .unwrap();
    }

    /// A namespace of restricted pods.
    pub fn namespace(&self, name: &str) {
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
        self.cluster.apply(&namespace.to_string()).unwrap();
    }

    /// The first object that a selector picks.
    pub fn object(&self, kind: &str, namespace: &str, selector: &str) -> Value {
        let found: Value = serde_json::from_str(&self.kubectl(&format!("get {kind} -n {namespace} -l {selector} -o json"))).unwrap();
        found["items"][0].clone()
    }

    /// Two providers in a namespace, of which `key` is the key, and a route over each.
    pub fn shop(&self, key: &str) {
        self.namespace(SHOP);
        let route = |name: &str, provider: &str| {
            let target = json!({ "keyRef": { "name": provider }, "model": "gpt-4o-mini" });
            json!({
                "apiVersion": "outrigger.dev/v1alpha1",
                "kind": "ModelRoute",
                "metadata": { "name": name },
                "spec": { "models": [name], "rules": [{ "name": "all", "targets": [target] }] },
            })
        };
        let provider = |name: &str| {
            json!({
                "apiVersion": "outrigger.dev/v1alpha1",
                "kind": "ProviderKey",
                "metadata": { "name": name },
                "spec": {
                    "provider": "custom",
                    "endpoint": { "baseURL": format!("{}/v1", self.provider(name)), "dialect": "openai" },
                    "keys": [{ "name": "main", "secretRef": { "name": "keys", "key": "main" } }],
                },
            })
        };
        self.store(key);
        self.apply(
            SHOP,
            &[
                provider("quick"),
                provider("steady"),
                route("assistant", "quick"),
                route("slow", "steady"),
            ],
        );
    }

    /// Puts a key into the Secret of the application's people.
    pub fn store(&self, key: &str) {
        let origins = json!({ "outrigger.dev/origins": self.provider("").trim_end_matches('/') });
        let metadata = json!({ "name": "keys", "annotations": origins });
        self.apply(
            SHOP,
            &[json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": { "main": key } })],
        );
    }

    /// Where a scripted provider is.
    pub fn provider(&self, name: &str) -> String {
        format!("http://{}:5570/{name}", self.mock)
    }

    /// Scripts a provider.
    pub fn behave(&self, provider: &str, behaviour: &Value) {
        self.mock("PUT", &format!("/_mock/behaviour/{provider}"), &behaviour.to_string());
    }

    /// The keys of the calls that a provider received since it was asked last.
    pub fn keys_seen(&self, provider: &str) -> Vec<String> {
        let path = format!("/_mock/calls/{provider}");
        let calls: Value = serde_json::from_str(&self.mock("GET", &path, "")).unwrap();
        self.mock("DELETE", &path, "");
        let calls = calls.as_array().unwrap().iter();
        calls
            .filter(|call| call["path"].as_str().unwrap().contains("chat/completions"))
            .map(|call| {
                call["headers"]["authorization"]
                    .as_str()
                    .unwrap_or_default()
                    .trim_start_matches("Bearer ")
                    .to_owned()
            })
            .collect()
    }

    /// Asks the scripted providers' control API.
    pub fn mock(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((self.mock.as_str(), 5570)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        write!(stream, "{head}{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Looks until there is something to see; else tells what the cluster looks like.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            if start.elapsed() > PATIENCE {
                let ask = |line: &str| run(self.cluster.kubectl().args(line.split(' '))).unwrap_or_else(|error| error.to_string());
                let pods = ask("get pods -A -o wide");
                let events = ask("get events -A --sort-by=.lastTimestamp");
                let objects = ask("get modelroutes,providerkeys -A -o yaml");
                panic!("it does not come to this: {what}\n{pods}\n{events}\n{objects}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Scripted providers for the whole cluster.
fn mock() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "mock" },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "mock",
                "image": name_of("outrigger-mock"),
                "imagePullPolicy": "Never",
                "args": ["mock", "--listen", "0.0.0.0:5570"],
            }],
        },
    })
}

/// What one pod's application says; followed by a `kubectl logs` of its own, so that its last words are not lost.
pub struct Seen {
    kubectl: Child,
    file: tempfile::NamedTempFile,
}

impl Seen {
    /// Follows the application of the pod.
    pub fn follow(rig: &Rig, pod: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut command = rig.cluster.kubectl();
        command.args(["logs", "--follow", "-n", SHOP, pod, "-c", "app"]);
        let kubectl = command
            .stdin(Stdio::null())
            .stdout(file.reopen().unwrap())
            .stderr(Stdio::null())
            .spawn();
        Self {
            kubectl: kubectl.unwrap(),
            file,
        }
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file.path()).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many calls of a kind went well.
    pub fn well(&self, kind: &str) -> u64 {
        let lines = self.lines().into_iter().filter(|line| line["kind"] == kind);
        lines.map(|line| line["well"].as_u64().unwrap_or_default()).sum()
    }

    /// What failed.
    pub fn failures(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("error").is_some()).collect()
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

/// Seconds since 1970, as the application says them.
pub fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The sidecar's process of a pod, as this host numbers it.
pub fn sidecar_of(pod_uid: &str) -> Option<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "outrigger-proxy"))
        .find(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let wanted = format!("OUTRIGGER_POD_UID={pod_uid}");
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .and_then(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Sends a signal to a process of this host.
pub fn signal(process: u32, name: &str) {
    run(Command::new("kill").args(["-s", name, &process.to_string()])).unwrap();
}
