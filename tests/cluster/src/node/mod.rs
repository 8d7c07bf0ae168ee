//! A node on this host: scheduler, kubelet, containerd. One at a time; it ends with its cluster, and takes everything off the host again.

pub(crate) mod host;

use crate::{
    certificates::Authority,
    configuration::{Layout, flag},
    detached,
    guard::Guard,
    image::Image,
    programs::{NodePrograms, Unavailable},
    run::run,
};
use anyhow::{Context as _, Result, bail};
use host::{ADDRESS, BRIDGE, GROUP, PODS, Tools};
use serde_json::json;
use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// See the file.
pub(crate) const CLEAN: &str = include_str!("clean.sh");

/// Says why this host cannot run a node, without changing anything.
///
/// # Errors
/// It is not root's, or something is missing that neither is installed nor can be built.
pub fn check_node() -> Result<(), Unavailable> {
    host::tools().map(drop)
}

/// Builds the programs of a node where that is not done yet.
///
/// # Errors
/// As [`Programs::find_or_build`](crate::Programs::find_or_build).
pub fn build_node(say: &dyn Fn(&str)) -> Result<()> {
    NodePrograms::find_or_build(say).map(drop)
}

/// The name of the node.
const NAME: &str = "node";

/// What holds a pod's network while its containers come and go.
const PAUSE: &str = "outrigger.test/pause:1";

/// How long the node may take until it takes pods.
const START: Duration = Duration::from_mins(2);

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    tools: Tools,
    /// By the names of their logs.
    children: Vec<(&'static str, Child)>,
}

/// The right to this host's one node, until its last lock is closed.
#[derive(Debug)]
pub(crate) struct Claim {
    tools: Tools,
    programs: NodePrograms,
    pub(crate) lock: File,
}

impl Node {
    /// Finds or builds what is needed for [`start`](Self::start), and takes this host's one node.
    pub(crate) fn claim(say: &dyn Fn(&str)) -> Result<Claim> {
        Ok(Claim {
            tools: host::tools()?,
            programs: NodePrograms::find_or_build(say)?,
            lock: host::take(&detached::make_way)?,
        })
    }

    /// Starts a node beside an API server that serves, and waits until it takes pods.
    pub(crate) fn start(layout: &Layout, claim: Claim, guard: &Guard, kubectl: &dyn Fn() -> Command) -> Result<Self> {
        let programs = claim.programs;
        write(layout, &claim.tools)?;
        let mut node = Self {
            tools: claim.tools,
            children: Vec::new(),
        };
        let mut containerd = layout.program(&node.tools.containerd, "containerd")?;
        containerd.arg(flag("config", &layout.file("containerd.toml")));
        node.children.push(("containerd", guard.spawn(&mut containerd)?));
        node.until(layout, "containerd answers", &|node| {
            node.ctr(layout).arg("version").output().is_ok_and(|said| said.status.success())
        })?;
        let pause = layout.file("pause.tar");
        pause_image()?.write(&pause, false)?;
        node.import(layout, &pause)?;

        let mut scheduler = layout.program(&programs.scheduler, "kube-scheduler")?;
        scheduler.arg(flag("kubeconfig", &layout.file("scheduler.kubeconfig")));
        scheduler.args(["--leader-elect=false", "--secure-port=0"]);
        node.children.push(("kube-scheduler", guard.spawn(&mut scheduler)?));

        let mut kubelet = layout.program(&programs.kubelet, "kubelet")?;
        for (name, file) in [
            ("config", "kubelet.json"),
            ("kubeconfig", "kubelet.kubeconfig"),
            ("root-dir", "kubelet"),
            ("cert-dir", "kubelet-certificates"),
        ] {
            kubelet.arg(flag(name, &layout.file(file)));
        }
        kubelet
            .arg(format!("--hostname-override={NAME}"))
            .arg(format!("--node-ip={ADDRESS}"));
        node.children.push(("kubelet", guard.spawn(&mut kubelet)?));
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        node.until(layout, "the node is ready", &|_| {
            run(kubectl().args(["get", "node", NAME, "--request-timeout=5s", "-o", ready])).is_ok_and(|status| status == "True")
        })?;
        Ok(node)
    }

    /// Makes the images of an archive known to the node.
    pub(crate) fn import(&self, layout: &Layout, archive: &Path) -> Result<()> {
        run(self.ctr(layout).args(["--namespace", "k8s.io", "images", "import"]).arg(archive))
            .with_context(|| archive.display().to_string())?;
        Ok(())
    }

    pub(crate) fn children(&mut self) -> impl Iterator<Item = &mut Child> {
        self.children.iter_mut().map(|(_, child)| child)
    }

    fn ctr(&self, layout: &Layout) -> Command {
        let mut command = Command::new(&self.tools.ctr);
        command.arg("--address").arg(layout.file(SOCKET));
        command
    }

    fn until(&mut self, layout: &Layout, what: &str, met: &dyn Fn(&Self) -> bool) -> Result<()> {
        let started = Instant::now();
        while !met(self) {
            for (name, child) in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!("{name} ended with {status}:\n{}", layout.last_words(name));
                }
            }
            if started.elapsed() > START {
                let (name, _) = self.children.last().context("nothing was started")?;
                bail!("it does not come to this: {what}\n{}", layout.last_words(name));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Short: a socket's path has at most 107 bytes.
const SOCKET: &str = "c.sock";

/// What a node needs of certificates and identities.
pub(crate) fn certify(layout: &Layout, authority: &Authority) -> Result<()> {
    let kubelet = authority.client(&format!("system:node:{NAME}"), Some("system:nodes"))?;
    layout.client("kubelet", &kubelet)?;
    layout.client("scheduler", &authority.client("system:kube-scheduler", None)?)?;
    authority
        .client("kube-apiserver-kubelet-client", Some("system:masters"))?
        .write(&layout.folder, "kubelet-client")?;
    authority.server(ADDRESS)?.write(&layout.folder, "kubelet-server")
}

/// A sandbox needs a process that does nothing for ever, and any host has one.
fn pause_image() -> Result<Image> {
    let mut image = Image::of_program(PAUSE, &Path::new("/usr/bin/sleep").canonicalize()?)?;
    image.entrypoint(&["/usr/bin/sleep", "infinity"]);
    Ok(image)
}

fn write(layout: &Layout, tools: &Tools) -> Result<()> {
    fs::write(layout.file("containerd.toml"), containerd(&layout.folder, &tools.plugins))?;
    fs::create_dir(layout.file("cni"))?;
    fs::write(layout.file("cni/network.conflist"), network(&layout.folder).to_string())?;
    // The system's choice; the address is nobody else's.
    let port = TcpListener::bind((ADDRESS, 0))?.local_addr()?.port();
    fs::write(layout.file("kubelet.json"), format!("{:#}\n", kubelet(&layout.folder, port)))?;
    Ok(())
}

fn containerd(folder: &Path, plugins: &Path) -> String {
    let (folder, plugins) = (folder.display(), plugins.display());
    // An older version than 3 is understood by every containerd from 1.3 on.
    format!(
        r#"version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
[grpc]
  address = "{folder}/{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  netns_mounts_under_state_dir = true
  # Without the right to lower such a score, runc could not start anything.
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
    )
}

fn network(folder: &Path) -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "outrigger",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "isDefaultGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": PODS, "gateway": ADDRESS }]],
                "dataDir": folder.join("addresses"),
            },
        }],
    })
}

fn kubelet(folder: &Path, port: u16) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "port": port,
        "healthzPort": 0,
        "authentication": { "x509": { "clientCAFile": folder.join("ca.crt") }, "anonymous": { "enabled": false } },
        "tlsCertFile": folder.join("kubelet-server.crt"),
        "tlsPrivateKeyFile": folder.join("kubelet-server.key"),
        "containerRuntimeEndpoint": format!("unix://{}", folder.join(SOCKET).display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{GROUP}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20_000,
        "enforceNodeAllocatable": [],
        // A full disk is the host's affair.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false,
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "podLogsDir": folder.join("pod-logs"),
        "volumePluginDir": folder.join("volume-plugins"),
        // Changed Secrets and ConfigMaps are in their mounts within seconds, not minutes.
        "syncFrequency": "5s",
    })
}
