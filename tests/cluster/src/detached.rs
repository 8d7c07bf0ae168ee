//! A cluster that outlives who started it, for a person to look around in: `cargo xtask cluster`. One folder, one cluster. It must never
//! end a process by a number that was written down earlier: processes are found by the folder in their arguments.

use crate::{
    cluster::{Cluster, Options},
    configuration::ADMIN,
    node::host,
    programs::Programs,
    run::run,
};
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File},
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How long killed processes may take to be gone.
const END: Duration = Duration::from_secs(30);

/// A cluster that runs by itself.
#[derive(Debug)]
pub struct Running {
    /// What it runs with.
    pub programs: Programs,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Where it keeps its logs and data.
    pub folder: PathBuf,
    /// Whether it ran before.
    pub already: bool,
}

/// Starts a cluster in `folder` and leaves it running. One that serves there already is left as it is; the remains of one that does not are
/// removed first.
///
/// # Errors
/// There are no programs, or it does not start: then nothing is left.
pub fn up(folder: &Path, node: bool, say: &dyn Fn(&str)) -> Result<Running> {
    let programs = Programs::find_or_build(say)?;
    let (folder, _lock) = lock(folder)?;
    let kubeconfig = folder.join(ADMIN);
    let running = |already| Running {
        programs: programs.clone(),
        kubeconfig: kubeconfig.clone(),
        folder: folder.clone(),
        already,
    };
    if serves(&programs, &folder, &kubeconfig) {
        if node && !runs(&folder) {
            bail!("a cluster without a node runs already: end it with `cargo xtask cluster down`");
        }
        return Ok(running(true));
    }
    end(&folder)?;
    // The administrator's key lies in it.
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .with_context(|| folder.display().to_string())?;
    say("starting etcd, kube-apiserver and kube-controller-manager");
    let options = Options {
        node,
        ..Options::default()
    };
    Cluster::start_in(&folder, programs.clone(), &options, say)?.leave()?;
    Ok(running(false))
}

/// Ends what [`up`] left running in `folder` and removes the folder. Says whether there was something.
///
/// # Errors
/// Something of it stays.
pub fn down(folder: &Path) -> Result<bool> {
    let (folder, _lock) = lock(folder)?;
    end(&folder)
}

/// The folder's full path, and a lock against another `up` or `down`.
fn lock(folder: &Path) -> Result<(PathBuf, File)> {
    let folder = std::path::absolute(folder)?;
    let parent = folder.parent().context("a folder without a parent")?;
    fs::create_dir_all(parent)?;
    // Without links, as it stands in the arguments of the processes.
    let folder = parent.canonicalize()?.join(folder.file_name().context("a folder without a name")?);
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    Ok((folder, lock))
}

fn serves(programs: &Programs, folder: &Path, kubeconfig: &Path) -> bool {
    let complete = PROGRAMS.len() == processes(folder, &PROGRAMS).len();
    let mut command = Command::new(&programs.kubectl);
    command
        .args(["get", "--raw=/readyz", "--request-timeout=5s"])
        .env("KUBECONFIG", kubeconfig);
    complete && run(&mut command).is_ok()
}

/// Ends a cluster with a node whose owner is gone; one that was left running on purpose stays.
pub(crate) fn make_way(folder: &Path) -> Result<()> {
    if runs(folder) && folder.join(LEFT).exists() {
        bail!(
            "this host's one node belongs to the cluster in {}, which was left running: end it with `cargo xtask cluster down`",
            folder.display()
        );
    }
    end(folder).map(drop)
}

fn end(folder: &Path) -> Result<bool> {
    let started = Instant::now();
    let was_there = folder.exists();
    if runs(folder) || folder.join("sysctls").exists() {
        host::clean(folder)?;
    }
    loop {
        let processes = processes(folder, &PROGRAMS);
        if processes.is_empty() {
            break;
        }
        if started.elapsed() > END {
            bail!("processes that do not end: {processes:?}");
        }
        for process in processes {
            // One that ended meanwhile is no error.
            let _ = kill_process(process, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
    if was_there {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(was_there)
}

/// The file that says that nobody owns the cluster.
pub(crate) const LEFT: &str = "left-running";

const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// Whether the cluster in `folder` has a node that runs.
fn runs(folder: &Path) -> bool {
    !processes(folder, &["kubelet"]).is_empty()
}

/// The processes of the cluster in `folder`. A zombie has no arguments and so is none of them.
fn processes(folder: &Path, programs: &[&str]) -> Vec<Pid> {
    let mut below = folder.as_os_str().as_bytes().to_vec();
    below.push(b'/');
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut arguments = line.split(|byte| *byte == 0);
        let program = Path::new(OsStr::from_bytes(arguments.next()?)).file_name()?.to_str()?;
        let ours = programs.contains(&program) && arguments.any(|argument| value_of(argument).starts_with(&below));
        ours.then(|| Pid::from_raw(number)).flatten()
    });
    found.collect()
}

/// What follows the `=` of a flag.
fn value_of(argument: &[u8]) -> &[u8] {
    argument.splitn(2, |byte| *byte == b'=').nth(1).unwrap_or_default()
}
