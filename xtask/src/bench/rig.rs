//! What the figures were taken on, and how its processes are started: pinned where `taskset` is there, counted where `perf` can.
//! It must never hide that a run was not pinned or not counted.

use std::ffi::{OsStr, OsString};
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
    /// The CPUs of the proxy and of load with upstream; absent: not pinned.
    pub(crate) pinned: Option<[usize; 2]>,
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
        Self {
            cpu: cpu.to_owned(),
            cores,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            profile: profile.to_owned(),
            commit: commit(),
            pinned: pinned(),
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
        let pinned = match self.pinned {
            Some([proxy, peers]) => format!("proxy on core {proxy}, peers on core {peers}"),
            None => "NOT pinned (no `taskset`, or only one core)".to_owned(),
        };
        let counted = if self.counts_instructions {
            ""
        } else {
            ", instructions not counted here"
        };
        format!("{cpu}, {cores} cores, Linux {kernel}, profile {profile}, commit {commit}, {pinned}, load average {load_average}{counted}")
    }

    /// A command that runs `program` on its core with as many open files as the system allows.
    pub(crate) fn command(&self, core: Core, program: &OsStr) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some([proxy, peers]) = self.pinned {
            let core = if core == Core::Proxy { proxy } else { peers };
            words.extend(["taskset".into(), "-c".into(), core.to_string().into()]);
        }
        // 3,000 streams are 6,000 sockets of the proxy; the usual soft limit is 1,024.
        words.extend(["sh", "-c", r#"ulimit -n "$(ulimit -H -n)"; exec "$@""#, "sh"].map(OsString::from));
        words.push(program.to_owned());
        words
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

/// The first two CPUs that this process may use, if `taskset` is there.
fn pinned() -> Option<[usize; 2]> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let both = first_two(allowed.trim())?;
    both.iter()
        .all(|core| output("taskset", &["-c", &core.to_string(), "true"]).is_some())
        .then_some(both)
}

/// Of a list like `0-3,8`.
fn first_two(list: &str) -> Option<[usize; 2]> {
    let ranges = list.split(',').filter_map(|range| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        Some(low.parse::<usize>().ok()?..=high.parse().ok()?)
    });
    let mut cores = ranges.flatten();
    Some([cores.next()?, cores.next()?])
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
    use super::{first_two, instructions};

    #[test]
    fn a_counted_report_gives_its_count() {
        let report = "# started on a day\n\n72345678,,instructions,1203045,100.00,,\n";
        assert_eq!(instructions(report), Some(72_345_678));
        assert_eq!(instructions("123,,instructions:u,1,100.00,,"), Some(123));
    }

    #[test]
    fn the_first_two_cores_are_found_in_any_list() {
        assert_eq!(first_two("0-3"), Some([0, 1]));
        assert_eq!(first_two("2,5-7"), Some([2, 5]));
        assert_eq!(first_two("4"), None);
    }

    #[test]
    fn a_machine_that_does_not_count_gives_none() {
        assert_eq!(instructions("<not supported>,,instructions,0,100.00,,"), None);
        assert_eq!(instructions(""), None);
    }
}
