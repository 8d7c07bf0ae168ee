//! Reads what the kernel counts about the measured process. It must never estimate: what cannot be read is an error.

use std::fs;
use std::time::Instant;

use anyhow::Context as _;

/// The clock of every latency and window.
#[expect(clippy::disallowed_methods, reason = "a measuring tool's one look at the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Of all live threads of a process since their start, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scheduled {
    /// On a CPU.
    pub(crate) ran_ns: u64,
    /// Ready, while something else had the CPU.
    pub(crate) waited_ns: u64,
}

/// What the scheduler counts for `pid`.
pub(crate) fn scheduled(pid: u32) -> anyhow::Result<Scheduled> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    let mut total = Scheduled::default();
    for task in tasks {
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue; // the thread ended since it was listed
        };
        let mut fields = text.split_whitespace().map_while(|field| field.parse::<u64>().ok());
        total.ran_ns += fields.next().context("schedstat is not as documented")?;
        total.waited_ns += fields.next().context("schedstat is not as documented")?;
    }
    anyhow::ensure!(total.ran_ns > 0, "the kernel counts no CPU time in /proc/{pid}/task/*/schedstat");
    Ok(total)
}

/// Resident size and its high-water mark of `pid`, in KiB.
pub(crate) fn memory_kib(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .with_context(|| format!("no {name} in its status"))?;
        line.split_whitespace()
            .next()
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("{name} is not a number"))
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}
