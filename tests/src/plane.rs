//! A running `outrigger dev`.

use crate::client::{Answer, Connection};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::Child;

/// How long a process may take to open its ports.
pub(crate) const START: Duration = Duration::from_mins(1);

/// A data plane process with its folder of manifests. Dropping it ends the process.
#[derive(Debug)]
pub struct Plane {
    /// Where applications connect.
    pub data: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Plane {
    /// Starts a data plane on `manifests` with the default flags.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(manifests: &[String]) -> Self {
        Self::start_with(manifests, &[]).await
    }

    /// As [`start`](Self::start), with more flags.
    ///
    /// # Panics
    /// Where it does not start.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start_with(manifests: &[String], flags: &[&str]) -> Self {
        Self::try_start(manifests, flags, &[]).await.expect("a data plane")
    }

    /// As [`start_with`](Self::start_with), with more environment variables.
    ///
    /// # Panics
    /// Where it does not start.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn start_in(manifests: &[String], flags: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::try_start(manifests, flags, environment).await.expect("a data plane")
    }

    /// As [`start_in`](Self::start_in), for those who can go on without it.
    ///
    /// # Errors
    /// Where it does not start, with what it logged.
    pub async fn try_start(manifests: &[String], flags: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        std::fs::create_dir(folder.path().join("routes"))?;
        write(&folder.path().join("routes"), manifests)?;
        let ports = folder.path().join("ports.json");
        let log = std::fs::File::create(folder.path().join("log"))?;
        let child = tokio::process::Command::new(binary("outrigger")?)
            .args(["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "-f"])
            .arg(folder.path().join("routes"))
            .arg("--ports-file")
            .arg(&ports)
            .args(flags)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut plane = Self {
            data: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            folder,
            child,
        };
        let opened = tokio::time::timeout(START, plane.opened(&ports)).await;
        let Ok(Ok(ports)) = opened else {
            bail!("the data plane did not start:\n{}", plane.log())
        };
        for (name, address) in [("data", &mut plane.data), ("admin", &mut plane.admin)] {
            let port = ports.get(name).and_then(Value::as_u64).context("a port")?;
            address.set_port(u16::try_from(port)?);
        }
        Ok(plane)
    }

    /// Waits for the ports file; there is no other sign of life to wait for.
    async fn opened(&mut self, ports: &Path) -> anyhow::Result<Value> {
        loop {
            if let Ok(text) = std::fs::read(ports)
                && let Ok(ports) = serde_json::from_slice(&text)
            {
                return Ok(ports);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended with {status}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The folder of its manifests.
    pub fn routes(&self) -> PathBuf {
        self.folder.path().join("routes")
    }

    /// Replaces its manifests; it reloads by itself.
    ///
    /// # Panics
    /// Where they cannot be written.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn rewrite(&self, manifests: &[String]) {
        write(&self.routes(), manifests).expect("manifests");
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Asks it to end, as a kubelet does.
    ///
    /// # Panics
    /// Where the signal cannot be sent.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .expect("kill");
        assert!(status.success());
    }

    /// Waits for its end and returns whether it was a good one.
    pub async fn ended(&mut self) -> bool {
        self.child.wait().await.is_ok_and(|status| status.success())
    }

    /// A connection to its data port.
    ///
    /// # Panics
    /// Where nobody listens.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn connect(&self) -> Connection {
        Connection::open(self.data).await.expect("a connection")
    }

    /// Sends JSON to a path on a connection of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, body)).await
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Panics
    /// Where the connection breaks before an answer.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.connect().await.send(request).await.expect("an answer")
    }

    /// A page of the admin port.
    ///
    /// # Panics
    /// Where nobody listens.
    #[expect(clippy::expect_used, reason = "a test cannot go on without it")]
    pub async fn admin(&self, path: &str) -> Answer {
        let mut connection = Connection::open(self.admin).await.expect("the admin port");
        connection.send(request(Method::GET, path, Bytes::new())).await.expect("an answer")
    }

    /// Asks the admin port until `done` says yes of the page, for what happens a moment after an answer.
    ///
    /// # Panics
    /// After a minute.
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    pub async fn admin_until(&self, path: &str, done: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..6_000 {
            let answer = self.admin(path).await;
            if done(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} never came to what was expected");
    }
}

/// A POST of JSON.
pub fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    request(Method::POST, path, body.to_string().into())
}

/// A request with a JSON content type and the headers that every SDK sends.
///
/// # Panics
/// Where `path` is none.
#[expect(clippy::expect_used, reason = "constants of a test")]
pub fn request(method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("authorization", "Bearer sk-outrigger")
        .body(Full::new(body))
        .expect("a request")
}

/// Writes manifests the way editors and kubelets do: beside, then moved into place.
fn write(folder: &Path, manifests: &[String]) -> anyhow::Result<()> {
    let beside = folder.with_extension("next");
    std::fs::write(&beside, manifests.join("\n---\n"))?;
    std::fs::rename(&beside, folder.join("all.yaml"))?;
    Ok(())
}

/// A binary beside the running program, or one folder up where that is a test; `cargo xtask` builds them first.
///
/// # Errors
/// Where it is not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let running = std::env::current_exe()?;
    let folders = running.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|binary| binary.is_file());
    found.with_context(|| {
        format!(
            "{name} is not built beside {}: run `cargo build -p {name}` first, or `cargo xtask test process`",
            running.display()
        )
    })
}
