//! What takes minutes, or is about seconds and mebibytes: not part of the tests that every change runs. `cargo xtask run figures` builds the
//! binary that ships and runs these; each prints what it measured beside what was asked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test panics where it fails"
)]

use outrigger_tests::{Answer, Connection, Plane, behave, chat, figure, memory, mock, post, provider, route, route_with};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

fn streamed(mut call: Value) -> Value {
    call["stream"] = true.into();
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure: cargo xtask run figures"]
async fn a_hundred_reloads_under_load_fail_no_call_and_reopen_no_connection() {
    let mock = mock();
    behave(&mock, "a", json!({ "status": 503 }));
    behave(&mock, "b", json!({ "latency_ms": 5 }));
    let manifests = |turn: usize| {
        let spec = format!("  attempts: {{ max: {} }}", 3 + turn % 2);
        vec![provider(&mock, "a"), provider(&mock, "b"), route_with("m", &["a", "b"], &spec)]
    };
    let plane = Arc::new(Plane::start(&manifests(0)).await);
    let failed = Arc::new(AtomicUsize::new(0));
    let called = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for number in 0..16_u32 {
        let (plane, failed, called, stop) = (Arc::clone(&plane), Arc::clone(&failed), Arc::clone(&called), Arc::clone(&stop));
        callers.spawn(async move {
            let mut connection = plane.connect().await;
            // 200 calls a second over 16 connections.
            let mut beat = tokio::time::interval(Duration::from_millis(80));
            tokio::time::sleep(Duration::from_millis(u64::from(5 * number))).await;
            while stop.load(Ordering::Relaxed) == 0 {
                beat.tick().await;
                let answer = connection.send(post("/v1/chat/completions", &chat("m", "hi"))).await;
                called.fetch_add(1, Ordering::Relaxed);
                if !answer.is_ok_and(|answer| answer.status == 200) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for turn in 1..=100 {
        plane.rewrite(&manifests(turn));
        let wanted = format!("outrigger_snapshot_generation {}", turn + 1);
        plane.admin_until("/metrics", |page| page.text().contains(&wanted)).await;
    }
    let targets = plane.admin("/targets").await.json();
    stop.store(1, Ordering::Relaxed);
    callers.join_all().await;
    figure(
        "failed calls during 100 reloads",
        failed.load(Ordering::Relaxed),
        "0",
        failed.load(Ordering::Relaxed) == 0,
    );
    figure(
        "calls made meanwhile",
        called.load(Ordering::Relaxed),
        "some hundreds",
        called.load(Ordering::Relaxed) > 300,
    );
    figure(
        "connections ever opened to the healthy target",
        mock.connections("b").opened,
        "<= 16",
        mock.connections("b").opened <= 16,
    );
    figure(
        "state of the failing target after it all",
        &targets[0]["health"]["state"],
        "not closed",
        targets[0]["health"]["state"] != "closed",
    );
}

#[tokio::test]
#[ignore = "a figure: cargo xtask run figures"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
async fn a_provider_that_closes_after_a_second_of_rest_costs_no_failure_in_two_minutes() {
    let mock = mock();
    behave(&mock, "a", json!({ "idle_close_ms": 1000 }));
    let plane = Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await;
    let mut connection = plane.connect().await;
    let end = Instant::now() + Duration::from_mins(2);
    let (mut calls, mut failures) = (0, 0);
    while Instant::now() < end {
        let answer = connection.send(post("/v1/chat/completions", &chat("m", "hi"))).await.unwrap();
        calls += 1;
        failures += usize::from(answer.status != 200);
        tokio::time::sleep(Duration::from_millis(1050)).await;
    }
    figure(&format!("failures in {calls} calls"), failures, "0", failures == 0);
}

#[tokio::test]
#[ignore = "a figure: cargo xtask run figures"]
async fn slow_but_healthy_answers_succeed_on_the_default_timeouts() {
    let mock = mock();
    behave(&mock, "a", json!({ "latency_ms": 20_000 }));
    behave(&mock, "b", json!({ "first_token_ms": 40_000, "ping_ms": 5_000 }));
    let plane = Plane::start(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["a"]), route("w", &["b"])]).await;
    let slow_call = chat("m", "hi");
    let silent_call = streamed(chat("w", "hi"));
    let (unary, stream) = tokio::join!(
        plane.post("/v1/chat/completions", &slow_call),
        plane.post("/v1/chat/completions", &silent_call)
    );
    figure("a unary answer after 20 s", unary.status, "200", unary.status == 200);
    let whole = stream.events().last() == Some(&Value::from("[DONE]"));
    figure(
        "a stream silent for 40 s behind pings",
        if whole { "whole" } else { "broken" },
        "whole",
        whole,
    );
    let attempts = mock.calls("a").len() + mock.calls("b").len();
    figure("attempts", attempts, "2", attempts == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure: cargo xtask run figures"]
async fn two_hundred_large_prompts_stay_within_the_configured_memory() {
    let mock = mock();
    behave(&mock, "a", json!({ "latency_ms": 200, "strict": false }));
    let plane = Arc::new(Plane::start_with(&[provider(&mock, "a"), route("m", &["a"])], &["--memory-limit", "128Mi"]).await);
    let body = Arc::new(chat("m", &"x".repeat(10 << 20)).to_string());
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let (plane, body) = (Arc::clone(&plane), Arc::clone(&body));
        callers.spawn(async move {
            let request = outrigger_tests::request(
                http::Method::POST,
                "/v1/chat/completions",
                bytes::Bytes::from(body.as_bytes().to_vec()),
            );
            let answer = Connection::open(plane.data).await.unwrap().send(request).await;
            answer.map(|answer| (answer.status, answer.header("retry-after").to_owned()))
        });
    }
    let answers: Vec<_> = callers.join_all().await;
    let count = |status: u16| {
        answers
            .iter()
            .filter(|answer| answer.as_ref().is_ok_and(|(s, _)| *s == status))
            .count()
    };
    let told = answers
        .iter()
        .flatten()
        .filter(|(status, after)| *status == 503 && !after.is_empty())
        .count();
    figure("answered 200", count(200), "some", count(200) > 0);
    figure(
        "answered 503 with Retry-After",
        told,
        "some, and all the rest",
        told > 0 && told + count(200) == 200,
    );
    figure(
        "VmHWM, MiB",
        format!("{:.1}", memory(plane.pid(), "VmHWM:")),
        "<= 128",
        memory(plane.pid(), "VmHWM:") <= 128.0,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure: cargo xtask run figures"]
async fn open_streams_do_not_keep_their_prompts() {
    let mock = mock();
    behave(&mock, "a", json!({ "chunks": 40, "chunk_ms": 1000 }));
    let plane = Arc::new(Plane::start(&[provider(&mock, "a"), route("m", &["a"])]).await);
    let body = Arc::new(streamed(chat("m", &"x".repeat(1 << 20))).to_string());
    let mut open = Vec::new();
    for _ in 0..25 {
        let mut starting = JoinSet::new();
        for _ in 0..20 {
            let (plane, body) = (Arc::clone(&plane), Arc::clone(&body));
            starting.spawn(async move {
                let request = outrigger_tests::request(
                    http::Method::POST,
                    "/v1/chat/completions",
                    bytes::Bytes::from(body.as_bytes().to_vec()),
                );
                let mut connection = Connection::open(plane.data).await.unwrap();
                let response = connection.start(request).await.unwrap();
                assert_eq!(response.status(), 200);
                (connection, response)
            });
        }
        open.extend(starting.join_all().await);
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let resident = memory(plane.pid(), "VmRSS:");
    figure(
        "RSS with 500 streams 15 s after the last commit, MiB",
        format!("{resident:.1}"),
        "<= 60",
        resident <= 60.0,
    );
    let (_connection, response) = open.remove(0);
    assert!(Answer::read(response).await.whole);
}
