//! One cell: what breaks, for which kind of call, and from when on.

use crate::{
    load::{self, Ask, Shot, evenly},
    objects::{Provider, route},
    progress::Progress,
    report::Summary,
    rig,
};
use outrigger_mock::Mock;
use outrigger_tests::Plane;
use serde_json::{Value, json};
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// Arrivals, evenly.
const PER_SECOND: f64 = 20.0;
const LENGTH: Duration = Duration::from_mins(1);
/// After so much of the fault, times are held to what was asked.
const SETTLED: Duration = Duration::from_secs(10);

/// When the fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onset {
    /// With the first call.
    Start,
    /// A third into the run.
    Midway,
    /// As midway, and inside the answer, when the client has some of it.
    Committed,
    /// After a minute of health.
    Minute,
}

/// What is asked of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing fails: what the others are held against.
    Control,
    /// Fails outright.
    Errors,
    /// Fails by taking long, or now and then.
    Doubtful,
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    fault: &'static str,
    script: Value,
    pub(super) kind: Kind,
    pub(super) stream: bool,
    pub(super) onset: Onset,
}

/// A cell with its providers and its data plane.
pub(super) struct Ready {
    cell: Cell,
    /// Each at an origin of its own, as providers are.
    first: Mock,
    second: Mock,
    plane: Plane,
    script: Value,
}

/// What became of a cell.
pub(super) struct Outcome {
    pub(super) cell: Cell,
    pub(super) shots: Vec<Shot>,
    /// Calls that reached the providers; known once the cell is cleared away.
    pub(super) received: usize,
    /// What ran, until all cells of a batch are done: to end a process or to read a provider's calls takes time from those still running.
    standing: Option<(Plane, [Mock; 2])>,
    /// Of the calls without a probe, to the healthy cell: p50 and p99, in milliseconds.
    pub(super) added: [f64; 2],
}

/// The whole matrix.
pub(super) fn cells() -> Vec<Cell> {
    let limited = json!({ "code": "rate_limit_exceeded", "message": "slow down" });
    let both = [
        ("500", Kind::Errors, json!({ "status": 500 })),
        ("503", Kind::Errors, json!({ "status": 503 })),
        ("429", Kind::Errors, json!({ "status": 429, "error": limited })),
        (
            "429-told",
            Kind::Errors,
            json!({ "status": 429, "retry_after": 30, "error": limited }),
        ),
        ("401", Kind::Errors, json!({ "status": 401 })),
        ("reset", Kind::Errors, json!({ "reset": "before_head" })),
        ("hang", Kind::Doubtful, json!({ "stall": "accept" })),
        ("slow", Kind::Doubtful, json!({ "latency_ms": 6000 })),
        ("errors-30", Kind::Doubtful, json!({ "status": 500, "fail_rate": 0.3 })),
    ];
    // Only a stream has an open head.
    let heads = [
        ("head-reset", Kind::Errors, json!({ "reset": "after_head" })),
        ("head-hang", Kind::Doubtful, json!({ "stall": "after_head" })),
        (
            "head-error",
            Kind::Errors,
            json!({ "error_in_stream": { "after_chunks": 0, "type": "server_error", "message": "boom" } }),
        ),
    ];
    let committed = [
        ("cut", Kind::Errors, json!({ "reset": { "after_chunks": 3 } })),
        ("silence", Kind::Errors, json!({ "stall": { "after_chunks": 3 } })),
        (
            "error-event",
            Kind::Errors,
            json!({ "error_in_stream": { "after_chunks": 3, "type": "server_error", "message": "boom" } }),
        ),
    ];
    let cell = |(fault, kind, script): &(&'static str, Kind, Value), stream, onset| Cell {
        fault,
        script: script.clone(),
        kind: *kind,
        stream,
        onset,
    };
    let mut cells = Vec::new();
    for onset in [Onset::Start, Onset::Midway] {
        for stream in [false, true] {
            cells.extend(both.iter().map(|row| cell(row, stream, onset)));
        }
        cells.extend(heads.iter().map(|row| cell(row, true, onset)));
    }
    cells.extend(committed.iter().map(|row| cell(row, true, Onset::Committed)));
    let hang = both.iter().filter(|row| row.0 == "hang");
    cells.extend(hang.flat_map(|row| [false, true].map(|stream| cell(row, stream, Onset::Minute))));
    cells
}

impl Cell {
    pub(super) fn healthy(stream: bool) -> Self {
        Self {
            fault: "none",
            script: json!({}),
            kind: Kind::Control,
            stream,
            onset: Onset::Minute,
        }
    }

    pub(super) fn name(&self) -> String {
        let kind = if self.stream { "stream" } else { "unary" };
        format!("{}/{kind}/{}", self.fault, self.onset)
    }

    pub(super) fn is_control(&self) -> bool {
        self.kind == Kind::Control
    }

    fn begins(&self) -> Duration {
        match self.onset {
            Onset::Start => Duration::ZERO,
            Onset::Midway | Onset::Committed => LENGTH / 3,
            Onset::Minute => LENGTH,
        }
    }

    /// The time in which it is held to what calls without a probe may take.
    pub(super) fn settled(&self) -> (Duration, Duration) {
        (self.begins() + SETTLED, self.ends())
    }

    fn ends(&self) -> Duration {
        if self.onset == Onset::Minute { LENGTH * 3 / 2 } else { LENGTH }
    }

    pub(super) fn calls(&self) -> usize {
        evenly(PER_SECOND, Duration::ZERO, self.ends()).count()
    }

    pub(super) async fn start(self, seed: u64) -> anyhow::Result<Ready> {
        let (first, second) = (rig::mock()?, rig::mock()?);
        let well = json!({ "latency_ms": 50, "chunk_ms": 2, "text": "Open the settings, choose security, and follow the link." });
        rig::script(&first, "first", &well)?;
        rig::script(&second, "second", &well)?;
        let mut script = well;
        if let (Some(all), Some(fault)) = (script.as_object_mut(), self.script.as_object()) {
            all.extend(fault.clone());
            all.insert("seed".to_owned(), seed.into());
        }
        if self.begins().is_zero() {
            rig::script(&first, "first", &script)?;
        }
        let objects = [
            Provider::new("first", first.addr).yaml(),
            Provider::new("second", second.addr).yaml(),
            route(
                "m",
                &["first", "second"],
                "  timeouts: { response: 2s, firstToken: 2s, betweenTokens: 2s }",
            ),
        ];
        let plane = Plane::try_start(&objects, &[], &[]).await?;
        Ok(Ready {
            plane,
            cell: self,
            first,
            second,
            script,
        })
    }
}

impl Ready {
    pub(super) async fn run(self, begin: Instant, progress: &Progress) -> anyhow::Result<Outcome> {
        let Self {
            cell,
            first,
            second,
            plane,
            script,
        } = self;
        let asks = evenly(PER_SECOND, Duration::ZERO, cell.ends()).map(|at| Ask::chat("m", at, cell.stream));
        let calls = load::run(plane.data, begin, asks.collect(), progress);
        let breaks = async {
            if !cell.begins().is_zero() && !cell.is_control() {
                tokio::time::sleep_until(begin + cell.begins()).await;
                rig::script(&first, "first", &script)?;
            }
            anyhow::Ok(())
        };
        let (shots, broke) = tokio::join!(calls, breaks);
        broke?;
        Ok(Outcome {
            received: 0,
            standing: Some((plane, [first, second])),
            cell,
            shots,
            added: [0.0; 2],
        })
    }
}

impl Outcome {
    /// Ends what ran and counts what arrived.
    pub(super) fn clear_away(&mut self) {
        if let Some((_plane, [first, second])) = self.standing.take() {
            self.received = first.calls("first").len() + second.calls("second").len();
        }
    }

    /// Calls since the fault began.
    pub(super) fn faced(&self) -> impl Iterator<Item = &Shot> {
        let begins = self.cell.begins();
        self.shots.iter().filter(move |shot| shot.at >= begins)
    }

    /// Of the calls without a probe that were due in this time.
    pub(super) fn quantile(&self, from: Duration, to: Duration, thousandths: usize) -> Duration {
        let counted = self.shots.iter().filter(|shot| (from..to).contains(&shot.at) && !shot.probed());
        Summary::of(counted).quantile(thousandths)
    }

    /// Attempts on the broken target since the fault began: those that were there to learn, and the others.
    pub(super) fn on_the_broken(&self) -> (usize, usize) {
        let tries = self
            .faced()
            .flat_map(|shot| &shot.tries)
            .filter(|attempt| attempt.provider == "first");
        let (probes, calls): (Vec<_>, Vec<_>) = tries.partition(|attempt| attempt.probe);
        (probes.len(), calls.len())
    }

    /// Attempts of all calls, as their answers tell.
    pub(super) fn told(&self) -> usize {
        self.shots.iter().map(|shot| shot.tries.len()).sum()
    }
}

impl fmt::Display for Onset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Midway => "midway",
            Self::Committed => "committed",
            Self::Minute => "after-a-minute",
        })
    }
}
