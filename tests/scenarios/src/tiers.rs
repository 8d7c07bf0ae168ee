//! Three tiers by the length of the prompt, each a chain of the cheapest first: every call in the tier of its reference tokens, the border
//! included, and the bill equal to the price table.

use crate::{
    load::{self, Ask, Shot, evenly},
    money::{Prices, by_table, dollars},
    objects::{Provider, fixed, route_of, target},
    progress::Progress,
    report::{Report, ratio},
    rig, tokens,
};
use anyhow::Context as _;
use outrigger_mock::Mock;
use outrigger_tests::Plane;
use serde_json::json;
use std::time::Duration;

const PRICES: Prices = &[
    ("premium", "2.5", "10"),
    ("small", "0.1", "0.4"),
    ("small-spare", "0.12", "0.4"),
    ("flash", "0.15", "0.6"),
    ("flash-spare", "0.18", "0.6"),
    ("long", "0.25", "1"),
    ("long-spare", "0.3", "1"),
];
/// Who may answer in a tier, and where it begins, in reference tokens.
const TIERS: [(&str, &str, usize); 3] = [
    ("small", "small-spare", 0),
    ("flash", "flash-spare", 4_096),
    ("long", "long-spare", 32_768),
];
const PER_SECOND: f64 = 15.0;
const END: Duration = Duration::from_secs(40);
/// One call in so many is on one side of a border or on it.
const BORDER: usize = 4;

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    let (mock, theirs) = (rig::mock()?, rig::mock()?);
    for (name, ..) in PRICES {
        for mock in [&mock, &theirs] {
            rig::script(mock, name, &json!({ "latency_ms": 20 }))?;
        }
    }
    // The cheapest of a tier fails now and then, and the next of its chain answers: its price counts.
    rig::script(&mock, "small", &json!({ "latency_ms": 20, "status": 503, "fail_every": 25 }))?;
    let plane = Plane::try_start(&objects(&mock), &[], &[]).await?;
    let premium = Provider::new("premium", theirs.addr).price("premium-model", "2.5", "10");
    let static_plane = Plane::try_start(&[premium.yaml(), fixed("m", "premium")], &[], &[]).await?;
    let mut random = fastrand::Rng::with_seed(seed);
    let asks: Vec<Ask> = evenly(PER_SECOND, Duration::ZERO, END)
        .map(|at| ask(at, draw(&mut random)))
        .collect();
    let progress = Progress::new("tiers", asks.len() * 2);
    let begin = rig::soon();
    let (shots, baseline) = tokio::join!(
        load::run(plane.data, begin, asks.clone(), &progress),
        load::run(static_plane.data, begin, asks, &progress)
    );
    let metrics = plane.admin("/metrics").await.text();
    report(&shots, &baseline, &metrics, seed)
}

/// A prompt's length in reference tokens.
fn draw(random: &mut fastrand::Rng) -> usize {
    if random.usize(..BORDER) == 0 {
        let border = if random.bool() { 4_096 } else { 32_768 };
        return border + random.usize(..3) - 1;
    }
    match random.usize(..10) {
        0..6 => random.usize(50..4_096),
        6..9 => random.usize(4_096..32_768),
        _ => random.usize(32_768..60_000),
    }
}

/// A call of exactly so many reference tokens: four bytes each, and four tokens for its one message.
fn ask(at: Duration, tokens: usize) -> Ask {
    let text = "Ask. ".chars().cycle().take((tokens - 4) * 4).collect::<String>();
    let mut ask = Ask::of(
        &json!({ "model": "m", "messages": [{ "role": "user", "content": text }] }),
        at,
        false,
    );
    ask.tag = tokens;
    ask
}

fn objects(mock: &Mock) -> Vec<String> {
    let providers = PRICES
        .iter()
        .map(|(name, input, output)| Provider::new(name, mock.addr).price(&format!("{name}-model"), input, output).yaml());
    let rules = TIERS.iter().enumerate().map(|(at, (cheapest, spare, from))| {
        let to = TIERS.get(at + 1).map(|(.., to)| format!(", lessThan: {to}")).unwrap_or_default();
        format!(
            "    - {{ name: {cheapest}, balance: cheapest, match: {{ inputTokens: {{ atLeast: {from}{to} }} }}, targets: [{}, {}] }}\n",
            target(spare, 0),
            target(cheapest, 0)
        )
    });
    let rules = rules.collect::<String>();
    providers.chain([route_of("m", &format!("  rules:\n{rules}"))]).collect()
}

fn report(shots: &[Shot], baseline: &[Shot], metrics: &str, seed: u64) -> anyhow::Result<Report> {
    let mut report = Report::new("tiers", seed, &["", "all to premium", "three tiers"]);
    report.compare(baseline, shots);
    report.no_failures(shots);
    let tier = |tokens: usize| TIERS.iter().rev().find(|(.., from)| tokens >= *from);
    let is_right =
        |shot: &&Shot| tier(shot.tag).is_some_and(|(cheapest, spare, _)| shot.provider() == *cheapest || shot.provider() == *spare);
    let wrong: Vec<String> = shots.iter().filter(|shot| !is_right(shot)).map(Shot::trace).collect();
    report.figure(
        "calls outside the tier of their reference tokens",
        format!("{} of {}", wrong.len(), shots.len()),
        "0",
        wrong.is_empty(),
    );
    report.traces("outside", wrong);
    for border in TIERS.iter().skip(1).map(|(.., from)| *from) {
        let at = |tokens: usize| shots.iter().filter(|shot| shot.tag == tokens).count();
        let sides = [at(border - 1), at(border), at(border + 1)];
        report.figure(
            format!("calls of {border} tokens, one fewer, one more"),
            format!("{sides:?}"),
            "some each",
            sides.iter().all(|calls| *calls > 0),
        );
    }
    let cheapest = shots
        .iter()
        .filter(|shot| TIERS.iter().any(|(name, ..)| shot.provider() == *name))
        .count();
    let spare = shots.iter().filter(|shot| shot.tries.len() > 1).count();
    report.figure(
        "calls that the cheapest of their tier answered, but for its failures",
        format!("{cheapest} + {spare}"),
        shots.len(),
        cheapest + spare >= shots.len() && spare > 0,
    );

    let (table, told) = (by_table(shots, PRICES), dollars(shots));
    let counted = metric(metrics, "outrigger_cost_usd_total").context("no cost in the metrics")?;
    for (what, cost) in [("in the answers", told), ("in the metrics", counted)] {
        let apart = (cost - table).abs();
        report.figure(
            format!("total cost {what}"),
            format!("${cost:.6}"),
            format!("${table:.6}"),
            apart < 0.5e-6 && table > 0.0,
        );
    }
    let each = |shots: &[Shot]| dollars(shots) / ratio(shots.iter().filter(|shot| shot.good).count(), 1);
    let (before, after) = (each(baseline), each(shots));
    report.row(&[&"cost per completed call", &format!("${before:.6}"), &format!("${after:.6}")]);
    report.figure(
        "cost per completed call",
        format!("{:.1} % less", 100.0 * (1.0 - after / before)),
        "less",
        after < before,
    );
    tokens::compare(&mut report)?;
    Ok(report)
}

/// The sum of a counter over its labels.
fn metric(page: &str, name: &str) -> Option<f64> {
    let lines = page
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    let values: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}
