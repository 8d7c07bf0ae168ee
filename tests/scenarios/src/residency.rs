//! A route that may use Europe only, and nobody who keeps what he is sent. Its better targets are elsewhere: no byte goes there, not when
//! a target fails, not as a last resort, not when nothing else is left.

use crate::{
    load::{self, Ask, Shot, evenly},
    objects::{Provider, route_of, target},
    progress::Progress,
    report::Report,
    rig::{self, until},
    sink::Sink,
};
use outrigger_mock::Mock;
use outrigger_tests::Plane;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const PER_SECOND: f64 = 20.0;
/// The last moment of each act: all well; the first of Europe down; both; everything.
const ACTS: [f64; 4] = [6.0, 12.0, 18.0, 24.0];
const RESIDENCY: &str = "  residency: { regions: [eu], retention: none, training: false }\n";
/// Providers outside, and what is said of each.
const OUTSIDE: [(&str, &[&str]); 5] = [
    ("premium", &["regions: [us]", "dataPolicy: { retention: none, training: false }"]),
    ("unlabelled", &[]),
    ("keeps", &["regions: [eu]", "dataPolicy: { retention: 720h, training: false }"]),
    ("trains", &["regions: [eu]", "dataPolicy: { retention: none, training: true }"]),
    ("us-last", &["regions: [us]", "dataPolicy: { retention: none, training: false }"]),
];
const INSIDE: [&str; 3] = ["eu-first", "eu-second", "eu-last"];

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    let (sink, free_sink, mock, free_mock) = (Sink::open().await?, Sink::open().await?, rig::mock()?, rig::mock()?);
    let plane = Plane::try_start(&objects(&sink, &mock, RESIDENCY), &[], &[]).await?;
    // The same without the residency: what would have gone out.
    let free_plane = Plane::try_start(&objects(&free_sink, &free_mock, ""), &[], &[]).await?;
    let [.., end] = ACTS;
    let asks: Vec<Ask> = evenly(PER_SECOND, Duration::ZERO, Duration::from_secs_f64(end))
        .enumerate()
        .map(|(number, at)| Ask::chat("m", at, number % 2 == 0))
        .collect();
    let progress = Progress::new("residency", asks.len() * 2);
    let both = [&mock, &free_mock];
    let begin = rig::soon();
    let (shots, free, played) = tokio::join!(
        load::run(plane.data, begin, asks.clone(), &progress),
        load::run(free_plane.data, begin, asks, &progress),
        play(&both, begin)
    );
    played?;
    let mut report = Report::new("residency", seed, &["", "no residency", "Europe only"]);
    report.compare(&free, &shots);
    let ((connections, bytes), (free_connections, free_bytes)) = (sink.seen(), free_sink.seen());
    report.row(&[&"connections to places outside", &free_connections, &connections]);
    report.row(&[&"bytes to places outside", &free_bytes, &bytes]);
    let attempts = tries_outside(&shots);
    report.figure("connections to places outside", connections, "0", connections == 0);
    report.figure("bytes to places outside", bytes, "0", bytes == 0);
    report.figure("attempts on targets outside", attempts, "0", attempts == 0);
    report.figure(
        "the same route without residency: connections outside",
        free_connections,
        "some",
        free_connections > 0 && free_bytes > 0,
    );
    let [.., europe_ends, _] = ACTS;
    let (with, without): (Vec<Shot>, Vec<Shot>) = shots.into_iter().partition(|shot| shot.at.as_secs_f64() < europe_ends);
    report.no_failures_of("failures while anything in Europe works", &with);
    let served: Vec<usize> = INSIDE
        .iter()
        .map(|name| with.iter().filter(|shot| shot.provider() == *name).count())
        .collect();
    report.figure(
        "calls served by each of Europe, the last resort included",
        format!("{served:?}"),
        "some each",
        served.iter().all(|calls| *calls > 0),
    );
    let refused = without.iter().filter(|shot| shot.status == 503 || shot.status == 502).count();
    report.figure(
        "calls refused when nothing in Europe works",
        format!("{refused} of {}", without.len()),
        "all",
        refused == without.len(),
    );
    report.traces("refused", without.iter().filter(|shot| !shot.good).map(Shot::trace));
    Ok(report)
}

async fn play(mocks: &[&Mock], begin: Instant) -> anyhow::Result<()> {
    for (moment, name) in ACTS.into_iter().zip(INSIDE) {
        until(begin, moment).await;
        for mock in mocks {
            rig::script(mock, name, &json!({ "status": 503 }))?;
        }
    }
    Ok(())
}

fn tries_outside(shots: &[Shot]) -> usize {
    let tries = shots.iter().flat_map(|shot| &shot.tries);
    tries
        .filter(|attempt| OUTSIDE.iter().any(|(name, _)| attempt.provider == *name))
        .count()
}

fn objects(sink: &Sink, mock: &Mock, residency: &str) -> Vec<String> {
    let outside = OUTSIDE.map(|(name, lines)| {
        lines
            .iter()
            .fold(Provider::new(name, sink.addr), |provider, line| provider.spec(line))
    });
    let inside = INSIDE.map(|name| {
        let provider = Provider::new(name, mock.addr).spec("regions: [eu, eu-west]");
        provider.spec("dataPolicy: { retention: none, training: false }")
    });
    let [_, _, _, _, (us_last, _)] = OUTSIDE;
    let [first, second, last] = INSIDE;
    let mut targets: Vec<String> = OUTSIDE.iter().map(|(name, _)| target(name, 0)).collect();
    targets.pop();
    targets.extend([target(first, 1), target(second, 2)]);
    let resort = [us_last, last].map(|name| format!("{{ keyRef: {{ name: {name} }}, model: {name}-model }}"));
    let route = route_of(
        "m",
        &format!(
            "{residency}  rules: [{{ name: all, targets: [{}] }}]\n  lastResort: [{}]",
            targets.join(", "),
            resort.join(", ")
        ),
    );
    outside.iter().chain(&inside).map(Provider::yaml).chain([route]).collect()
}
