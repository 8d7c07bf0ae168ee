//! What ends a cluster: a shell that waits for its input to close, which happens when we let go or when our process ends, however it ends;
//! then it kills the processes of the cluster and removes their folder. It must never end a process that is not the cluster's.

use crate::node;
use anyhow::{Context, Result};
use std::{
    fs::File,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// The processes of a cluster are one process group. Its first member does nothing but live as long as we do: the group's number is that
/// process's, so it cannot be taken by strangers while we are here.
#[derive(Debug)]
pub(crate) struct Guard {
    leader: Child,
    shell: Child,
}

/// A line on its input dismisses the shell: what runs goes on without us.
const SCRIPT: &str = r#"read -r _ && exit; kill -s KILL -- "-$0" 2>/dev/null"#;

/// Where something of a node stays, the script has ended before.
const REMOVE: &str = r#"rm -rf -- "$1""#;

impl Guard {
    /// Guards the folder, which is there already.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        Self::start(folder, Stdio::null(), &[SCRIPT, REMOVE].join("\n"))
    }

    /// Guards the folder and this host's node, of which `lock` is the handle: it is ours until the node is gone.
    pub(crate) fn of_node(folder: &Path, lock: File) -> Result<Self> {
        Self::start(folder, lock.into(), &[SCRIPT, node::CLEAN, REMOVE].join("\n"))
    }

    fn start(folder: &Path, output: Stdio, script: &str) -> Result<Self> {
        // Both in groups of their own: an interruption from a terminal, or the end of the test program's group, must not reach them first.
        let leader = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cat does not start")?;
        let shell = Command::new("sh")
            .args(["-c", script, &leader.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(output)
            .process_group(0)
            .spawn()
            .context("sh does not start")?;
        Ok(Self { leader, shell })
    }

    /// Starts a process that ends with us.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        let name = command.get_program().display().to_string();
        let group = i32::try_from(self.leader.id())?;
        command
            .process_group(group)
            .spawn()
            .with_context(|| format!("{name} does not start"))
    }

    /// From now on nobody ends the processes but whoever finds them by their folder.
    pub(crate) fn dismiss(mut self) -> Result<()> {
        self.shell.stdin.take().context("the guard has no input")?.write_all(b"\n")?;
        self.shell.wait()?;
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
        // Closed only now, so that the group still had its leader when it was killed.
        drop(self.leader.stdin.take());
        let _ = self.leader.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        env, fs,
        io::{BufRead as _, BufReader},
        os::unix::process::ExitStatusExt as _,
        thread,
        time::{Duration, Instant},
    };

    fn sleep() -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null());
        command
    }

    #[test]
    fn whoever_lets_go_leaves_neither_processes_nor_files() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("file"), "x").unwrap();
        let guard = Guard::new(&data).unwrap();
        let mut children = [guard.spawn(&mut sleep()).unwrap(), guard.spawn(&mut sleep()).unwrap()];
        drop(guard);
        for child in &mut children {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        assert!(!data.exists());
        assert!(folder.path().exists());
    }

    /// The test program starts itself again, as the owner that is killed.
    #[test]
    fn a_killed_owner_leaves_neither_processes_nor_files() {
        const FOLDER: &str = "OUTRIGGER_TEST_GUARDED_FOLDER";
        if let Some(folder) = env::var_os(FOLDER) {
            let guard = Guard::new(Path::new(&folder)).unwrap();
            println!("guarded {}", guard.spawn(&mut sleep()).unwrap().id());
            loop {
                thread::park();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let name = "guard::tests::a_killed_owner_leaves_neither_processes_nor_files";
        let mut owner = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(FOLDER, &data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
        let guarded = lines.find_map(|line| Some(line.split_once("guarded ")?.1.to_owned())).unwrap();
        assert!(alive(&guarded));

        owner.kill().unwrap();
        owner.wait().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while alive(&guarded) || data.exists() {
            assert!(Instant::now() < deadline, "something is left");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A killed process may wait to be collected by its new parent: that is ended, too.
    fn alive(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !(stat.is_empty() || stat.contains(") Z "))
    }

    #[test]
    fn a_stopped_process_ends_too() {
        let folder = tempfile::tempdir().unwrap();
        let guard = Guard::new(&folder.path().join("data")).unwrap();
        let mut child = guard.spawn(&mut sleep()).unwrap();
        crate::signal::send(&child, crate::signal::Signal::STOP).unwrap();
        drop(guard);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_dismissed_guard_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let guard = Guard::new(folder.path()).unwrap();
        let mut child = guard.spawn(&mut sleep()).unwrap();
        guard.dismiss().unwrap();
        assert!(child.try_wait().unwrap().is_none() && folder.path().exists());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
