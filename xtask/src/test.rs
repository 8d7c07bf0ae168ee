//! `cargo xtask test`: every check and every suite, one line each, a table at the end. It must never call a run good in which something
//! did not run: what is missing is said, and under continuous integration it fails.

mod counts;
mod sdk;
mod terminal;

use crate::{codegen, image, process, tidy, workspace};
use anyhow::{Context, Result};
use clap::ValueEnum;
use counts::{Counts, Runner};
use outrigger_cluster::Programs;
use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};
use terminal::Terminal;

/// Longer than any step takes on two cores from nothing; a step that takes more hangs.
const STEP_LIMIT: Duration = Duration::from_mins(40);

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// All of them when none is named.
    #[arg(value_name = "SUITE")]
    suites: Vec<Suite>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Format, tidy, generated files, clippy.
    Lint,
    /// Unit, property and golden tests, and the examples in the documentation.
    Unit,
    /// Process tests over real sockets.
    Process,
    /// Tests against a real Kubernetes API server.
    Cluster,
    /// Both SDK suites.
    Sdk,
    /// The Python SDKs against a running data plane.
    Python,
    /// The Node SDKs against a running data plane.
    Node,
    /// Pods on a node of this host, which takes root: `cargo xtask e2e`.
    #[value(skip)]
    EndToEnd,
}

/// `cargo xtask e2e`.
pub(crate) fn end_to_end() -> Result<ExitCode> {
    run(&Args {
        suites: vec![Suite::EndToEnd],
    })
}

/// `cargo xtask run node`: the same cluster, with the images that ship.
pub(crate) fn figures_of_a_node(profile: &str) -> Result<ExitCode> {
    let binaries = image::build(profile)?;
    process::end_with_us();
    let mut session = Session::new()?;
    if session.binaries()? {
        let xtask = workspace::target().join("debug").join("xtask");
        session.end_to_end(&xtask, Some(&binaries))?;
    }
    Ok(session.finish())
}

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    Passed,
    Failed,
    /// With the reason.
    Skipped(String),
}

/// One line of the final table.
struct Done {
    name: &'static str,
    verdict: Verdict,
    counts: Counts,
    took: Duration,
}

/// A run of the suites.
struct Session {
    root: PathBuf,
    /// Where each step's output goes.
    logs: PathBuf,
    /// Where installed clients are kept.
    cache: PathBuf,
    terminal: Terminal,
    done: Vec<Done>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    process::end_with_us();
    let target = workspace::target();
    let mut session = Session::new()?;
    let wanted = |suites: &[Suite]| args.suites.is_empty() || args.suites.iter().any(|suite| suites.contains(suite));

    if wanted(&[Suite::Lint]) {
        session.cargo("format", &["fmt", "--all", "--", "--check", "--files-with-diff"], Runner::Check)?;
        session.own("tidy", tidy::report)?;
        session.own("generated files", codegen::report)?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
        session.cargo("clippy", &clippy, Runner::Check)?;
    }
    if wanted(&[Suite::Unit]) {
        let most = [
            "test",
            "--workspace",
            "--exclude",
            "outrigger-tests",
            "--exclude",
            "outrigger-cluster",
            "--locked",
            "--no-fail-fast",
        ];
        session.cargo("unit tests", &[&most[..], &["--lib", "--bins", "--tests"]].concat(), Runner::Cargo)?;
        session.cargo("doc tests", &[&most[..], &["--doc"]].concat(), Runner::Cargo)?;
    }
    let (process, cluster, python, node) = (
        wanted(&[Suite::Process]),
        wanted(&[Suite::Cluster]),
        wanted(&[Suite::Sdk, Suite::Python]),
        wanted(&[Suite::Sdk, Suite::Node]),
    );
    let end_to_end = args.suites.contains(&Suite::EndToEnd);
    if (process || cluster || python || node || end_to_end) && !session.binaries()? {
        session.terminal.note("the suites that need the binaries cannot run");
        return Ok(session.finish());
    }
    let binary = target.join("debug").join("outrigger");
    if process {
        let tests = ["test", "--package", "outrigger-tests", "--locked", "--no-fail-fast"];
        let mut command = workspace::cargo(&tests);
        session.step("process tests", command.env("OUTRIGGER_BIN", &binary), Runner::Cargo)?;
    }
    if cluster {
        session.cluster(&target.join("debug").join("xtask"))?;
    }
    if python {
        session.sdk("Python SDKs", sdk::Kind::Python, &binary)?;
    }
    if node {
        session.sdk("Node SDKs", sdk::Kind::Node, &binary)?;
    }
    if end_to_end {
        session.end_to_end(&target.join("debug").join("xtask"), None)?;
    }
    Ok(session.finish())
}

impl Session {
    fn new() -> Result<Self> {
        let root = workspace::root();
        let session = Self {
            logs: workspace::target().join("xtask-logs"),
            cache: env::var_os("OUTRIGGER_CACHE").map_or_else(|| root.join(".cache"), |folder| root.join(folder)),
            root,
            terminal: Terminal::new(),
            done: Vec::new(),
        };
        fs::create_dir_all(&session.logs).with_context(|| session.logs.display().to_string())?;
        Ok(session)
    }

    /// Builds all that suites run.
    fn binaries(&mut self) -> Result<bool> {
        self.cargo("binaries", &["build", "--workspace", "--bins", "--locked"], Runner::Preparation)
    }

    fn cargo(&mut self, name: &'static str, arguments: &[&str], runner: Runner) -> Result<bool> {
        self.step(name, &mut workspace::cargo(arguments), runner)
    }

    /// Runs a command as a step.
    fn step(&mut self, name: &'static str, command: &mut Command, runner: Runner) -> Result<bool> {
        let log = self.log(name);
        let started = Instant::now();
        self.terminal.begin(name);
        // Snapshots are compared, never written: neither here nor where somebody has set it otherwise.
        command.env("INSTA_UPDATE", "no").env_remove("INSTA_FORCE_PASS");
        let end = process::run(command, &log, STEP_LIMIT, &mut || self.terminal.tick(&log))?;
        let mut output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if let process::End::TimedOut(limit) = end {
            let _ = writeln!(output, "\nended after {} minutes without a result", limit.as_secs() / 60);
        }
        let counts = runner.counts(&output, end.is_success());
        let verdict = if end.is_success() && counts.failed == 0 {
            Verdict::Passed
        } else {
            Verdict::Failed
        };
        let details = match verdict {
            Verdict::Passed => runner.summary(&output, counts),
            Verdict::Failed | Verdict::Skipped(_) => output,
        };
        let passed = verdict == Verdict::Passed;
        self.end(name, verdict, counts, started.elapsed(), &details);
        Ok(passed)
    }

    /// Runs a check of our own as a step: its report says what is wrong, if anything is.
    fn own(&mut self, name: &'static str, check: fn(&Path) -> Result<Option<String>>) -> Result<()> {
        let started = Instant::now();
        self.terminal.begin(name);
        let report = check(&self.root)?;
        let verdict = if report.is_none() { Verdict::Passed } else { Verdict::Failed };
        let counts = Runner::Check.counts("", report.is_none());
        self.end(name, verdict, counts, started.elapsed(), &report.unwrap_or_default());
        Ok(())
    }

    /// Builds the cluster's programs where that is not done yet, then runs the suite.
    fn cluster(&mut self, xtask: &Path) -> Result<()> {
        const NAME: &str = "cluster tests";
        if let Err(missing) = Programs::check() {
            self.skip(NAME, missing.to_string());
            return Ok(());
        }
        // Not the program that runs now: the build of all binaries has replaced it.
        let mut build = Command::new(xtask);
        if self.step("cluster programs", build.args(["cluster", "build"]), Runner::Preparation)? {
            let tests = ["test", "--package", "outrigger-cluster", "--locked", "--no-fail-fast"];
            self.cargo(NAME, &tests, Runner::Cargo)?;
        }
        Ok(())
    }

    /// Builds the node's programs and installs the SDKs where that is not done yet, then runs pods: all tests, or the figures of what is in a folder.
    fn end_to_end(&mut self, xtask: &Path, figures: Option<&Path>) -> Result<()> {
        const NAME: &str = "end to end";
        const FIGURES: &str = "figures";
        if let Err(missing) = Programs::check().and_then(|()| outrigger_cluster::check_node()) {
            self.skip(NAME, missing.to_string());
            return Ok(());
        }
        let Some(clients) = self.clients(NAME, sdk::Kind::Python)? else {
            return Ok(());
        };
        let mut build = Command::new(xtask);
        if self.step("node programs", build.args(["cluster", "build", "--node"]), Runner::Preparation)? {
            let tests = ["test", "--package", "outrigger-cluster", "--test", "e2e", "--locked"];
            let mut command = workspace::cargo(&tests);
            command
                .args(["--", "--ignored", "--nocapture", "--test-threads", "1"])
                .env("OUTRIGGER_E2E_PYTHON", clients.home());
            match figures {
                None => command.args(["--skip", FIGURES]),
                Some(binaries) => command.arg(FIGURES).env("OUTRIGGER_E2E_BINARIES", binaries),
            };
            self.step(NAME, &mut command, Runner::Cargo)?;
            let said = fs::read_to_string(self.log(NAME))?;
            for figure in said.lines().filter_map(|line| Some(line.split_once("figure: ")?.1)) {
                self.terminal.note(figure);
            }
        }
        Ok(())
    }

    /// A suite's clients, installed where that is not done yet; none where it cannot be, which has been said.
    fn clients(&mut self, name: &'static str, kind: sdk::Kind) -> Result<Option<sdk::Clients>> {
        let tool = match kind.tool() {
            Ok(tool) => tool,
            Err(missing) => {
                self.skip(name, missing);
                return Ok(None);
            }
        };
        let clients = kind.clients(&self.root, &self.cache, &tool)?;
        if !clients.are_installed() {
            let draft = clients.draft()?;
            if !self.step(kind.set_up_name(), &mut kind.set_up(&self.root, &draft)?, Runner::Preparation)? {
                sdk::discard(&draft)?;
                return Ok(None);
            }
            clients.keep(&draft)?;
        }
        Ok(Some(clients))
    }

    /// Runs a suite with its clients.
    fn sdk(&mut self, name: &'static str, kind: sdk::Kind, binary: &Path) -> Result<()> {
        let Some(clients) = self.clients(name, kind)? else {
            return Ok(());
        };
        let mut command = kind.suite(&self.root, &clients)?;
        self.step(name, command.env("OUTRIGGER_BIN", binary), kind.runner())?;
        Ok(())
    }

    fn skip(&mut self, name: &'static str, why: String) {
        self.terminal.begin(name);
        self.end(name, Verdict::Skipped(why), Counts::skip(), Duration::ZERO, "");
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{}.log", name.to_lowercase().replace(' ', "-")))
    }

    fn end(&mut self, name: &'static str, verdict: Verdict, counts: Counts, took: Duration, details: &str) {
        self.terminal.end(name, &verdict, took, details);
        self.done.push(Done {
            name,
            verdict,
            counts,
            took,
        });
    }

    /// The table, the closing line, and whether the run is good.
    fn finish(&self) -> ExitCode {
        let total = self.done.iter().fold(Counts::default(), |sum, done| sum.plus(done.counts));
        terminal::table(&self.done);
        let must_not_skip = env::var("CI").is_ok_and(|value| value == "true");
        if must_not_skip && total.skipped > 0 {
            self.terminal.note("CI=true: what is skipped counts as failed");
        }
        terminal::close(total);
        if total.failed > 0 || (must_not_skip && total.skipped > 0) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}
