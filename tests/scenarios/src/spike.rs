//! A provider's latency rises to six seconds, three times. Calls that follow go to the next of the ranked list that is quick, and come back
//! when it is over.

use crate::{
    load::{self, Ask, Shot, evenly},
    objects::{Provider, fixed, route},
    progress::Progress,
    report::{Report, ratio},
    rig::{self, until},
};
use outrigger_mock::Mock;
use outrigger_tests::Plane;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const PER_SECOND: f64 = 20.0;
const END: f64 = 110.0;
/// When the preferred provider is slow, and whether the second of the list is so too.
const SPIKES: [(f64, f64, bool); 3] = [(20.0, 35.0, false), (50.0, 65.0, true), (80.0, 95.0, false)];
/// The ranked list with its first-content times in milliseconds: when all is well, and in a spike.
const RANKED: [(&str, u64, u64); 3] = [("premium", 200, 6_000), ("second", 350, 3_000), ("third", 500, 500)];
const SLOW: &str = "  breaker: { slow: { of: firstContent, quantile: \"0.95\", threshold: 2s } }";

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    let names = RANKED.map(|(name, ..)| name);
    let (ours, theirs) = (rig::mock()?, rig::mock()?);
    let objects = |mock: &Mock, route: String| {
        let providers = names.iter().map(|name| Provider::new(name, mock.addr).yaml());
        providers.chain([route]).collect::<Vec<_>>()
    };
    let plane = Plane::try_start(&objects(&ours, route("m", &names, SLOW)), &[], &[]).await?;
    let static_plane = Plane::try_start(&objects(&theirs, fixed("m", "premium")), &[], &[]).await?;
    let asks: Vec<Ask> = evenly(PER_SECOND, Duration::ZERO, Duration::from_secs_f64(END))
        .map(|at| Ask::chat("m", at, true))
        .collect();
    let progress = Progress::new("spike", asks.len() * 2);
    script(&[&ours, &theirs], false, false)?;
    let both = [&ours, &theirs];
    let begin = rig::soon();
    let (shots, baseline, played) = tokio::join!(
        load::run(plane.data, begin, asks.clone(), &progress),
        load::run(static_plane.data, begin, asks, &progress),
        play(&both, begin)
    );
    played?;
    Ok(report(&shots, &baseline, seed))
}

async fn play(mocks: &[&Mock], begin: Instant) -> anyhow::Result<()> {
    for (from, to, both) in SPIKES {
        until(begin, from).await;
        script(mocks, true, both)?;
        until(begin, to).await;
        script(mocks, false, false)?;
    }
    Ok(())
}

fn script(mocks: &[&Mock], first: bool, second: bool) -> anyhow::Result<()> {
    for mock in mocks {
        for ((name, well, slow), is_slow) in RANKED.into_iter().zip([first, second, false]) {
            let latency = if is_slow { slow } else { well };
            rig::script(mock, name, &json!({ "latency_ms": latency, "chunk_ms": 2 }))?;
        }
    }
    Ok(())
}

fn report(shots: &[Shot], baseline: &[Shot], seed: u64) -> Report {
    let mut report = Report::new("spike", seed, &["", "all to premium", "ranked list"]);
    report.compare(baseline, shots);
    report.no_failures(shots);
    let mut slower = Vec::new();
    for (number, (from, to, both)) in SPIKES.into_iter().enumerate() {
        let number = number + 1;
        let within = |shot: &&Shot| (from..to).contains(&shot.at.as_secs_f64());
        let spike: Vec<&Shot> = shots.iter().filter(within).collect();
        let tries = || {
            spike
                .iter()
                .flat_map(|shot| &shot.tries)
                .filter(|attempt| attempt.provider == "premium")
        };
        let met = tries().filter(|attempt| !attempt.probe).count();
        report.figure(
            format!("spike {number}: calls that met the slow provider, probes apart"),
            met,
            "<= 10",
            met <= 10,
        );
        let probes = tries().filter(|attempt| attempt.probe).count();
        report.row(&[&format!("spike {number}: probes"), &"-", &probes]);
        let is_slower = |shot: &&&Shot| {
            let chosen = shot.tries.iter().filter(|attempt| attempt.provider != "premium");
            chosen
                .map(|attempt| latency(&attempt.provider, both))
                .any(|latency| latency >= 6_000)
        };
        slower.extend(spike.iter().filter(is_slower).map(|shot| shot.trace()));
        let next = SPIKES.get(number).map_or(END, |(from, ..)| *from);
        let back = back_after(shots, to, next);
        let shown = back.map_or("never".to_owned(), |back| format!("{back:.0} s"));
        report.figure(
            format!("spike {number}: time until nine in ten calls are back for good"),
            shown,
            "<= 10 s",
            back.is_some_and(|back| back <= 10.0),
        );
        report.traces(&format!("spike {number}"), spike.iter().map(|shot| shot.trace()));
    }
    report.figure(
        "calls that went to a provider slower than the one left",
        slower.len(),
        "0",
        slower.is_empty(),
    );
    report.traces("slower", slower);
    report
}

fn latency(provider: &str, both: bool) -> u64 {
    let of = RANKED
        .into_iter()
        .zip([true, both, false])
        .find(|((name, ..), _)| *name == provider);
    of.map_or(0, |((_, well, slow), is_slow)| if is_slow { slow } else { well })
}

/// Whole seconds after `end` from which on each second until `next` has nine in ten of its calls at the preferred provider.
pub(crate) fn back_after(shots: &[Shot], end: f64, next: f64) -> Option<f64> {
    let mut back = None;
    let mut second = 0.0;
    while end + second + 1.0 <= next {
        let window = end + second..end + second + 1.0;
        let due: Vec<&Shot> = shots.iter().filter(|shot| window.contains(&shot.at.as_secs_f64())).collect();
        let there = due
            .iter()
            .filter(|shot| shot.tries.first().is_some_and(|first| first.provider == "premium"))
            .count();
        back = (ratio(there, due.len()) >= 0.9).then(|| back.unwrap_or(second));
        second += 1.0;
    }
    back
}
