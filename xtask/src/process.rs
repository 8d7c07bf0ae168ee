//! Runs one command at a time with its output in a file, in a process group of its own, so that whatever it started ends with it: after
//! the command, at its time limit, and when somebody interrupts us. It must never leave a process behind.

use anyhow::{Context, Result};
use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitStatus, Stdio, exit},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The process group that runs now.
static RUNNING: Mutex<Option<u32>> = Mutex::new(None);

/// How a command ended.
pub(crate) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// By us, after its time limit.
    TimedOut(Duration),
}

impl End {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }
}

/// Runs `command` to its end with both outputs in the file `log`; calls `tick` a few times a second meanwhile.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration, tick: &mut dyn FnMut()) -> Result<End> {
    let output = File::create(log).with_context(|| log.display().to_string())?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    let started = Instant::now();
    let mut child = {
        // The lock spans the start, so that an interruption sees either no process or its group.
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command
            .spawn()
            .with_context(|| format!("{} does not start", command.get_program().display()))?;
        *running = Some(child.id());
        child
    };
    let end = loop {
        if let Some(status) = child.try_wait()? {
            break End::Exited(status);
        }
        if started.elapsed() > limit {
            break End::TimedOut(limit);
        }
        tick();
        thread::sleep(Duration::from_millis(50));
    };
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    kill_group(child.id());
    *running = None;
    child.wait()?;
    Ok(end)
}

/// From now on an interruption ends the running command and everything that it started, then us.
pub(crate) fn end_with_us() {
    thread::spawn(|| {
        if wait_for_interruption().is_err() {
            return;
        }
        // Not released again: nothing starts any more.
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = *running {
            kill_group(group);
        }
        stop();
    });
}

fn wait_for_interruption() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    })
}

#[expect(clippy::exit, reason = "an interruption ends the program from a thread beside the one that works")]
fn stop() {
    exit(130);
}

/// Ends every process of a group; a group without processes is no error. The shell's own `kill` is there where the program `kill` is not.
fn kill_group(group: u32) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s KILL -- \"-$0\" 2>/dev/null", &group.to_string()])
        .stdin(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("outrigger-xtask-{name}-{}.log", std::process::id()))
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// One test, because the running group is one for the whole program.
    #[test]
    fn a_command_ends_with_everything_that_it_started() {
        let log = log("group");
        let end = run(&mut shell("sleep 1000 & echo $!"), &log, Duration::from_mins(1), &mut || {}).unwrap();
        assert!(end.is_success());
        assert_ended(&fs::read_to_string(&log).unwrap());

        let end = run(
            &mut shell("sleep 1000 & echo $!; wait"),
            &log,
            Duration::from_millis(200),
            &mut || {},
        )
        .unwrap();
        assert!(matches!(end, End::TimedOut(_)));
        assert_ended(&fs::read_to_string(&log).unwrap());

        let end = run(
            &mut shell("echo out; echo err >&2; exit 3"),
            &log,
            Duration::from_mins(1),
            &mut || {},
        )
        .unwrap();
        assert!(!end.is_success());
        assert_eq!(fs::read_to_string(&log).unwrap(), "out\nerr\n");
        let _ = fs::remove_file(log);
    }

    /// A killed process may still be on its way, or wait to be collected by its new parent: that is ended, too.
    fn assert_ended(pid: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let stat = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        while !(stat().is_empty() || stat().contains(") Z ")) {
            assert!(Instant::now() < deadline, "{}", stat());
            thread::yield_now();
        }
    }
}
