//! Three providers with twelve keys each: one key is revoked, one has no money left, one is told to wait, one is rotated under load. Nobody
//! notices, and none of them is asked when it is known to be of no use.

use crate::{
    load::{self, Ask, evenly},
    objects::{Provider, fixed, route_of, target},
    progress::Progress,
    report::Report,
    rig::{self, until},
};
use anyhow::Context as _;
use outrigger_mock::{Call, Mock};
use outrigger_tests::Plane;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const PROVIDERS: [&str; 3] = ["premium", "second", "third"];
const KEYS: usize = 12;
const REVOKED: (&str, usize) = ("premium", 3);
const SPENT: (&str, usize) = ("second", 5);
const LIMITED: (&str, usize) = ("third", 7);
const ROTATED: (&str, usize) = ("premium", 8);
const PER_SECOND: f64 = 40.0;
const END: f64 = 45.0;
/// What the limited key is told, in seconds, and when.
const WAIT: u64 = 15;
const TOLD_FROM: f64 = 5.0;
/// The provider refuses it for so long: a little less than the wait from the first refusal.
const LIMITED_FOR: f64 = 14.0;
const ROTATION: f64 = 25.0;
/// The provider takes the old key for so long beside the new one.
const OVERLAP: f64 = 3.0;
/// Calls with a key that were under way when the first of them was refused.
const UNDER_WAY_MS: u64 = 60;

pub(crate) async fn run(seed: u64) -> anyhow::Result<Report> {
    let (mock, theirs) = (rig::mock()?, rig::mock()?);
    script(&mock, false, false)?;
    script(&theirs, false, false)?;
    let plane = Plane::try_start(&objects(&mock, 1), &[], &[]).await?;
    let premium = Provider::new("premium", theirs.addr).keys(ring("premium", 1));
    let static_plane = Plane::try_start(&[premium.yaml(), fixed("m", "premium")], &[], &[]).await?;
    let asks: Vec<Ask> = evenly(PER_SECOND, Duration::ZERO, Duration::from_secs_f64(END))
        .enumerate()
        .map(|(number, at)| Ask::chat("m", at, number % 2 == 0))
        .collect();
    let progress = Progress::new("keys", asks.len() * 2);
    let begin = rig::soon();
    let (shots, baseline, played) = tokio::join!(
        load::run(plane.data, begin, asks.clone(), &progress),
        load::run(static_plane.data, begin, asks, &progress),
        play(&mock, &theirs, &plane, begin)
    );
    let marks = played?;
    let mut report = Report::new("keys", seed, &["", "all to premium", "three rings"]);
    report.compare(&baseline, &shots);
    report.no_failures(&shots);

    let dead = calls(&mock, REVOKED, 1).len();
    report.figure("calls with the revoked key", dead, "1", dead == 1);
    let spent = calls(&mock, SPENT, 1).len();
    report.figure("calls with the key that has no money left", spent, "1", spent == 1);
    let limited = calls(&mock, LIMITED, 1);
    let told = limited
        .iter()
        .find(|call| call.at_ms >= marks.limited)
        .context("the limited key was never used")?
        .at_ms;
    let early = limited
        .iter()
        .filter(|call| (told + UNDER_WAY_MS..told + WAIT * 1_000).contains(&call.at_ms))
        .count();
    report.figure("calls with the limited key before its time", early, "0", early == 0);
    let later = limited.iter().filter(|call| call.at_ms >= told + WAIT * 1_000).count();
    report.figure("calls with the limited key after it", later, "some", later > 0);
    let fresh = calls(&mock, ROTATED, 2);
    report.figure(
        "calls with the new version of the rotated key",
        fresh.len(),
        "some",
        !fresh.is_empty(),
    );
    let stale = calls(&mock, ROTATED, 1).iter().filter(|call| call.at_ms >= marks.withdrawn).count();
    report.figure("calls with its old version after it was withdrawn", stale, "0", stale == 0);
    let used: usize = PROVIDERS.iter().map(|provider| used(&mock, provider)).sum();
    let all = KEYS * PROVIDERS.len() + 1;
    report.figure("keys that were used", used, all, used == all);
    report.traces("moved", shots.iter().filter(|shot| shot.tries.len() > 1).map(load::Shot::trace));
    Ok(report)
}

/// Moments on the providers' clock.
struct Marks {
    limited: u64,
    withdrawn: u64,
}

/// Plays what happens to the keys.
async fn play(mock: &Mock, theirs: &Mock, plane: &Plane, begin: Instant) -> anyhow::Result<Marks> {
    // What arrived until now, and what was under way.
    let now = || {
        let last = PROVIDERS
            .iter()
            .filter_map(|provider| mock.calls(provider).last().map(|call| call.at_ms))
            .max();
        last.unwrap_or(0) + 1
    };
    until(begin, TOLD_FROM).await;
    script(mock, true, false)?;
    script(theirs, true, false)?;
    let limited = now();
    until(begin, TOLD_FROM + LIMITED_FOR).await;
    script(mock, false, false)?;
    until(begin, ROTATION).await;
    plane.rewrite(&objects(mock, 2));
    until(begin, ROTATION + OVERLAP).await;
    script(mock, false, true)?;
    script(theirs, false, true)?;
    Ok(Marks { limited, withdrawn: now() })
}

fn script(mock: &Mock, limited: bool, withdrawn: bool) -> anyhow::Result<()> {
    let latency = 20;
    let refused = |status: u16, code: &str| json!({ "latency_ms": latency, "status": status, "error": { "type": code, "code": code } });
    for provider in PROVIDERS {
        let mut by_key = serde_json::Map::new();
        let mut put = |key: (&str, usize), script| {
            if key.0 == provider {
                by_key.insert(bytes(provider, key.1, 1), script);
            }
        };
        put(REVOKED, refused(401, "invalid_api_key"));
        put(SPENT, refused(429, "insufficient_quota"));
        if limited {
            let mut told = refused(429, "rate_limit_exceeded");
            if let Some(fields) = told.as_object_mut() {
                fields.insert("retry_after".to_owned(), WAIT.into());
            }
            put(LIMITED, told);
        }
        if withdrawn {
            put(ROTATED, refused(401, "invalid_api_key"));
        }
        rig::script(mock, provider, &json!({ "latency_ms": latency, "by_key": by_key }))?;
    }
    Ok(())
}

fn objects(mock: &Mock, version: usize) -> Vec<String> {
    let providers = PROVIDERS.map(|name| Provider::new(name, mock.addr).keys(ring(name, version)).yaml());
    let targets = PROVIDERS.map(|name| target(name, 0)).join(", ");
    let route = route_of("m", &format!("  rules: [{{ name: all, targets: [{targets}] }}]"));
    providers.into_iter().chain([route]).collect()
}

/// The keys of a provider: their names and bytes; the rotated one's in this version.
fn ring(provider: &str, version: usize) -> Vec<(String, String)> {
    let version = |key| if (provider, key) == ROTATED { version } else { 1 };
    (0..KEYS)
        .map(|key| (format!("k{key}"), bytes(provider, key, version(key))))
        .collect()
}

fn bytes(provider: &str, key: usize, version: usize) -> String {
    format!("sk-{provider}-{key:02}-v{version}")
}

fn calls(mock: &Mock, (provider, key): (&str, usize), version: usize) -> Vec<Call> {
    let credential = format!("Bearer {}", bytes(provider, key, version));
    let mut calls = mock.calls(provider);
    calls.retain(|call| call.headers.get("authorization") == Some(&credential));
    calls
}

/// How many different keys a provider has seen.
fn used(mock: &Mock, provider: &str) -> usize {
    let mut seen: Vec<_> = mock
        .calls(provider)
        .into_iter()
        .filter_map(|call| call.headers.get("authorization").cloned())
        .collect();
    seen.sort();
    seen.dedup();
    seen.len()
}
