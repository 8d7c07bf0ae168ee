//! `cargo xtask bench`: what the sidecar costs beside a bare pass-through, both measured in turn on the same two cores.
//!
//! One core runs the measured proxy, the other a single thread that is client and upstream at once and never sleeps, so that the proxy
//! pays for its own work only. Every figure of record is a ratio of two runs that followed each other; absolute times move with the
//! machine. It must never fail because a figure is bad, unless `--assert` says so.

mod cases;
mod process;
mod report;
mod rig;
mod spec;
pub(crate) mod subject;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use cases::{Case, Effort};
use process::{Kind, Proxy};
use report::{Report, Round};
use rig::Rig;
use spec::{Arrivals, Measured};

/// Measures the sidecar against a bare pass-through.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Args {
    /// Three short rounds: a look, not a figure of record.
    #[arg(long)]
    quick: bool,
    /// Only these cases, comma-separated.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Case>,
    /// Rounds of floor and subject in turn [default: 7, with --quick 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Length of a run's window [default: 2, with --quick 0.7].
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// Cargo profile of everything that is measured.
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Where the table goes as JSON, with the raw runs [default: bench/last.json in the target folder].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// An `outrigger-proxy` binary that is built already.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["floor_only", "handles"])]
    subject: Option<PathBuf>,
    /// The floor against itself: how far from 1 is noise here?
    #[arg(long, conflicts_with = "handles")]
    floor_only: bool,
    /// The floor against one with a cheaper connection pool (about 0.83 on unary): does the rig see a known difference?
    #[arg(long)]
    handles: bool,
    /// Fail if a figure misses its bar or a request failed.
    #[arg(long)]
    assert: bool,
}

/// Builds, measures, prints, saves.
///
/// # Errors
/// Something cannot be built or started; with `--assert` also a missed bar.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    ensure!(cfg!(target_os = "linux"), "the bench reads what it measures from Linux's /proc");
    let peer = subject::build(&args.profile, "bench-peer", &["--package", "xtask"])?;
    let kind = match &args.subject {
        Some(binary) => Kind::Outrigger(std::path::absolute(binary)?),
        None if args.floor_only => Kind::Floor,
        None if args.handles => Kind::Handles,
        None => Kind::Outrigger(subject::build(
            &args.profile,
            "outrigger-proxy",
            &["--package", "outrigger-proxy", "--features", "jemalloc"],
        )?),
    };
    let target = peer.ancestors().nth(2).context("the target folder")?;
    let folder = target.join("bench");
    let file = args.json.clone().unwrap_or_else(|| folder.join("last.json"));

    let effort = effort(&args)?;
    let rig = Rig::look(&args.profile);
    let mut report = Report {
        rig,
        subject: kind.name(),
        effort,
        offered_per_second: None,
        lines: Vec::new(),
        notes: Vec::new(),
        rounds: Vec::new(),
    };
    if args.subject.is_some() {
        report
            .notes
            .push("the subject was built elsewhere: its profile and features are not known here".to_owned());
    }
    let mut bench = Bench {
        peer: &peer,
        kind,
        folder: &folder,
        report,
        progress: Progress::new(),
        standing: None,
    };
    let mut broken = false;
    for case in if args.only.is_empty() { Case::DEFAULT.to_vec() } else { args.only } {
        // One case that cannot be measured does not cost the others.
        if let Err(error) = bench.case(case) {
            bench.report.notes.push(format!("{}: not measured: {error:#}", case.title()));
            broken = true;
        }
        bench.report.sum_up(case);
    }
    bench.progress.bar.finish_and_clear();
    bench.standing = None;

    let report = bench.report;
    report.save(&file)?;
    writeln!(io::stdout(), "{}\nraw runs: {}", report.table(), file.display())?;
    let failed = report.rounds.iter().any(|round| round.floor.errors + round.subject.errors > 0);
    let missed = report.lines.iter().filter(|line| !line.met).count();
    ensure!(
        !args.assert || (missed == 0 && !failed && !broken),
        "{missed} figures missed their bar, or requests failed"
    );
    Ok(())
}

fn effort(args: &Args) -> anyhow::Result<Effort> {
    let window = args.window.unwrap_or(if args.quick { 0.7 } else { 2.0 });
    ensure!((0.1..=60.0).contains(&window), "--window takes 0.1 to 60 seconds");
    let window = Duration::from_secs_f64(window);
    Ok(Effort {
        rounds: args.rounds.unwrap_or(if args.quick { 3 } else { 7 }),
        warmup_ms: if args.quick { 300 } else { 500 },
        window_ms: u64::try_from(window.as_millis())?,
        held_chunks: if args.quick { 8 } else { 20 },
    })
}

struct Bench<'a> {
    peer: &'a Path,
    kind: Kind,
    folder: &'a Path,
    report: Report,
    progress: Progress,
    /// Floor and subject that serve all cases but those that need fresh ones.
    standing: Option<(Proxy, Proxy)>,
}

impl Bench<'_> {
    fn case(&mut self, case: Case) -> anyhow::Result<()> {
        let effort = self.report.effort;
        if case.fresh() {
            // Out of the way of those that are measured for their size.
            self.standing = None;
        } else if self.standing.is_none() {
            self.standing = Some((self.start(&Kind::Floor)?, self.start(&self.kind.clone())?));
        }
        let half = if case == Case::Open { self.floor_throughput()? / 2.0 } else { 0.0 };
        if case == Case::Open {
            self.report.offered_per_second = Some(half);
        }
        let rounds = case.rounds(&effort);
        for round in 1..=rounds {
            let (floor, subject) = self.round(case, round, half, &format!("round {round}/{rounds}"), false)?;
            self.report.rounds.push(Round {
                case,
                number: round,
                counting: false,
                floor,
                subject,
            });
        }
        if case.saturates() && self.report.rig.counts_instructions {
            let (floor, subject) = self.round(case, 1, half, "instructions", true)?;
            self.report.rounds.push(Round {
                case,
                number: 1,
                counting: true,
                floor,
                subject,
            });
        }
        Ok(())
    }

    /// Floor and subject in turn; every second round the subject goes first.
    fn round(&self, case: Case, round: u32, half: f64, what: &str, count: bool) -> anyhow::Result<(Measured, Measured)> {
        let shape = case.shape(&self.report.effort, round, half);
        let one = |floor: bool| -> anyhow::Result<Measured> {
            self.progress
                .show(&format!("{}, {what}: {}", case.title(), if floor { "floor" } else { "subject" }));
            let measure = |proxy: &Proxy| proxy.load(&self.report.rig, self.peer, &shape, count);
            if let Some((standing_floor, standing_subject)) = &self.standing {
                return measure(if floor { standing_floor } else { standing_subject });
            }
            let proxy = self.start(if floor { &Kind::Floor } else { &self.kind })?;
            // What it does at its start is over before its idle size is taken.
            thread::sleep(Duration::from_secs(1));
            measure(&proxy)
        };
        if round % 2 == 1 {
            let floor = one(true)?;
            Ok((floor, one(false)?))
        } else {
            let subject = one(false)?;
            Ok((one(true)?, subject))
        }
    }

    /// Of the floor, with the connections of [`Case::Open`] but all of them busy.
    fn floor_throughput(&self) -> anyhow::Result<f64> {
        let (floor, _) = self.standing.as_ref().context("no floor runs")?;
        self.progress.show("the floor's throughput");
        let mut shape = Case::Open.shape(&self.report.effort, 0, 1.0);
        shape.arrivals = Arrivals::Closed;
        let measured = floor.load(&self.report.rig, self.peer, &shape, false)?;
        ensure!(measured.completed > 0, "the floor answers nothing");
        Ok(cases::throughput(&measured))
    }

    fn start(&self, kind: &Kind) -> anyhow::Result<Proxy> {
        let folder = self.folder.join(if *kind == Kind::Floor { "floor" } else { "subject" });
        Proxy::start(&self.report.rig, self.peer, kind, &folder)
    }
}

/// One line that says where we are; on no terminal, one line per step.
struct Progress {
    bar: ProgressBar,
    plain: bool,
}

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{elapsed_precise} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self {
            bar,
            plain: !io::stderr().is_terminal(),
        }
    }

    fn show(&self, what: &str) {
        if self.plain {
            // Progress that cannot be written is no reason to stop.
            let _ = writeln!(io::stderr(), "{what}");
        }
        self.bar.set_message(what.to_owned());
        self.bar.tick();
    }
}
