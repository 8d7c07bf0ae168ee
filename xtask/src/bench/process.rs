//! The processes of a run: proxies that live until their handle is dropped, and the load, which ends by itself.
//! It must never leave one behind: each proxy hangs on a guard that ends when this process does, however that ends.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use outrigger_tests::NAMESPACE;

use super::cases::Shape;
use super::rig::{self, Core, Rig};
use super::spec::{Measured, Spec};
use super::subject;

/// What stands between load and upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The floor.
    Floor,
    /// A floor with a cheaper pool: a difference that is known.
    Handles,
    /// The sidecar of this binary, on mounts alone.
    Outrigger(PathBuf),
}

impl Kind {
    /// For people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Floor => "floor".to_owned(),
            Self::Handles => "floor with a plain handle pool".to_owned(),
            Self::Outrigger(binary) => binary.display().to_string(),
        }
    }
}

/// A running proxy; dropping it ends it.
pub(crate) struct Proxy {
    guard: Child,
    log: PathBuf,
    /// The measured process.
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it forwards to.
    pub(crate) upstream: SocketAddr,
}

impl Proxy {
    /// Starts one that keeps its files in `folder`, and waits until it listens.
    ///
    /// # Errors
    /// It ended or was not ready after 20 s; the end of its log is in the message.
    pub(crate) fn start(rig: &Rig, peer: &Path, kind: &Kind, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let upstream = free_address()?;
        let ports = folder.join("ports.json");
        let log = folder.join("log");
        let _ = fs::remove_file(&ports);

        let mut command = Command::new(peer);
        command.arg("guard");
        match kind {
            Kind::Floor | Kind::Handles => {
                let pool = if *kind == Kind::Floor { "pooled" } else { "handles" };
                command
                    .args(rig.command(Core::Proxy, peer.as_os_str()))
                    .args(["floor", "--pool", pool]);
                command.args([OsStr::new("--upstream"), OsStr::new(&upstream.to_string())]);
            }
            Kind::Outrigger(binary) => {
                let [snapshot, keys] = subject::mounts(upstream, folder)?;
                command.args(rig.command(Core::Proxy, binary.as_os_str()));
                command.args(["--namespace", NAMESPACE, "--api-server", "none"]);
                command.arg("--snapshot-dir").arg(snapshot).arg("--keys-dir").arg(keys);
                command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
            }
        }
        command.arg("--ports-file").arg(&ports);
        let mut guard = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", peer.display()))?;
        let output = guard.stdout.take();
        let mut proxy = Self {
            guard,
            log,
            pid: 0,
            address: upstream,
            upstream,
        };

        let mut line = String::new();
        BufReader::new(output.context("the guard has no output")?).read_line(&mut line)?;
        proxy.pid = line.trim().parse().context("the guard did not start its command")?;
        let port = proxy
            .wait_for(&ports)
            .with_context(|| format!("{} did not start: {}", kind.name(), proxy.last_words()))?;
        proxy.address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(proxy)
    }

    fn wait_for(&mut self, ports: &Path) -> anyhow::Result<u16> {
        for _ in 0..400 {
            ensure!(self.guard.try_wait()?.is_none(), "it ended");
            let file = fs::read(ports)
                .ok()
                .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
            if let Some(port) = file.and_then(|file| u16::try_from(file.get("data")?.as_u64()?).ok()) {
                return Ok(port);
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("no port after 20 s")
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!(
            "{} (log: {})",
            lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" / "),
            self.log.display()
        )
    }

    /// One run of load against it; with `count` its instructions are counted too.
    ///
    /// # Errors
    /// The load failed as a whole. Single failed requests are in the result.
    pub(crate) fn load(&self, rig: &Rig, peer: &Path, shape: &Shape, count: bool) -> anyhow::Result<Measured> {
        let spec = Spec {
            proxy: self.address,
            upstream: self.upstream,
            pid: self.pid,
            prompt_bytes: shape.prompt_bytes,
            answer: shape.answer,
            arrivals: shape.arrivals,
            connections: shape.connections,
            warmup_ms: shape.warmup_ms,
            window_ms: shape.window_ms,
        };
        let counted = self.log.with_extension("perf");
        let mut words: Vec<OsString> = Vec::new();
        if count {
            // perf counts the proxy for as long as the load, its own command, runs.
            let pid = self.pid.to_string();
            words.extend(["perf", "stat", "-x,", "-e", "instructions", "-p", &pid, "-o"].map(OsString::from));
            words.extend([counted.clone().into_os_string(), "--".into()]);
        }
        words.extend(rig.command(Core::Peers, peer.as_os_str()));
        words.extend(["load".into(), serde_json::to_string(&spec)?.into()]);
        let (program, arguments) = words.split_first().context("no command")?;
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the load failed: {}; the proxy's log ends with: {}",
            said.trim(),
            self.last_words()
        );
        let mut measured: Measured = serde_json::from_slice(&output.stdout).context("the load's result")?;
        if count {
            measured.instructions = rig::instructions(&fs::read_to_string(&counted)?);
        }
        Ok(measured)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The guard kills what it guards when its input closes; to kill the guard instead would leave the proxy behind.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// An address nobody uses. Below the range of outgoing connections: between two runs nobody listens there, and a client's own port must
/// not take the place.
fn free_address() -> anyhow::Result<SocketAddr> {
    for _ in 0..1_000 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port between 20,000 and 32,000")
}
