//! What a provider is asked beside calls, by whom, and what comes of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

use outrigger_mock::{Call, Mock};
use outrigger_tests::{Answer, KEY, Plane, Sidecar, behave, chat, mock, provider, provider_with, published, route, route_with};
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);
/// As often as may be.
const CHECK: &str = "  healthCheck: { interval: 1s, timeout: 1s }";

fn checked(mock: &Mock, name: &str) -> String {
    provider_with(mock, name, CHECK)
}

fn is_check(call: &Call) -> bool {
    call.method == "GET"
}

fn checks(mock: &Mock, name: &str) -> usize {
    mock.calls(name).iter().filter(|call| is_check(call)).count()
}

/// Waits for so many checks, whatever else comes.
async fn checks_come(mock: &Mock, name: &str, count: usize) -> Vec<Call> {
    let enough = |calls: &[Call]| calls.iter().filter(|call| is_check(call)).count() >= count;
    mock.wait_until(name, PATIENCE, enough).await.unwrap()
}

fn target<'a>(page: &'a Value, name: &str) -> &'a Value {
    let label = format!("{name}/{name}-model");
    page.as_array().unwrap().iter().find(|target| target["target"] == label).unwrap()
}

fn closed(name: &str, page: &Answer) -> bool {
    target(&page.json(), name)["health"]["state"] == "closed"
}

async fn answered_by(plane: &Plane, model: &str) -> Answer {
    let answer = plane.post("/v1/chat/completions", &chat(model, "hi")).await;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), plane.log());
    answer
}

#[tokio::test]
async fn dev_leaves_a_provider_that_its_checks_find_down_before_any_call_met_it_and_comes_back() {
    let mock = mock();
    behave(&mock, "a", json!({ "status": 503 }));
    let plane = Plane::start(&[checked(&mock, "a"), provider(&mock, "b"), route("m", &["a", "b"])]).await;
    let page = plane.admin_until("/targets", |page| !closed("a", page)).await.json();
    let a = target(&page, "a");
    assert_eq!(a["check"]["result"], "unanswered", "{a}");
    assert_eq!(a["check"]["status"], 503, "{a}");
    assert!(a["health"]["unanswered_checks"].as_u64() >= Some(3), "{a}");
    assert_eq!(a["health"]["samples"], 0, "no call has met it: {a}");
    assert_eq!(target(&page, "b")["check"], Value::Null, "it asks for none");

    mock.set("a", outrigger_mock::Behaviour::default());
    let page = plane.admin_until("/targets", |page| closed("a", page)).await.json();
    assert_eq!(target(&page, "a")["check"]["result"], "answered");
    assert!(mock.calls("a").iter().all(is_check) && mock.calls("b").is_empty());
    // The share grows back over seconds.
    while answered_by(&plane, "m").await.header("x-outrigger-provider") != "a" {}

    for check in mock.calls("a").iter().filter(|call| is_check(call)) {
        assert_eq!(check.path, "/v1/models");
        assert_eq!(check.headers["authorization"], format!("Bearer {KEY}"));
        assert!(check.complaints.is_empty(), "{:?}", check.complaints);
    }
    assert!(plane.log().contains("a health check is not answered") && plane.log().contains("a health check is answered again"));
}

#[tokio::test]
async fn refused_keys_spent_rates_and_unknown_paths_say_neither_up_nor_down() {
    let mock = mock();
    let statuses = [("refused", 401), ("forbidden", 403), ("spent", 429), ("elsewhere", 404)];
    let mut manifests = vec![];
    for (name, status) in statuses {
        behave(&mock, name, json!({ "status": status }));
        manifests.extend([checked(&mock, name), route(name, &[name])]);
    }
    let plane = Plane::start(&manifests).await;
    for (name, status) in statuses {
        checks_come(&mock, name, 4).await;
        let page = plane
            .admin_until("/targets", |page| target(&page.json(), name)["check"]["status"] == status)
            .await
            .json();
        let shown = target(&page, name);
        assert_eq!(shown["check"]["result"], "unclear", "{shown}");
        assert_eq!(shown["health"]["state"], "closed", "{shown}");
        assert_eq!(
            shown["health"]["keys"]["main"], "ready",
            "what becomes of keys is a matter of calls: {shown}"
        );
    }
}

#[tokio::test]
async fn a_check_that_hangs_ends_at_its_timeout_and_does_not_pile_up() {
    let mock = mock();
    behave(&mock, "a", json!({ "stall": "accept" }));
    let hasty = provider_with(&mock, "a", "  healthCheck: { interval: 1s, timeout: 100ms }");
    let plane = Plane::start(&[hasty, route("m", &["a"])]).await;
    let one_at_most = |calls: &[Call]| calls.len() >= 4 && calls.iter().filter(|call| !call.aborted).count() <= 1;
    mock.wait_until("a", PATIENCE, one_at_most).await.unwrap();
    let page = plane
        .admin_until("/targets", |page| target(&page.json(), "a")["check"]["error"] == "timeout")
        .await
        .json();
    assert_eq!(target(&page, "a")["check"]["result"], "unanswered");
}

#[tokio::test]
async fn a_reload_without_the_field_ends_the_checks_and_keeps_what_they_told() {
    let mock = mock();
    behave(&mock, "a", json!({ "status": 500 }));
    behave(&mock, "b", json!({ "status": 500 }));
    let plane = Plane::start(&[checked(&mock, "a"), checked(&mock, "b"), route("m", &["a", "b"])]).await;
    plane.admin_until("/targets", |page| !closed("a", page)).await;
    plane.rewrite(&[provider(&mock, "a"), checked(&mock, "b"), route("m", &["a", "b"])]);
    let page = plane
        .admin_until("/targets", |page| target(&page.json(), "a")["check"] == Value::Null)
        .await
        .json();
    assert_ne!(
        target(&page, "a")["health"]["state"],
        "closed",
        "evidence outlives the table: {page}"
    );
    // One may have been on its way.
    checks_come(&mock, "b", checks(&mock, "b") + 1).await;
    let ended = checks(&mock, "a");
    checks_come(&mock, "b", checks(&mock, "b") + 3).await;
    assert_eq!(checks(&mock, "a"), ended);
}

#[tokio::test]
async fn a_check_follows_no_redirect_and_its_key_stays_with_it() {
    let (mock, other) = (mock(), mock());
    behave(
        &mock,
        "a",
        json!({ "status": 307, "headers": { "location": format!("{}/v1/models", other.url("a")) } }),
    );
    let plane = Plane::start(&[checked(&mock, "a"), route("m", &["a"])]).await;
    checks_come(&mock, "a", 3).await;
    let page = plane
        .admin_until("/targets", |page| target(&page.json(), "a")["check"]["status"] == 307)
        .await
        .json();
    assert_eq!(target(&page, "a")["check"]["result"], "unclear");
    assert!(other.calls("a").is_empty() && other.connections("a").opened == 0);
}

#[tokio::test]
async fn a_provider_that_moves_is_asked_at_its_new_place_with_the_key_of_that_place() {
    const NEW_KEY: &str = "sk-test-provider-key-moved";
    let (before, after) = (mock(), mock());
    let plane = Plane::start(&[checked(&before, "a"), route("m", &["a"])]).await;
    checks_come(&before, "a", 2).await;
    plane.rewrite(&[checked(&after, "a").replace(KEY, NEW_KEY), route("m", &["a"])]);
    checks_come(&after, "a", 2).await;
    for (mock, key) in [(&before, KEY), (&after, NEW_KEY)] {
        let calls = mock.calls("a");
        assert!(
            calls.iter().all(|call| call.headers["authorization"] == format!("Bearer {key}")),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn a_sidecar_asks_only_a_target_that_is_down_and_left_alone_which_then_serves_the_next_call() {
    const QUICK: &str = "  attempts: { backoff: { base: 1ms, max: 1ms } }";
    let mock = mock();
    let mut manifests: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| checked(&mock, name)).collect();
    manifests.extend([
        route("idle", &["c"]),
        route_with("m", &["a", "b"], QUICK),
        route_with("other", &["d", "b"], QUICK),
    ]);
    let sidecar = Sidecar::new().mounted(&published(&manifests), 1).start().await;
    let ask = async |model: &str| sidecar.post("/v1/chat/completions", &chat(model, "hi")).await;
    for (name, model) in [("a", "m"), ("d", "other")] {
        behave(&mock, name, json!({ "status": 500 }));
        for _ in 0..3 {
            assert_eq!(ask(model).await.header("x-outrigger-provider"), "b");
        }
    }
    checks_come(&mock, "a", 2).await;
    let page = sidecar.page("/targets").await.json();
    assert_eq!(target(&page, "a")["check"]["status"], 500, "{page}");
    assert_ne!(target(&page, "a")["health"]["state"], "closed", "{page}");

    mock.set("a", outrigger_mock::Behaviour::default());
    mock.clear("a");
    // What checks can tell is told after two; the rest is a call's.
    checks_come(&mock, "a", 2).await;
    while target(&sidecar.page("/targets").await.json(), "a")["health"]["unanswered_checks"] != 0 {
        tokio::task::yield_now().await;
    }
    let answer = ask("m").await;
    assert_eq!(answer.header("x-outrigger-provider"), "a", "{:?}", answer.headers);
    assert!(!answer.header("x-outrigger-attempts").contains(','), "{:?}", answer.headers);
    assert_eq!(target(&sidecar.page("/targets").await.json(), "a")["health"]["state"], "closed");

    // While one that is still down is asked on and on.
    checks_come(&mock, "d", checks(&mock, "d") + 3).await;
    assert_eq!(checks(&mock, "a"), 2);
    assert_eq!((checks(&mock, "b"), checks(&mock, "c")), (0, 0), "nothing was wrong with them");
}
