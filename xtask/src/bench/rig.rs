//! What the figures were taken on, and how its processes are started: pinned where `taskset` is there, counted where `perf` can.
//! It must never hide that a run was not pinned or not counted.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Serialize;

/// The machine, the tools that it has, and the build.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rig {
    /// As `/proc/cpuinfo` names it.
    pub(crate) cpu: String,
    /// CPUs that this process may use.
    pub(crate) cores: usize,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Cargo profile of floor, load and, unless given as a binary, subject.
    pub(crate) profile: String,
    /// Commit, with `+` if files differ from it.
    pub(crate) commit: String,
    /// Is the proxy on core 0, load and upstream on core 1?
    pub(crate) pinned: bool,
    /// Does `perf` count instructions here?
    pub(crate) counts_instructions: bool,
    /// One-minute load average before the first run: over 0.2 the figures are noisy.
    pub(crate) load_average: f64,
}

/// Which side of the rig a process is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// The measured proxy.
    Proxy,
    /// Load and scripted upstream.
    Peers,
}

impl Rig {
    /// Looks at the machine.
    pub(crate) fn look(profile: &str) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("", |name| name.trim_start_matches([' ', '\t', ':']));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let works = |program: &str, arguments: &[&str]| output(program, arguments).is_some();
        Self {
            cpu: cpu.to_owned(),
            cores,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            profile: profile.to_owned(),
            commit: commit(),
            pinned: cores >= 2 && works("taskset", &["-c", "0", "true"]) && works("taskset", &["-c", "1", "true"]),
            counts_instructions: counts_instructions(),
            load_average: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| text.split_whitespace().next()?.parse().ok())
                .unwrap_or_default(),
        }
    }

    /// For people, in one line.
    pub(crate) fn line(&self) -> String {
        let Self {
            cpu,
            cores,
            kernel,
            profile,
            commit,
            load_average,
            ..
        } = self;
        let pinned = if self.pinned {
            "proxy on core 0, peers on core 1"
        } else {
            "NOT pinned (no `taskset`, or one core)"
        };
        let counted = if self.counts_instructions {
            ""
        } else {
            ", instructions not counted here"
        };
        format!("{cpu}, {cores} cores, Linux {kernel}, profile {profile}, commit {commit}, {pinned}, load average {load_average}{counted}")
    }

    /// A command that runs `program` on its core with as many open files as the system allows.
    pub(crate) fn command(&self, core: Core, program: &OsStr) -> Vec<std::ffi::OsString> {
        let mut words: Vec<&OsStr> = Vec::new();
        if self.pinned {
            words.extend(["taskset", "-c", if core == Core::Proxy { "0" } else { "1" }].map(OsStr::new));
        }
        // 3,000 streams are 6,000 sockets of the proxy; the usual soft limit is 1,024.
        words.extend(["sh", "-c", r#"ulimit -n "$(ulimit -H -n)"; exec "$@""#, "sh"].map(OsStr::new));
        words.push(program);
        words.into_iter().map(OsStr::to_owned).collect()
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

fn counts_instructions() -> bool {
    output("perf", &["stat", "-x,", "-e", "instructions", "-o", "/dev/stdout", "true"]).is_some_and(|text| instructions(&text).is_some())
}

/// The count in the output of `perf stat -x, -e instructions`.
pub(crate) fn instructions(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains(",instructions"))?;
    line.split(',').next()?.parse().ok()
}

fn commit() -> String {
    let Some(head) = output("git", &["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = output("git", &["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
    format!("{}{}", head.trim(), if changed { "+" } else { "" })
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::instructions;

    #[test]
    fn a_counted_report_gives_its_count() {
        let report = "# started on a day\n\n72345678,,instructions,1203045,100.00,,\n";
        assert_eq!(instructions(report), Some(72_345_678));
        assert_eq!(instructions("123,,instructions:u,1,100.00,,"), Some(123));
    }

    #[test]
    fn a_machine_that_does_not_count_gives_none() {
        assert_eq!(instructions("<not supported>,,instructions,0,100.00,,"), None);
        assert_eq!(instructions(""), None);
    }
}
