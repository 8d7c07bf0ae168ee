//! What a node needs of the host, and what it leaves on it: the names below are the only ones that it uses outside of the cluster's folder, and
//! `clean.sh` takes each of them away again. It must never change anything on a host that cannot run a node anyway.

use crate::{
    programs::{Programs, Unavailable},
    run::run,
};
use anyhow::{Context as _, Result};
use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

/// Where pods and the API server meet.
pub(crate) const BRIDGE: &str = "outrigger0";

/// The bridge's own address: the API server's, and the gateway of every pod.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

/// The addresses of pods.
pub(crate) const PODS: &str = "10.88.0.0/16";

/// The control group of all pods.
pub(crate) const GROUP: &str = "outrigger-node";

/// One iptables chain, for the service address of the API server.
const CHAIN: &str = "OUTRIGGER-NODE";

/// Says in which folder the node's cluster is, for as long as there is one.
const MARK: &str = "/run/outrigger-node";

const LOCK: &str = "/run/outrigger-node.lock";

/// What a kubelet and a bridge change of the kernel's settings.
const SETTINGS: [&str; 4] = [
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "net/ipv4/ip_forward",
];

/// What is installed by the host's own package manager.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) containerd: PathBuf,
    pub(crate) ctr: PathBuf,
    /// Folder of the network plugins.
    pub(crate) plugins: PathBuf,
}

/// Looks for everything that a node needs, and says what is missing.
pub(crate) fn tools() -> Result<Tools, Unavailable> {
    if !rustix::process::geteuid().is_root() {
        return Err(Unavailable::because("a node needs root"));
    }
    let found = |name: &str| find(name).ok_or_else(|| missing(name));
    for name in ["runc", "containerd-shim-runc-v2", "iptables", "ip", "umount"] {
        found(name)?;
    }
    let plugins = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"].map(PathBuf::from);
    let complete = |folder: &PathBuf| ["bridge", "host-local", "loopback"].iter().all(|name| folder.join(name).is_file());
    let plugins = plugins.into_iter().find(complete).ok_or_else(|| missing("the CNI plugin bridge"))?;
    Programs::check_node()?;
    Ok(Tools {
        containerd: found("containerd")?,
        ctr: found("ctr")?,
        plugins,
    })
}

fn missing(name: &str) -> Unavailable {
    let packages = "apt-get install containerd runc containernetworking-plugins iptables iproute2";
    Unavailable::because(&format!("no {name} for a node; on Debian: {packages}"))
}

/// On the path, or where the path of a person who is not root does not lead.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// This host's one node is ours until the last copy of the handle is closed; whoever else wants one waits. What an earlier one left is removed.
///
/// # Errors
/// A cluster with a node was left running on purpose, or its remains cannot be removed.
pub(crate) fn take(end: &dyn Fn(&Path) -> Result<()>) -> Result<File> {
    let lock = File::create(LOCK).context(LOCK)?;
    lock.lock()?;
    let before = fs::read_to_string(MARK).unwrap_or_default();
    let before = Path::new(before.trim());
    if before.is_absolute() {
        end(before)?;
    }
    clean(before)?;
    if let Some(link) = fs::read_to_string("/proc/net/route")?
        .lines()
        // The destination in hexadecimal, last byte first: 10.88.
        .find(|line| line.split_whitespace().nth(1).is_some_and(|to| to.ends_with("580A")))
    {
        let link = link.split_whitespace().next().unwrap_or_default();
        return Err(Unavailable::because(&format!("the addresses {PODS} are in use by {link}")).into());
    }
    Ok(lock)
}

/// Removes a node and everything of it, except the cluster's folder.
pub(crate) fn clean(folder: &Path) -> Result<()> {
    run(Command::new("sh").args(["-c", super::CLEAN, "sh"]).arg(folder))?;
    Ok(())
}

/// Lays out what a node uses outside of the folder. The guard is there already.
pub(crate) fn prepare(folder: &Path) -> Result<()> {
    fs::write(MARK, folder.as_os_str().as_encoded_bytes())?;
    if !Path::new("/var/lib/kubelet").exists() {
        fs::write(folder.join("no-kubelet-before"), "")?;
    }
    let mut before = String::new();
    for key in SETTINGS {
        let value = fs::read_to_string(Path::new("/proc/sys").join(key)).with_context(|| key.to_owned())?;
        writeln!(before, "{key} {}", value.trim())?;
    }
    fs::write(folder.join("sysctls"), before)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    each(&[
        format!("ip link add {BRIDGE} type bridge"),
        format!("ip address add {ADDRESS}/16 dev {BRIDGE}"),
        format!("ip link set {BRIDGE} up"),
    ])?;
    groups()
}

/// Leads the API server's service address, which pods are told, to where it listens.
pub(crate) fn forward(api_port: u16) -> Result<()> {
    each(&[
        format!("iptables -w -t nat -N {CHAIN}"),
        format!("iptables -w -t nat -A {CHAIN} -d 10.0.0.1/32 -p tcp --dport 443 -j DNAT --to-destination {ADDRESS}:{api_port}"),
        format!("iptables -w -t nat -A PREROUTING -j {CHAIN}"),
        format!("iptables -w -t nat -A OUTPUT -j {CHAIN}"),
    ])
}

fn each(lines: &[String]) -> Result<()> {
    for line in lines {
        let mut words = line.split(' ');
        let program = words.next().and_then(find).context("no program")?;
        run(Command::new(program).args(words)).with_context(|| line.clone())?;
    }
    Ok(())
}

/// A control group of our own for all pods, in each hierarchy: so that whatever runs in it can be found.
fn groups() -> Result<()> {
    let top = Path::new("/sys/fs/cgroup");
    if top.join("cgroup.controllers").exists() {
        // Some may be refused; those that the kubelet cannot do without it asks for itself.
        for controller in ["cpu", "cpuset", "memory", "pids", "io"] {
            let _ = fs::write(top.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        return Ok(fs::create_dir_all(top.join(GROUP))?);
    }
    for entry in fs::read_dir(top)? {
        let hierarchy = entry?.path();
        if hierarchy.join("cgroup.procs").exists() {
            fs::create_dir_all(hierarchy.join(GROUP)).with_context(|| hierarchy.display().to_string())?;
            // A new group of this kind is empty, and nothing can be put into it.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read_to_string(hierarchy.join(file)) {
                    fs::write(hierarchy.join(GROUP).join(file), value)?;
                }
            }
        }
    }
    Ok(())
}
