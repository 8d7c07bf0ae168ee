//! The build with Go: one module at a time, once for each version, under a lock, with progress in packages. It must never leave half a
//! program under its final name.

use crate::programs::{Pinned, numbers};
use anyhow::{Context, Result, bail};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How often progress is told.
const PACE: Duration = Duration::from_secs(10);

/// How much of what Go said goes into an error.
const LAST_LINES: usize = 20;

/// Whether a Go of at least `least` is there; if not, why.
pub(crate) fn check(least: &str) -> Result<(), String> {
    let output = Command::new("go")
        .arg("version")
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Err(format!("no Go {least} to build it with"));
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let (found, wanted) = (numbers(&said), numbers(least));
    if found < wanted {
        let found = found.map_or_else(|| "unknown".to_owned(), |(major, minor)| format!("{major}.{minor}"));
        return Err(format!("Go is {found}, {least} is needed to build it"));
    }
    Ok(())
}

/// Builds the programs of a module that the folder `home` lacks. Whoever comes while another build runs waits and finds its result.
pub(crate) fn build(pinned: &Pinned, home: &Path, say: &dyn Fn(&str)) -> Result<()> {
    fs::create_dir_all(home).with_context(|| home.display().to_string())?;
    let lock = File::create(home.join("lock"))?;
    if lock.try_lock().is_err() {
        say(&format!("{}: another process builds it; waiting", pinned.label()));
        lock.lock()?;
    }
    for (program, package) in pinned.module.programs {
        let place = home.join(program);
        if place.is_file() {
            continue;
        }
        let draft = home.join(format!("{program}.draft"));
        compile(pinned, program, package, &draft, say)?;
        fs::rename(&draft, &place).with_context(|| place.display().to_string())?;
    }
    Ok(())
}

fn compile(pinned: &Pinned, program: &str, package: &str, draft: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let label = format!("{program} {}", pinned.version);
    say(&format!("{label}: built with Go, once for this host"));
    let started = Instant::now();
    let total = count(pinned, package)?;
    let mut child = go(pinned)
        .args(["build", "-v", "-trimpath", "-ldflags", &pinned.linker_flags(), "-o"])
        .args([draft.as_os_str(), package.as_ref()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.stderr.take().context("Go has no output")?;
    let (mut done, mut told) = (0_usize, started);
    let mut last = VecDeque::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        // With -v each compiled package is one line, without a space. What the build cache has is none, so this may end early.
        done += usize::from(!line.contains(' '));
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
        if told.elapsed() > PACE {
            told = Instant::now();
            say(&format!(
                "{label}: {done} of {total} packages after {} s",
                started.elapsed().as_secs()
            ));
        }
    }
    if !child.wait()?.success() {
        bail!("{label} cannot be built:\n{}", Vec::from(last).join("\n"));
    }
    say(&format!("{label}: done after {} s", started.elapsed().as_secs()));
    Ok(())
}

/// How many packages there are to compile from nothing. It downloads what is not there yet.
fn count(pinned: &Pinned, package: &str) -> Result<usize> {
    let output = go(pinned).args(["list", "-deps", package]).output()?;
    if !output.status.success() {
        bail!("{}: {}", pinned.label(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().count())
}

fn go(pinned: &Pinned) -> Command {
    let mut command = Command::new("go");
    command.current_dir(&pinned.source).stdin(Stdio::null());
    // Nothing of the host's own settings but the proxy and the caches: the pins say all that is built.
    command.envs([
        ("GOTOOLCHAIN", "local"),
        ("GOWORK", "off"),
        ("GOFLAGS", "-mod=readonly -buildvcs=false"),
        ("CGO_ENABLED", "0"),
    ]);
    command
}
