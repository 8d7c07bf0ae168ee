//! A controller process with its rights, a provider that knows some keys, and what they have made of a namespace.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use outrigger_cluster::{Cluster, run, shared};
use outrigger_config::crds;
use outrigger_snapshot::{Document, KeyRing, Sealed};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take on a host that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(2);

/// Puts the definitions and the chart's rights into a cluster: the controller never runs as the administrator.
pub fn prepare(cluster: &Cluster, definitions: &[String]) {
    for definition in definitions {
        cluster.apply(definition).unwrap();
    }
    kubectl(
        cluster,
        "wait --for=condition=Established --timeout=120s crd modelroutes.outrigger.dev providerkeys.outrigger.dev",
    );
    cluster
        .apply("{ apiVersion: v1, kind: Namespace, metadata: { name: outrigger-system } }")
        .unwrap();
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/outrigger");
    let mut template = cluster.helm();
    template.args(["template", "outrigger", chart, "--namespace", "outrigger-system"]);
    for part in ["controller-role", "leader-role", "sidecar-role", "serviceaccount"] {
        template.args(["--show-only", &format!("templates/{part}.yaml")]);
    }
    cluster.apply(&run(&mut template).unwrap()).unwrap();
    cluster.apply(include_str!("../../fixtures/leases-of-tests.yaml")).unwrap();
}

/// The definitions as they are.
pub fn definitions() -> Vec<String> {
    crds().iter().map(|crd| serde_json::to_string(crd).unwrap()).collect()
}

/// The cluster of all tests that do not disturb it.
pub fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = shared();
    READY.get_or_init(|| prepare(cluster, &definitions()));
    cluster
}

/// As the administrator.
pub fn kubectl(cluster: &Cluster, line: &str) -> String {
    run(cluster.kubectl().args(line.split(' '))).unwrap()
}

/// Looks until there is something to see.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "it does not come to this: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A binary of ours, which is built beside the tests.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(|deps| deps.parent()).unwrap().join(name);
    assert!(
        binary.exists(),
        "{} is not built: run `cargo build -p {name}` first, or `cargo xtask test cluster`",
        binary.display()
    );
    binary
}

/// A controller process; ends with its handle.
pub struct Controller {
    child: Child,
    folder: TempDir,
}

impl Controller {
    /// One that looks after `namespaces`, whose first one names the lease.
    pub fn start(cluster: &Cluster, namespaces: &[&str], identity: &str) -> Self {
        let all = namespaces.join(",");
        let of_tests = [
            "--lease-name",
            namespaces[0],
            "--namespaces",
            &all,
            "--allowed-cidrs",
            "127.0.0.0/8",
        ];
        Self::start_with(cluster, identity, &of_tests)
    }

    /// One with these flags.
    pub fn start_with(cluster: &Cluster, identity: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(binary("outrigger-controller"))
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig_for("outrigger-system", "outrigger-controller").unwrap())
            .arg("--ports-file")
            .arg(folder.path().join("ports"))
            .args(["--lease-namespace", "outrigger-system", "--admin", "127.0.0.1:0"])
            .args(["--log-level", "debug", "--identity", identity])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// One of its ports: `admin` or `webhook`.
    pub fn port(&self, name: &str) -> u16 {
        let ports: PathBuf = self.folder.path().join("ports");
        let ports: Value = serde_json::from_str(&until("its ports", || std::fs::read_to_string(&ports).ok())).unwrap();
        u16::try_from(ports[name].as_u64().unwrap()).unwrap()
    }

    /// A page of its admin port.
    pub fn page(&self, path: &str) -> String {
        let at = SocketAddr::from(([127, 0, 0, 1], self.port("admin")));
        let mut stream = TcpStream::connect(at).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Whether it says that it is the one that writes.
    pub fn leads(&self) -> bool {
        self.page("/metrics").contains("\noutrigger_controller_leader 1\n")
    }

    /// Asks it to end, and waits for that.
    pub fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        until("its end", || self.child.try_wait().unwrap());
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A provider that knows some keys; it serves until the test program ends.
#[derive(Clone)]
pub struct Provider {
    /// Where it listens.
    pub at: SocketAddr,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl Provider {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            at: listener.local_addr().unwrap(),
            known: Arc::default(),
        };
        let known = Arc::clone(&provider.known);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let known = Arc::clone(&known);
                thread::spawn(move || answer(stream.unwrap(), &known));
            }
        });
        provider
    }

    pub fn knows(&self, key: &str) {
        self.known.lock().unwrap().insert(format!("authorization: bearer {key}"));
    }
}

fn answer(mut stream: TcpStream, known: &Mutex<BTreeSet<String>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    let fine = known.lock().unwrap().iter().any(|known| head.contains(known));
    let status = if fine { "200 OK" } else { "401 Unauthorized" };
    // What it says of the key must not come back in a condition.
    let body = "{\"error\":\"upstream-words\"}";
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}

/// A namespace with one key at `provider` and one route over it.
pub fn manifests(namespace: &str, provider: &Provider, key: &str) -> String {
    let at = provider.at;
    format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{ name: {namespace} }}
---
apiVersion: v1
kind: Secret
metadata: {{ name: keys, namespace: {namespace}, annotations: {{ outrigger.dev/origins: "http://{at}" }} }}
stringData: {{ a: {key} }}
---
apiVersion: outrigger.dev/v1alpha1
kind: ProviderKey
metadata: {{ name: local, namespace: {namespace} }}
spec:
  provider: custom
  endpoint: {{ baseURL: "http://{at}/v1", dialect: openai }}
  keys: [{{ name: a, secretRef: {{ name: keys, key: a }} }}]
---
apiVersion: outrigger.dev/v1alpha1
kind: ModelRoute
metadata: {{ name: triage, namespace: {namespace} }}
spec:
  models: [triage]
  rules: [{{ name: all, targets: [{{ keyRef: {{ name: local }}, model: small }}] }}]
"#
    )
}

/// A namespace as the controller has left it.
pub struct View<'c> {
    pub cluster: &'c Cluster,
    pub namespace: &'c str,
}

impl View<'_> {
    /// One object, if it is there.
    pub fn object<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        let found = run(self.cluster.kubectl().args(["get", kind, name, "-n", self.namespace, "-o", "json"])).ok()?;
        Some(serde_json::from_str(&found).unwrap())
    }

    /// What is published, if it is intact: the generation and the document, as a sidecar reads them.
    pub fn published(&self) -> Option<(u64, Document)> {
        let map: ConfigMap = self.object("configmap", "outrigger-snapshot")?;
        let ring = self.ring()?;
        let sealed = Sealed::from_data(&map.data?).ok()?;
        let document = outrigger_snapshot::open(&sealed, self.namespace, &ring.mac?).ok()?;
        Some((sealed.generation, document))
    }

    /// The bytes that are distributed.
    pub fn ring(&self) -> Option<KeyRing> {
        let secret: Secret = self.object("secret", "outrigger-keys")?;
        let data = secret.data?;
        Some(KeyRing::parse(data.iter().map(|(name, bytes)| (name.as_str(), bytes.0.as_slice()))))
    }

    /// Version and state of the one key.
    pub fn states(&self) -> Vec<String> {
        let keys = self.published().map(|(_, document)| document.keys).unwrap_or_default();
        keys.iter().map(|key| format!("{} {:?}", key.version, key.state)).collect()
    }

    /// `status reason` of a condition.
    pub fn condition(&self, kind: &str, name: &str, condition: &str) -> Option<String> {
        let object: Value = self.object(kind, name)?;
        let all = object["status"]["conditions"].as_array()?.clone();
        let found = all.iter().find(|each| each["type"] == condition)?;
        Some(format!("{} {}", found["status"].as_str()?, found["reason"].as_str()?))
    }

    /// Whether an Event with that reason is about such an object.
    pub fn told(&self, kind: &str, reason: &str) -> bool {
        let selector = format!("involvedObject.kind={kind},reason={reason}");
        let found = ["get", "events", "-n", self.namespace, "--field-selector", &selector, "-o", "name"];
        !run(self.cluster.kubectl().args(found)).unwrap().is_empty()
    }
}
