//! One integration, three workloads: conversations to a model of quality, summaries to a fast one, extraction to a cheap one, told by a
//! header, by metadata, by the model's name, or by who calls.

use crate::{
    load::{self, Ask, Shot, evenly},
    money::{Prices, dollars},
    objects::{Provider, fixed, route, route_of, target},
    progress::Progress,
    report::Report,
    rig,
};
use outrigger_mock::Mock;
use outrigger_tests::Plane;
use serde_json::{Value, json};
use std::time::Duration;

const PRICES: Prices = &[("premium", "2.5", "10"), ("fast", "0.3", "1.2"), ("cheap", "0.05", "0.2")];
const RULES: &str = "  rules:
    - { name: extraction, match: { tasks: [extraction] }, targets: [CHEAP] }
    - { name: summaries, match: { tasks: [summaries] }, targets: [FAST] }
    - { name: by-header, match: { headers: [{ name: x-workload, value: batch }] }, targets: [FAST] }
    - { name: by-metadata, match: { metadata: { workload: extraction } }, targets: [CHEAP] }
    - { name: by-caller, match: { serviceAccounts: [log-summaries] }, targets: [FAST] }
    - { name: conversation, targets: [PREMIUM] }";
const PER_SECOND: f64 = 20.0;
const END: Duration = Duration::from_secs(20);

/// How a caller says what it is about, and who is to answer.
struct Case {
    how: &'static str,
    model: &'static str,
    headers: &'static [(&'static str, &'static str)],
    metadata: Option<(&'static str, &'static str)>,
    /// From the pod of the batch job.
    batch: bool,
    expected: &'static str,
}

const PLAIN: Case = Case {
    how: "nothing: a conversation",
    model: "assistant",
    headers: &[],
    metadata: None,
    batch: false,
    expected: "premium",
};

const CASES: &[Case] = &[
    PLAIN,
    Case {
        how: "task header: extraction",
        headers: &[("x-outrigger-task", "extraction")],
        expected: "cheap",
        ..PLAIN
    },
    Case {
        how: "task header: summaries",
        headers: &[("x-outrigger-task", "summaries")],
        expected: "fast",
        ..PLAIN
    },
    Case {
        how: "task in the call's metadata",
        metadata: Some(("task", "extraction")),
        expected: "cheap",
        ..PLAIN
    },
    Case {
        how: "metadata in the call",
        metadata: Some(("workload", "extraction")),
        expected: "cheap",
        ..PLAIN
    },
    Case {
        how: "metadata header",
        headers: &[("x-outrigger-metadata", "workload=extraction")],
        expected: "cheap",
        ..PLAIN
    },
    Case {
        how: "a header of their own",
        headers: &[("x-workload", "batch")],
        expected: "fast",
        ..PLAIN
    },
    Case {
        how: "another value of it",
        headers: &[("x-workload", "live")],
        ..PLAIN
    },
    Case {
        how: "model name: summarise",
        model: "summarise",
        expected: "fast",
        ..PLAIN
    },
    Case {
        how: "model name: extract",
        model: "extract",
        expected: "cheap",
        ..PLAIN
    },
    Case {
        how: "ServiceAccount",
        batch: true,
        expected: "fast",
        ..PLAIN
    },
    Case {
        how: "ServiceAccount and a task",
        headers: &[("x-outrigger-task", "extraction")],
        batch: true,
        expected: "cheap",
        ..PLAIN
    },
];

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    let mock = rig::mock()?;
    for (name, ..) in PRICES {
        rig::script(&mock, name, &json!({ "latency_ms": 10 }))?;
    }
    let objects = objects(&mock);
    let web = Plane::try_start(&objects, &["--service-account", "web"], &[]).await?;
    let batch = Plane::try_start(&objects, &["--service-account", "log-summaries"], &[]).await?;
    let mut baseline = objects.clone();
    baseline.truncate(PRICES.len());
    baseline.push(fixed("assistant", "premium"));
    let static_plane = Plane::try_start(&baseline, &[], &[]).await?;

    let mut random = fastrand::Rng::with_seed(seed);
    let mut asks: [Vec<Ask>; 2] = Default::default();
    let mut plain = Vec::new();
    for at in evenly(PER_SECOND, Duration::ZERO, END) {
        let number = random.usize(..CASES.len());
        let Some(case) = CASES.get(number) else { continue };
        let mut ask = Ask::of(&body(case), at, false);
        ask.tag = number;
        ask.headers = case.headers.to_vec();
        plain.push(Ask {
            headers: Vec::new(),
            ..Ask::of(&body(&PLAIN), at, false)
        });
        let [from_web, from_batch] = &mut asks;
        if case.batch { from_batch.push(ask) } else { from_web.push(ask) }
    }
    let [from_web, from_batch] = asks;
    let progress = Progress::new("tasks", plain.len() * 2);
    let begin = rig::soon();
    let (web, batch, baseline) = tokio::join!(
        load::run(web.data, begin, from_web, &progress),
        load::run(batch.data, begin, from_batch, &progress),
        load::run(static_plane.data, begin, plain, &progress)
    );
    let shots: Vec<Shot> = web.into_iter().chain(batch).collect();
    Ok(report(&shots, &baseline, seed))
}

fn objects(mock: &Mock) -> Vec<String> {
    let mut objects: Vec<String> = PRICES
        .iter()
        .map(|(name, input, output)| Provider::new(name, mock.addr).price(&format!("{name}-model"), input, output).yaml())
        .collect();
    let rules = [("CHEAP", "cheap"), ("FAST", "fast"), ("PREMIUM", "premium")];
    let rules = rules
        .iter()
        .fold(RULES.to_owned(), |rules, (word, name)| rules.replace(word, &target(name, 0)));
    objects.extend([
        route_of("assistant", &rules),
        route("summarise", &["fast"], ""),
        route("extract", &["cheap"], ""),
    ]);
    objects
}

fn body(case: &Case) -> Value {
    let mut body = json!({
        "model": case.model,
        "messages": [{ "role": "user", "content": "Here is what happened on the night shift; say what matters." }],
    });
    if let (Some((name, value)), Some(fields)) = (case.metadata, body.as_object_mut()) {
        fields.insert("metadata".to_owned(), json!({ name: value }));
    }
    body
}

fn report(shots: &[Shot], baseline: &[Shot], seed: u64) -> Report {
    let mut report = Report::new("tasks", seed, &["told by", "calls", "answered by", "right"]);
    let mut wrong = 0;
    for (number, case) in CASES.iter().enumerate() {
        let calls: Vec<&Shot> = shots.iter().filter(|shot| shot.tag == number).collect();
        let right = calls.iter().filter(|shot| shot.good && shot.provider() == case.expected).count();
        wrong += calls.len() - right;
        report.row(&[&case.how, &calls.len(), &case.expected, &right]);
        report.figure(format!("calls told by {}", case.how), calls.len(), "some", !calls.is_empty());
        if right < calls.len() {
            report.traces(case.how, calls.iter().map(|shot| shot.trace()));
        }
    }
    report.figure("calls that the wrong model answered", wrong, "0", wrong == 0);
    report.no_failures(shots);
    let (before, after) = (dollars(baseline), dollars(shots));
    let saved = 100.0 * (1.0 - after / before);
    report.figure(
        "cost beside all to premium",
        format!("${after:.6} for ${before:.6}, {saved:.0} % less"),
        "less",
        after < before && after > 0.0,
    );
    report
}
