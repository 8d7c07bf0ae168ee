//! A region goes dark at the height of a launch: one of its targets no longer takes connections, one breaks them, one answers 503, one
//! begins a stream and ends before the first content. The other region takes over.

mod dark;

use crate::{
    load::{self, Ask, Shot, Try, evenly},
    objects::{Provider, fixed, route, route_of, target},
    progress::Progress,
    report::{Report, Summary, ms},
    rig::{self, until},
};
use dark::Dark;
use outrigger_mock::Mock;
use outrigger_tests::Plane;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const END: f64 = 60.0;
/// Calls a second on either side of the launch, and in it.
const RATES: [(f64, f64, f64); 3] = [(0.0, 15.0, 20.0), (15.0, 45.0, 60.0), (45.0, END, 20.0)];
const DARK: (f64, f64) = (25.0, 40.0);
const EAST: [&str; 4] = ["premium", "east-reset", "east-dark", "east-cut"];
/// As many attempts as routes get by default: fewer than there are targets in both regions, and as many as in the dark one.
const MOST: usize = 4;
const WEST: [&str; 2] = ["west-a", "west-b"];

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    let (mock, edge, theirs) = (rig::mock()?, rig::mock()?, rig::mock()?);
    let (edge_at, well) = (edge.addr, json!({ "latency_ms": 80, "chunk_ms": 2 }));
    for name in EAST.iter().chain(&WEST).chain(&["other"]) {
        for mock in [&mock, &edge, &theirs] {
            rig::script(mock, name, &well)?;
        }
    }
    let mut objects: Vec<String> = EAST
        .iter()
        .chain(&WEST)
        .chain(&["other"])
        .map(|name| Provider::new(name, if *name == "east-dark" { edge_at } else { mock.addr }).yaml())
        .collect();
    let targets: Vec<String> = EAST
        .map(|name| target(name, 0))
        .into_iter()
        .chain(WEST.map(|name| target(name, 1)))
        .collect();
    objects.push(route_of(
        "m",
        &format!("  rules: [{{ name: all, targets: [{}] }}]", targets.join(", ")),
    ));
    objects.push(route("other", &["other"], ""));
    let plane = Plane::try_start(&objects, &[], &[]).await?;
    let static_plane = Plane::try_start(&[Provider::new("premium", theirs.addr).yaml(), fixed("m", "premium")], &[], &[]).await?;

    let asks: Vec<Ask> = RATES
        .iter()
        .flat_map(|(from, to, rate)| evenly(*rate, Duration::from_secs_f64(*from), Duration::from_secs_f64(*to)))
        .map(|at| Ask::chat("m", at, true))
        .collect();
    let beside: Vec<Ask> = evenly(20.0, Duration::ZERO, Duration::from_secs_f64(END))
        .map(|at| Ask::chat("other", at + Duration::from_millis(7), true))
        .collect();
    let progress = Progress::new("outage", asks.len() * 2 + beside.len());
    let begin = rig::soon();
    let (shots, baseline, others, played) = tokio::join!(
        load::run(plane.data, begin, asks.clone(), &progress),
        load::run(static_plane.data, begin, asks, &progress),
        load::run(plane.data, begin, beside, &progress),
        play(&mock, edge, &theirs, begin)
    );
    let _edge = played?;
    Ok(report(&shots, &baseline, &others, seed))
}

async fn play(mock: &Mock, edge: Mock, theirs: &Mock, begin: Instant) -> anyhow::Result<Mock> {
    let at = edge.addr;
    let well = json!({ "latency_ms": 80, "chunk_ms": 2 });
    until(begin, DARK.0).await;
    rig::script(mock, "premium", &json!({ "status": 503 }))?;
    rig::script(theirs, "premium", &json!({ "status": 503 }))?;
    rig::script(mock, "east-reset", &json!({ "reset": "before_head" }))?;
    rig::script(mock, "east-cut", &json!({ "close": "after_head" }))?;
    drop(edge);
    let dark = Dark::at(at)?;
    until(begin, DARK.1).await;
    drop(dark);
    let edge = Mock::start(at)?;
    rig::script(&edge, "east-dark", &well)?;
    for name in EAST {
        rig::script(mock, name, &well)?;
    }
    rig::script(theirs, "premium", &well)?;
    Ok(edge)
}

fn report(shots: &[Shot], baseline: &[Shot], others: &[Shot], seed: u64) -> Report {
    let due = |shot: &&Shot, from: f64, to: f64| (from..to).contains(&shot.at.as_secs_f64());
    let mut report = Report::new("outage", seed, &["", "all to premium", "two regions"]);
    report.compare(baseline, shots);
    // Nobody can take back what has begun: it ends with an error event.
    let cut = |shot: &&Shot| shot.status == 200 && shot.ended_with_an_error();
    report.row(&[
        &"streams cut after their first content",
        &baseline.iter().filter(cut).count(),
        &shots.iter().filter(cut).count(),
    ]);
    let uncut: Vec<Shot> = shots.iter().filter(|shot| !cut(shot)).cloned().collect();
    report.no_failures_of("failures that a client saw before any content", &uncut);
    let late = shots.iter().filter(cut).filter(|shot| shot.at.as_secs_f64() >= DARK.0).count();
    report.figure(
        "streams cut after their first content that began in the outage",
        late,
        "0",
        late == 0,
    );
    let all = Summary::of(shots);
    report.figure(
        "attempts per call over the whole run",
        format!("{:.3}", all.per_call()),
        "<= 1.1",
        all.per_call() <= 1.1,
    );
    let most = shots.iter().map(paid).max().unwrap_or(0);
    report.figure(
        "most attempts of one call, those apart that follow a broken connection for free",
        most,
        format!("<= {MOST}"),
        most <= MOST,
    );

    let usual = Summary::of(shots.iter().filter(|shot| due(shot, 5.0, DARK.0))).quantile(500);
    let moved: Vec<&Shot> = shots
        .iter()
        .filter(|shot| due(shot, DARK.0, DARK.1) && shot.tries.len() > 1)
        .collect();
    let added = Summary::of(moved.iter().copied());
    for (name, thousandths) in [("p50", 500), ("p99", 990)] {
        let added = added.quantile(thousandths).saturating_sub(usual);
        report.row(&[
            &format!("{name} added to the {} calls that were moved", moved.len()),
            &"-",
            &ms(added),
        ]);
    }
    for east in EAST {
        let tries = || {
            shots
                .iter()
                .filter(|shot| due(shot, DARK.0, DARK.1))
                .flat_map(|shot| &shot.tries)
                .filter(|attempt| attempt.provider == east)
        };
        let probes = tries().filter(|attempt| attempt.probe).count();
        report.row(&[
            &format!("{east}: attempts in the dark, and probes"),
            &"-",
            &format!("{} + {probes}", tries().count() - probes),
        ]);
    }
    report.no_failures_of("failures of calls to the other target", others);
    let [before, during] =
        [(15.0, DARK.0), DARK].map(|(from, to)| Summary::of(others.iter().filter(|shot| due(shot, from, to))).quantile(990));
    let apart = (during.as_secs_f64() - before.as_secs_f64()) * 1e3;
    report.figure(
        "p99 of calls to the other target, beside that before",
        format!("{apart:+.1} ms ({} to {})", ms(before), ms(during)),
        "within 10 ms",
        apart <= 10.0,
    );
    report.traces("moved", moved.iter().map(|shot| shot.trace()));
    report
}

/// Attempts that count: one on the same target after a reused connection broke is free.
fn paid(shot: &Shot) -> usize {
    let free = |pair: &&[Try]| matches!(pair, [before, after] if before.provider == after.provider && before.outcome == "reset");
    shot.tries.len() - shot.tries.windows(2).filter(free).count()
}
