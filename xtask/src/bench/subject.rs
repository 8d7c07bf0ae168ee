//! What is measured: the sidecar as it runs in a pod, on mounts with routing of the size that a team has. It must never switch a feature
//! off: the figures are those of the defaults.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use outrigger_tests::{Mount, published};

use super::rig::root;

/// Builds `arguments` of the workspace with `profile`; where its binary `name` is.
///
/// # Errors
/// cargo fails; what it says goes to standard error.
pub(crate) fn build(profile: &str, name: &str, arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let output = Command::new("cargo")
        .args([
            "build",
            "--locked",
            "--message-format",
            "json-render-diagnostics",
            "--profile",
            profile,
            "--bin",
            name,
        ])
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo could not build {name}");
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?)).filter(|path| path.file_stem() == Path::new(name).file_name())
    });
    executable.with_context(|| format!("cargo did not say where {name} is"))
}

/// Writes into `folder` what the kubelet mounts: the folders of the snapshot and of the keys, with `upstream` as the one provider.
pub(crate) fn mounts(upstream: SocketAddr, folder: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let published = published(&[include_str!("objects.yaml").replace("127.0.0.1:1", &upstream.to_string())]);
    let [snapshot, keys] = ["snapshot", "keys"].map(|name| folder.join(name));
    fill(&snapshot, &published.data(1))?;
    fill(&keys, &published.secret())?;
    Ok([snapshot, keys])
}

fn fill(folder: &Path, files: &BTreeMap<String, impl AsRef<[u8]>>) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Mount::new(folder.to_owned())?.swap(files);
    Ok(())
}
