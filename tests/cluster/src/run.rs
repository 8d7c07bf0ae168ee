//! Runs a program to its end. What it says on its error output must never be lost when it fails.

use anyhow::{Context as _, Result, bail};
use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

/// What `command` prints.
///
/// # Errors
/// It does not start, or fails: then the error is what it said.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, "")
}

/// What `command` prints when it reads `input`.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} does not start"))?;
    let stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        // Beside the reading, so that neither side waits for the other. One that does not read its input to the end is no failure.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    })?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8(output.stdout)?)
}
