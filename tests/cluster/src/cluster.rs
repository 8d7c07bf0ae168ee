//! A cluster that lives as long as its handle. It must never be used by tests that disturb it and tests that rely on it at once: what
//! disturbs it takes `&mut self`, which the shared cluster does not give.

use crate::{
    configuration::{ADMIN, Layout},
    detached::LEFT,
    guard::Guard,
    node::{Node, host},
    ports::Port,
    programs::Programs,
    run::{run, run_with_input},
    signal::{self, Signal},
};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long the API server may take until it serves, on a host that is busy with other things.
const START: Duration = Duration::from_mins(3);

/// Between two looks at whether it serves.
const PAUSE: Duration = Duration::from_millis(50);

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Write an audit log: Secrets with metadata alone, everything else with what was sent and answered. On by default.
    pub audit: bool,
    /// Add a scheduler and a node, so that pods run. One cluster of a host can have one; another waits for it.
    pub node: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { audit: true, node: false }
    }
}

/// A running cluster. Dropping it, or the end of the process, ends its processes and removes its files.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    layout: Layout,
    api: Child,
    others: Vec<Child>,
    node: Option<Node>,
    guard: Option<Guard>,
    /// Held for as long as the cluster lives, also while the API server is stopped.
    _ports: [Port; 3],
}

/// One cluster for all tests of a test program that do not disturb it; it ends with the program.
///
/// # Panics
/// Where it does not start.
#[expect(clippy::expect_used, reason = "a test cannot go on without it")]
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(&Options::default()).expect("a cluster"))
}

impl Cluster {
    /// Starts a cluster in a folder of its own, and waits until it serves. Programs that are not there are built first.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Unavailable) where there are no programs and no Go to build them; else it did not start, and the message has the
    /// end of the log.
    pub fn start(options: &Options) -> Result<Self> {
        let programs = Programs::find_or_build(&|_| {})?;
        let folder = TempDir::with_prefix("outrigger-cluster-")?.keep();
        Self::start_in(&folder, programs, options, &|_| {})
    }

    /// Starts a cluster in the folder `folder`, which is empty and is removed with it.
    pub(crate) fn start_in(folder: &Path, programs: Programs, options: &Options, say: &dyn Fn(&str)) -> Result<Self> {
        let claim = options.node.then(|| Node::claim(say)).transpose();
        let claim = claim.inspect_err(|_| drop(fs::remove_dir_all(folder)))?;
        let (guard, address) = match &claim {
            Some(claim) => (Guard::of_node(folder, claim.lock.try_clone()?)?, host::ADDRESS),
            None => (Guard::new(folder)?, Ipv4Addr::LOCALHOST),
        };
        if claim.is_some() {
            host::prepare(folder)?;
        }
        let ports = [
            Port::reserve(Ipv4Addr::LOCALHOST)?,
            Port::reserve(Ipv4Addr::LOCALHOST)?,
            Port::reserve(address)?,
        ];
        let [etcd_port, peer_port, api_port] = &ports;
        let layout = Layout {
            folder: folder.to_path_buf(),
            etcd_port: etcd_port.number()?,
            peer_port: peer_port.number()?,
            api_port: api_port.number()?,
            audit: options.audit,
            node: options.node,
        };
        layout.write()?;
        if options.node {
            host::forward(layout.api_port)?;
        }
        let etcd = guard.spawn(&mut layout.etcd(&programs)?)?;
        let mut cluster = Self {
            api: guard.spawn(&mut layout.api_server(&programs)?)?,
            others: vec![etcd],
            node: None,
            guard: Some(guard),
            programs,
            layout,
            _ports: ports,
        };
        cluster.await_api()?;
        let controller_manager = cluster.spawn(&mut cluster.layout.controller_manager(&cluster.programs)?)?;
        cluster.others.push(controller_manager);
        if let Some(claim) = claim {
            let guard = cluster.guard.as_ref().context("the cluster has no guard")?;
            let node = Node::start(&cluster.layout, claim, guard, &|| cluster.kubectl())?;
            cluster.node = Some(node);
        }
        Ok(cluster)
    }

    /// Where the API server listens.
    pub fn url(&self) -> String {
        self.layout.url()
    }

    /// The authority that certifies the API server.
    ///
    /// # Errors
    /// The file is gone.
    pub fn ca_pem(&self) -> Result<String> {
        Ok(fs::read_to_string(self.layout.file("ca.crt"))?)
    }

    /// The kubeconfig of somebody who may do everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.layout.file(ADMIN)
    }

    /// A kubeconfig with a fresh token of a service account, which is there already.
    ///
    /// # Errors
    /// The API server gives no token.
    pub fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf> {
        let place = self.layout.file(&format!("{namespace}.{service_account}.kubeconfig"));
        let user = json!({ "token": self.token_of(namespace, service_account)? });
        self.layout.write_kubeconfig(&place, &user)?;
        Ok(place)
    }

    /// A fresh token of a service account.
    ///
    /// # Errors
    /// The API server gives none.
    pub fn token_of(&self, namespace: &str, service_account: &str) -> Result<String> {
        let arguments = ["create", "token", service_account, "--namespace", namespace, "--duration=24h"];
        Ok(run(self.kubectl().args(arguments))?.trim().to_owned())
    }

    /// `kubectl` as the administrator; another `KUBECONFIG` makes it somebody else's.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.programs.kubectl);
        command
            .env("KUBECONFIG", self.admin_kubeconfig())
            .env("KUBECACHEDIR", self.layout.file("kubectl"));
        command
    }

    /// `helm` as the administrator, without the settings and caches of the person who runs the tests.
    pub fn helm(&self) -> Command {
        let mut command = Command::new(&self.programs.helm);
        command.env("KUBECONFIG", self.admin_kubeconfig());
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), self.layout.file("helm").join(kind));
        }
        command
    }

    /// Applies manifests as the administrator.
    ///
    /// # Errors
    /// One of them is refused, in the API server's words.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        run_with_input(self.kubectl().args(["apply", "-f", "-"]), manifests)
    }

    /// One JSON object a line: what was asked of the API server, by whom, and what it answered. Written before the answer goes out.
    pub fn audit_log(&self) -> PathBuf {
        self.layout.file("audit.log")
    }

    /// The address of this host that pods reach, where there is a node: what listens there is theirs to call.
    pub fn host_address(&self) -> Option<Ipv4Addr> {
        self.node.as_ref().map(|_| host::ADDRESS)
    }

    /// Makes the images of an archive known to the node; pods use them with `imagePullPolicy: Never` or `IfNotPresent`.
    ///
    /// # Errors
    /// There is no node, or the archive has no image.
    pub fn import(&self, archive: &Path) -> Result<()> {
        self.node
            .as_ref()
            .context("a cluster without a node")?
            .import(&self.layout, archive)
    }

    /// Stops the API server from running: connections stay, nothing is answered.
    ///
    /// # Errors
    /// It is not there.
    pub fn pause_api(&mut self) -> Result<()> {
        signal::send(&self.api, Signal::STOP)
    }

    /// Lets a paused API server run on.
    ///
    /// # Errors
    /// It is not there.
    pub fn resume_api(&mut self) -> Result<()> {
        signal::send(&self.api, Signal::CONT)
    }

    /// Ends the API server at once. Its port stays reserved and refuses connections; its data stay.
    ///
    /// # Errors
    /// It is not there.
    pub fn stop_api(&mut self) -> Result<()> {
        // Asked politely it waits a minute for its watchers.
        self.api.kill()?;
        self.api.wait()?;
        Ok(())
    }

    /// Starts the API server again, on the same port and data, and waits until it serves.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_api(&mut self) -> Result<()> {
        self.api = self.spawn(&mut self.layout.api_server(&self.programs)?)?;
        self.await_api()
    }

    /// Lets it run on after us.
    pub(crate) fn leave(mut self) -> Result<()> {
        fs::write(self.layout.file(LEFT), "")?;
        self.guard.take().context("the cluster has no guard")?.dismiss()
    }

    fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.guard.as_ref().context("the cluster has no guard")?.spawn(command)
    }

    fn await_api(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            // A short patience: a question that came too early must not hold up the next one.
            let asked = run(self.kubectl().args(["get", "--raw=/readyz", "--request-timeout=5s"]));
            let Err(error) = asked else { return Ok(()) };
            let etcd = self.others.first_mut().map(Child::try_wait).transpose()?.flatten();
            for (name, ended) in [("etcd", etcd), ("kube-apiserver", self.api.try_wait()?)] {
                if let Some(status) = ended {
                    bail!("{name} ended with {status}:\n{}", self.layout.last_words(name));
                }
            }
            if started.elapsed() > START {
                bail!(
                    "the API server does not serve: {error}\n{}",
                    self.layout.last_words("kube-apiserver")
                );
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Whoever left it to itself has no guard any more, and does not end it.
        if let Some(guard) = self.guard.take() {
            drop(guard);
            let node = self.node.iter_mut().flat_map(Node::children);
            for child in self.others.iter_mut().chain([&mut self.api]).chain(node) {
                let _ = child.wait();
            }
        }
    }
}
