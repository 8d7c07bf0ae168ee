//! Decides when a started proxy ends: with the process that asked for it, however that one ends. It must never outlive its child.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;

/// Starts `command` (program first), prints its process id, and returns when it ended by itself or standard input closed.
pub(crate) fn run(command: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    writeln!(io::stdout(), "{}", child.id())?;

    // Whichever comes first: our parent's end of the pipe closes, or the child's output does.
    let (over, wait) = mpsc::channel();
    let child_over = over.clone();
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = over.send(());
    });
    if let Some(mut output) = child.stdout.take() {
        thread::spawn(move || {
            let _ = io::copy(&mut output, &mut io::stderr());
            let _ = child_over.send(());
        });
    }
    let _ = wait.recv();
    // An error here means that it is gone already.
    let _ = child.kill();
    child.wait()?;
    Ok(())
}
