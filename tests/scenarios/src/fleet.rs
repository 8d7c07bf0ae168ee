//! Twenty sidecars with a call every other second each, and a provider that turns slow: each has little to learn from, and none may pour
//! its calls into it.

use crate::{
    load::{self, Ask, Shot, evenly},
    objects::{Provider, route},
    progress::Progress,
    report::Report,
    rig::{self, until},
};
use outrigger_tests::Plane;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

const SIDECARS: u32 = 20;
const PER_SECOND: f64 = 0.5;
/// Until then all is well; from then on the preferred provider takes six seconds.
const TURNS: f64 = 75.0;
const END: f64 = 120.0;
const MOST: usize = 4;

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    let mock = rig::mock()?;
    rig::script(&mock, "premium", &json!({ "latency_ms": 300 }))?;
    rig::script(&mock, "second", &json!({ "latency_ms": 300 }))?;
    let objects = [
        Provider::new("premium", mock.addr).yaml(),
        Provider::new("second", mock.addr).yaml(),
        route("m", &["premium", "second"], ""),
    ];
    let mut planes = Vec::new();
    for _ in 0..SIDECARS {
        planes.push(Plane::try_start(&objects, &[], &[]).await?);
    }
    let asks = |number: u32| -> Vec<Ask> {
        let first = Duration::from_secs_f64(f64::from(number) / f64::from(SIDECARS) / PER_SECOND);
        evenly(PER_SECOND, first, Duration::from_secs_f64(END))
            .map(|at| Ask::chat("m", at, false))
            .collect()
    };
    let progress = Arc::new(Progress::new("fleet", (0..SIDECARS).map(|number| asks(number).len()).sum()));
    let begin = rig::soon();
    let mut running = JoinSet::new();
    for (number, plane) in (0..).zip(&planes) {
        let (to, asks, progress) = (plane.data, asks(number), Arc::clone(&progress));
        running.spawn(async move { load::run(to, begin, asks, &progress).await });
    }
    let turn = async {
        until(begin, TURNS).await;
        rig::script(&mock, "premium", &json!({ "latency_ms": 6000 }))
    };
    let (sidecars, turned) = tokio::join!(running.join_all(), turn);
    turned?;
    Ok(report(&sidecars, seed))
}

fn report(sidecars: &[Vec<Shot>], seed: u64) -> Report {
    let mut report = Report::new("fleet", seed, &["sidecar", "calls since", "on the slow one", "probes", "longest"]);
    let mut worst = 0;
    for (number, shots) in sidecars.iter().enumerate() {
        let since: Vec<&Shot> = shots.iter().filter(|shot| shot.at.as_secs_f64() >= TURNS).collect();
        let tries = || {
            since
                .iter()
                .flat_map(|shot| &shot.tries)
                .filter(|attempt| attempt.provider == "premium")
        };
        let probes = tries().filter(|attempt| attempt.probe).count();
        let met = tries().count() - probes;
        worst = worst.max(met);
        let longest = since.iter().map(|shot| shot.took).max().unwrap_or_default();
        report.row(&[&(number + 1), &since.len(), &met, &probes, &crate::report::ms(longest)]);
        if met > MOST {
            report.traces(&format!("sidecar {}", number + 1), since.iter().map(|shot| shot.trace()));
        }
    }
    let all = sidecars.concat();
    report.no_failures(&all);
    report.figure(
        "most calls of a sidecar that met the slow provider, probes apart",
        worst,
        format!("<= {MOST}"),
        worst <= MOST,
    );
    report
}
