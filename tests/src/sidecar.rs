//! A running `outrigger-proxy` with its mounts, which the test swaps as a kubelet does.

use crate::{
    ApiServer,
    client::{Answer, Connection},
    plane::{START, binary, post, request},
    published::{NAMESPACE, Published},
};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::Child;

/// A folder that is replaced as a whole.
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
    swaps: AtomicU64,
}

/// A sidecar process. Dropping it ends the process.
#[derive(Debug)]
pub struct Sidecar {
    /// Where applications connect.
    pub data: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// Its mounted ConfigMap.
    pub snapshot: Mount,
    /// Its mounted Secret.
    pub keys: Mount,
    folder: TempDir,
    child: Option<Child>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Mount {
    /// An empty one.
    ///
    /// # Errors
    /// The folder is there already, or cannot be made.
    pub fn new(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir(&folder)?;
        let mount = Self {
            folder,
            swaps: AtomicU64::new(0),
        };
        mount.try_swap(&BTreeMap::<String, Vec<u8>>::new())?;
        Ok(mount)
    }

    /// Replaces what is in it: a new folder, then the link `..data` moved over.
    ///
    /// # Panics
    /// Where that cannot be done.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn swap(&self, files: &BTreeMap<String, impl AsRef<[u8]>>) {
        self.try_swap(files).expect("a swap");
    }

    fn try_swap(&self, files: &BTreeMap<String, impl AsRef<[u8]>>) -> anyhow::Result<()> {
        let target = format!("..{}", self.swaps.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir(self.folder.join(&target))?;
        for (name, bytes) in files {
            std::fs::write(self.folder.join(&target).join(name), bytes)?;
        }
        symlink(&target, self.folder.join("..data_tmp"))?;
        std::fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))?;
        Ok(())
    }
}

impl Sidecar {
    /// Makes the folders of a sidecar that is not started yet.
    ///
    /// # Panics
    /// Where that cannot be done.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let mount = |name| Mount::new(folder.path().join(name)).expect("a mount");
        let flag = |name: &str, value: String| format!("--{name}={value}");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let flags = vec![
            flag("namespace", NAMESPACE.to_owned()),
            flag("listen", "127.0.0.1:0".to_owned()),
            flag("admin", "127.0.0.1:0".to_owned()),
            flag("snapshot-dir", path("snapshot")),
            flag("keys-dir", path("keys")),
            flag("ports-file", path("ports.json")),
            flag("mount-look", "20ms".to_owned()),
            flag("log-format", "text".to_owned()),
            flag("log-level", "debug".to_owned()),
        ];
        Self {
            data: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            snapshot: mount("snapshot"),
            keys: mount("keys"),
            folder,
            child: None,
            flags,
            environment: Vec::new(),
        }
    }

    /// Another flag.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.flags.push(format!("--{name}={value}"));
        self
    }

    /// Another environment variable.
    #[must_use]
    pub fn within(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The flags and files for an API server behind `address`, with times that a test can wait for.
    ///
    /// # Panics
    /// Where the files cannot be written.
    #[must_use]
    pub fn watching(self, server: &ApiServer, address: SocketAddr) -> Self {
        self.watching_at(&format!("https://{address}"), &server.ca_pem, ApiServer::TOKEN)
            .with("api-ping", "200ms")
            .with("api-step", "2s")
    }

    /// The flags and files for the API server at `url`, certified by `ca_pem`.
    ///
    /// # Panics
    /// Where the files cannot be written.
    #[must_use]
    pub fn watching_at(self, url: &str, ca_pem: &str, token: &str) -> Self {
        self.credentials(ca_pem, token);
        let folder = self.folder.path().join("token").display().to_string();
        self.with("api-server", url).with("api-token-dir", &folder)
    }

    /// Writes what it shows the API server, or replaces it while it runs.
    ///
    /// # Panics
    /// Where the files cannot be written.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn credentials(&self, ca_pem: &str, token: &str) {
        let folder = self.folder.path().join("token");
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in [("ca.crt", ca_pem), ("token", &format!("{token}\n"))] {
            let beside = folder.join(format!("{name}.next"));
            std::fs::write(&beside, text).expect("a file");
            std::fs::rename(beside, folder.join(name)).expect("a file");
        }
    }

    /// Mounts a document and its keys.
    #[must_use]
    pub fn mounted(self, published: &Published, generation: u64) -> Self {
        self.keys.swap(&published.secret());
        self.snapshot.swap(&published.data(generation));
        self
    }

    /// Starts the process, or starts it again.
    ///
    /// # Panics
    /// Where it does not start.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start(mut self) -> Self {
        self.try_start().await.expect("a sidecar");
        self
    }

    async fn try_start(&mut self) -> anyhow::Result<()> {
        if let Some(mut before) = self.child.take() {
            before.kill().await?;
        }
        let ports = self.folder.path().join("ports.json");
        let _ = std::fs::remove_file(&ports);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let child = tokio::process::Command::new(binary("outrigger-proxy")?)
            .args(&self.flags)
            // What a test's own machine has set is not this pod's.
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.child = Some(child);
        let opened = tokio::time::timeout(START, self.opened(&ports)).await;
        let Ok(Ok(ports)) = opened else {
            bail!("the sidecar did not start:\n{}", self.log())
        };
        for (name, address) in [("data", &mut self.data), ("admin", &mut self.admin)] {
            let port = ports.get(name).and_then(Value::as_u64).context("a port")?;
            address.set_port(u16::try_from(port)?);
        }
        Ok(())
    }

    async fn opened(&mut self, ports: &Path) -> anyhow::Result<Value> {
        loop {
            if let Ok(text) = std::fs::read(ports) {
                return Ok(serde_json::from_slice(&text)?);
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()) {
                bail!("ended with {}", status?);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has read so many states of its mounts, the first two at its start.
    ///
    /// # Panics
    /// After a minute.
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    pub async fn read(&self, states: usize) {
        for _ in 0..6_000 {
            if self.log().matches("a mount is read").count() >= states {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("its mounts were never read:\n{}", self.log());
    }

    /// Its process id; 0 where it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or(0)
    }

    /// Asks it to end, as a kubelet does, and returns whether the end was a good one.
    ///
    /// # Panics
    /// Where the signal cannot be sent.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn ended(&mut self) -> bool {
        let pid = self.pid().to_string();
        let status = tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(status.expect("kill").success());
        match &mut self.child {
            Some(child) => child.wait().await.is_ok_and(|status| status.success()),
            None => false,
        }
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends JSON to a path on a connection of its own.
    ///
    /// # Panics
    /// Where the connection breaks before an answer.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let mut connection = Connection::open(self.data).await.expect("a connection");
        connection.send(post(path, body)).await.expect("an answer")
    }

    /// A page of the admin port.
    ///
    /// # Panics
    /// Where nobody listens.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn page(&self, path: &str) -> Answer {
        let mut connection = Connection::open(self.admin).await.expect("the admin port");
        connection.send(request(Method::GET, path, Bytes::new())).await.expect("an answer")
    }

    /// Asks for the metrics until a line says so.
    ///
    /// # Panics
    /// After a minute.
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    pub async fn until(&self, line: &str) {
        let mut last = String::new();
        for _ in 0..6_000 {
            last = self.page("/metrics").await.text();
            if last.lines().any(|known| known == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let lines: Vec<_> = last.lines().filter(|known| known.contains("snapshot")).collect();
        panic!("never {line}; instead\n{}\n{}", lines.join("\n"), self.log());
    }

    /// Waits until this generation is in force.
    ///
    /// # Panics
    /// After a minute.
    pub async fn generation(&self, number: u64) {
        self.until(&format!("outrigger_snapshot_generation {number}")).await;
    }

    /// Waits until so many documents were refused for this reason.
    ///
    /// # Panics
    /// After a minute.
    pub async fn rejected(&self, reason: &str, times: u64) {
        self.until(&format!("outrigger_snapshot_rejected_total{{reason=\"{reason}\"}} {times}"))
            .await;
    }
}

impl Default for Sidecar {
    fn default() -> Self {
        Self::new()
    }
}
