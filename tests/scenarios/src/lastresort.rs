//! Every regular target is down, each in a way of its own; a secondary aggregator answers, and only then.

use crate::{
    load::{self, Ask, Shot, evenly},
    objects::{Provider, fixed, route},
    progress::Progress,
    report::{Report, Summary},
    rig::{self, until},
    spike::back_after,
};
use outrigger_mock::Mock;
use outrigger_tests::Plane;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const DOWN: (f64, f64) = (8.0, 28.0);
const END: f64 = 45.0;
const REGULAR: [&str; 3] = ["premium", "second", "third"];
const LAST: &str = "aggregator";
const ALL: [&str; 4] = ["premium", "second", "third", LAST];
const SPEC: &str = "  timeouts: { response: 2s, firstToken: 2s }
  lastResort: [{ keyRef: { name: aggregator }, model: aggregator-model }]";

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    // Each at an origin of its own, as providers are.
    let mocks = ALL.iter().map(|_| rig::mock()).collect::<anyhow::Result<Vec<Mock>>>()?;
    let theirs = rig::mock()?;
    let providers = ALL.iter().zip(&mocks).map(|(name, mock)| Provider::new(name, mock.addr).yaml());
    let objects: Vec<String> = providers.chain([route("m", &REGULAR, SPEC)]).collect();
    let plane = Plane::try_start(&objects, &[], &[]).await?;
    let static_plane = Plane::try_start(&[Provider::new("premium", theirs.addr).yaml(), fixed("m", "premium")], &[], &[]).await?;
    let asks: Vec<Ask> = evenly(20.0, Duration::ZERO, Duration::from_secs_f64(END))
        .enumerate()
        .map(|(number, at)| Ask::chat("m", at, number % 2 == 0))
        .collect();
    let progress = Progress::new("lastresort", asks.len() * 2);
    let begin = rig::soon();
    let (shots, baseline, played) = tokio::join!(
        load::run(plane.data, begin, asks.clone(), &progress),
        load::run(static_plane.data, begin, asks, &progress),
        play(&mocks, &theirs, begin)
    );
    played?;
    let mut report = Report::new("lastresort", seed, &["", "all to premium", "with a last resort"]);
    report.compare(&baseline, &shots);
    report.no_failures(&shots);
    let last = |shots: &[&Shot]| shots.iter().filter(|shot| shot.provider() == LAST).count();
    let due = |from: f64, to: f64| {
        shots
            .iter()
            .filter(|shot| (from..to).contains(&shot.at.as_secs_f64()))
            .collect::<Vec<_>>()
    };
    let (before, during) = (due(0.0, DOWN.0), due(DOWN.0, DOWN.1));
    report.figure("calls to the aggregator before", last(&before), "0", last(&before) == 0);
    let all = last(&during);
    report.figure(
        "calls that it answers while all are down",
        format!("{all} of {}", during.len()),
        "all",
        all == during.len(),
    );
    let most = during.iter().map(|shot| shot.tries.len()).max().unwrap_or(0);
    report.figure("most attempts of one call", most, "<= 4", most <= 4);
    let per_call = Summary::of(during).per_call();
    report.row(&[&"attempts per call while all are down", &"1.000", &format!("{per_call:.3}")]);
    let back = back_after(&shots, DOWN.1, END);
    let shown = back.map_or("never".to_owned(), |back| format!("{back:.0} s"));
    report.figure(
        "time until nine in ten calls are back for good",
        shown,
        "<= 10 s",
        back.is_some_and(|back| back <= 10.0),
    );
    report.traces("moved", shots.iter().filter(|shot| shot.tries.len() > 1).map(Shot::trace));
    Ok(report)
}

async fn play(mocks: &[Mock], theirs: &Mock, begin: Instant) -> anyhow::Result<()> {
    let broken = [
        json!({ "status": 503 }),
        json!({ "reset": "before_head" }),
        json!({ "stall": "accept" }),
    ];
    let [premium, ..] = &broken;
    until(begin, DOWN.0).await;
    for ((name, mock), behaviour) in REGULAR.iter().zip(mocks).zip(&broken) {
        rig::script(mock, name, behaviour)?;
    }
    rig::script(theirs, "premium", premium)?;
    until(begin, DOWN.1).await;
    for (name, mock) in REGULAR.iter().zip(mocks) {
        rig::script(mock, name, &json!({}))?;
    }
    rig::script(theirs, "premium", &json!({}))
}
