//! Traces at a collector: who called whom, how it ended and at what cost; and nothing that a collector does is felt by a call.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where it fails")]

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use outrigger_mock::Mock;
use outrigger_tests::{
    Answer, Collector, KEY, NAMESPACE, Plane, Reaction, Sidecar, anthropic_provider, attribute, behave, chat, messages, mock, post,
    provider, provider_with, published, route,
};
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A data plane that sends its spans to `collector` at once.
async fn plane(mock: &Mock, collector: &Collector, more: &[(&str, &str)]) -> Plane {
    let routes = [provider(mock, "a"), provider(mock, "b"), route("m", &["a", "b"])];
    let mut environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ];
    environment.extend(more);
    Plane::start_in(&routes, &[], &environment).await
}

const ALL: (&str, &str) = ("OTEL_TRACES_SAMPLER", "always_on");

async fn call(plane: &Plane, parent: &str) -> Answer {
    let mut request = post("/v1/chat/completions", &chat("m", "a secret question"));
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    request.headers_mut().insert("tracestate", "vendor=7".parse().unwrap());
    plane.send(request).await
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

#[tokio::test]
async fn a_call_that_fails_over_is_one_trace_of_three_spans_in_the_callers_own() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Take(0)).await);
    behave(&mock, "a", json!({ "status": 500, "text": "a secret answer" }));
    let reply = json!({ "text": "a secret answer", "model": "b-2026", "usage": { "input": 12, "output": 34 }, "finish": "length" });
    behave(&mock, "b", reply);
    let plane = plane(
        &mock,
        &collector,
        &[
            ("OTEL_SERVICE_NAME", "mailer"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=blue%20team"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=tenant-credential"),
        ],
    )
    .await;
    let answer = call(&plane, SAMPLED).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let spans = collector.wait(3).await;
    let (path, headers) = collector.last().unwrap();
    assert_eq!(path, "/v1/traces");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-tenant"], "tenant-credential");
    for (who, span) in &spans {
        assert_eq!((&who["service.name"], &who["team"]), (&json!("mailer"), &json!("blue team")));
        assert_eq!((hex(&span.trace_id).as_str(), span.trace_state.as_str()), (TRACE, "vendor=7"));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    let [(_, request), (_, first), (_, second)] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!((request.kind(), request.name.as_str()), (SpanKind::Server, "chat m"));
    assert_eq!(hex(&request.parent_span_id), "b7ad6b7169203331");
    assert!(!failed(request));
    assert_eq!(attribute(request, "outrigger.route"), "default/m");
    assert_eq!(attribute(request, "outrigger.rule"), "all");
    assert_eq!(attribute(request, "outrigger.outcome"), "ok");
    assert_eq!(attribute(request, "outrigger.request_id"), answer.header("x-request-id"));
    assert_eq!(attribute(request, "gen_ai.request.model"), "m");

    let port = u64::from(mock.addr.port());
    for (span, name) in [(first, "a"), (second, "b")] {
        assert_eq!((span.kind(), &span.name), (SpanKind::Client, &format!("chat {name}-model")));
        assert_eq!(span.parent_span_id, request.span_id);
        assert_eq!(attribute(span, "outrigger.target"), format!("{name}/{name}-model"));
        assert_eq!(attribute(span, "outrigger.key"), "main");
        assert_eq!(attribute(span, "gen_ai.operation.name"), "chat");
        assert_eq!(attribute(span, "gen_ai.provider.name"), "openai");
        assert_eq!(attribute(span, "server.address"), "127.0.0.1");
        assert_eq!(attribute(span, "server.port"), port);
        assert!(request.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= request.end_time_unix_nano);
    }
    assert!(failed(first) && !failed(second));
    assert!(first.end_time_unix_nano <= second.start_time_unix_nano);
    assert_eq!(attribute(first, "error.type"), "server_error");
    assert_eq!(attribute(first, "gen_ai.usage.output_tokens"), Value::Null, "it gave none");
    assert_eq!(attribute(second, "error.type"), Value::Null);
    assert_eq!(attribute(second, "gen_ai.response.model"), "b-2026");
    assert_eq!(attribute(second, "gen_ai.response.finish_reasons"), json!(["length"]));
    assert_eq!(attribute(second, "gen_ai.usage.input_tokens"), 12);
    assert_eq!(attribute(second, "gen_ai.usage.output_tokens"), 34);

    let record = plane.admin(&format!("/requests/{}", answer.header("x-request-id"))).await.json();
    assert_eq!(record["trace_id"], TRACE);
    for canary in [KEY, "secret", "tenant-credential"] {
        assert!(!collector.has(canary), "{canary} in a span");
        assert!(!plane.log().contains(canary), "{canary} in the log");
    }
    assert!(collector.has("b-2026"), "what is looked for would be found");
}

#[tokio::test]
async fn the_answer_says_how_long_the_gateway_and_its_providers_took() {
    let mock = mock();
    behave(&mock, "a", json!({ "status": 500, "latency_ms": 20 }));
    behave(&mock, "b", json!({ "latency_ms": 20 }));
    let plane = Plane::start(&[provider(&mock, "a"), provider(&mock, "b"), route("m", &["a", "b"])]).await;
    let answer = plane.post("/v1/chat/completions", &chat("m", "hi")).await;
    let timing = answer.header("server-timing");
    let parts: Vec<(&str, f64)> = timing
        .split(", ")
        .map(|part| part.split_once(";dur=").unwrap())
        .map(|(name, ms)| (name, ms.parse().unwrap()))
        .collect();
    assert!(matches!(parts[..], [("outrigger", _), ("provider", _)]), "{timing}");
    assert!(parts[1].1 >= 40.0, "both attempts: {timing}");
}

#[tokio::test]
async fn a_stream_in_the_other_dialect_tells_its_first_chunk() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Take(0)).await);
    let routes = [anthropic_provider(&mock, "a"), route("m", &["a"])];
    let environment = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*format!("{}/in?tenant=1", collector.url)),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ALL,
    ];
    let plane = Plane::start_in(&routes, &[], &environment).await;
    let mut body = messages("m", "hi");
    body["stream"] = true.into();
    let mut request = post("/v1/messages", &body);
    request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    assert_eq!(plane.send(request).await.status, 200);
    let spans = collector.wait(2).await;
    assert_eq!(collector.last().unwrap().0, "/in");
    assert_eq!(spans[0].0["service.name"], "outrigger");
    let (request, attempt) = (&spans[0].1, &spans[1].1);
    assert!(request.parent_span_id.is_empty() && hex(&request.trace_id) != "0".repeat(32));
    assert_eq!(request.name, "chat m");
    assert_eq!(attribute(attempt, "gen_ai.provider.name"), "anthropic");
    assert_eq!(attribute(attempt, "gen_ai.request.stream"), true);
    for span in [request, attempt] {
        assert!(attribute(span, "gen_ai.response.time_to_first_chunk").as_f64().unwrap() >= 0.0);
    }
}

#[tokio::test]
async fn the_callers_decision_holds_unless_it_is_not_asked() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Take(0)).await);
    let nothing = ("OTEL_TRACES_SAMPLER_ARG", "0");
    let mut obeys = plane(&mock, &collector, &[nothing]).await;
    for (parent, traced) in [(NOT_SAMPLED, false), ("no parent at all", false), (SAMPLED, true)] {
        let answer = call(&obeys, parent).await;
        let record = obeys.admin(&format!("/requests/{}", answer.header("x-request-id"))).await.json();
        assert_eq!(record["trace_id"], if traced { json!(TRACE) } else { Value::Null }, "{parent}");
    }
    obeys.terminate();
    assert!(obeys.ended().await);
    assert_eq!(collector.spans().len(), 2, "one request and its attempt");

    let all = plane(&mock, &collector, &[ALL]).await;
    call(&all, NOT_SAMPLED).await;
    assert_eq!(hex(&collector.wait(4).await[2].1.trace_id), TRACE);
}

#[tokio::test]
async fn without_an_endpoint_or_switched_off_no_span_leaves() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Take(0)).await);
    let off = ("OTEL_SDK_DISABLED", "true");
    let mut off = plane(&mock, &collector, &[off, ALL]).await;
    let mut unset = Plane::start_in(&[provider(&mock, "a"), route("m", &["a"])], &[], &[ALL]).await;
    for plane in [&mut off, &mut unset] {
        let answer = call(plane, SAMPLED).await;
        assert_eq!(answer.status, 200);
        let record = plane.admin(&format!("/requests/{}", answer.header("x-request-id"))).await.json();
        assert_eq!(record["trace_id"], Value::Null);
        assert!(!plane.admin("/metrics").await.text().contains("spans_dropped"));
        plane.terminate();
        assert!(plane.ended().await);
        assert!(!plane.log().contains("trace"), "{}", plane.log());
    }
    assert_eq!(collector.batches(), 0);
}

#[tokio::test]
async fn no_trace_context_goes_to_a_provider() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Take(0)).await);
    let routes = [
        provider_with(&mock, "a", "  passthrough: { paths: [\"/files\"] }"),
        route("m", &["a"]),
    ];
    let plane = Plane::start_in(&routes, &[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]).await;
    call(&plane, SAMPLED).await;
    let mut upload = post("/v1/files", &json!({}));
    for (name, value) in [("traceparent", SAMPLED), ("tracestate", "vendor=7"), ("baggage", "trace=1")] {
        upload.headers_mut().insert(name, value.parse().unwrap());
    }
    plane.send(upload).await;
    let seen = mock.calls("a");
    assert_eq!(seen.len(), 2);
    for call in seen {
        let headers = format!("{:?}", call.headers);
        assert!(headers.contains("content-type") && !headers.contains("trace"), "{headers}");
    }
}

#[tokio::test]
async fn a_collector_that_hangs_is_felt_by_no_call_and_what_it_costs_is_counted() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Hang).await);
    let mut plane = plane(&mock, &collector, &[ALL, ("OTEL_BSP_MAX_QUEUE_SIZE", "1")]).await;
    call(&plane, SAMPLED).await;
    collector.wait_batches(1).await;
    // One batch is with the collector, one request waits, and the others are let go.
    for _ in 0..5 {
        assert_eq!(call(&plane, SAMPLED).await.status, 200);
    }
    let full = "outrigger_spans_dropped_total{reason=\"queue_full\"} 8";
    plane
        .admin_until("/metrics", |page| page.text().lines().any(|line| line == full))
        .await;
    plane.terminate();
    assert!(plane.ended().await, "it ends all the same");
    assert_eq!(
        plane.log().matches("the last traces did not get to the collector in time").count(),
        1
    );
    assert!(plane.log().contains("spans=4"), "{}", plane.log());
}

#[tokio::test]
async fn spans_that_a_collector_refuses_are_counted_and_told_once() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Refuse(401)).await);
    let plane = plane(&mock, &collector, &[ALL]).await;
    let refused = |count: u64| {
        let line = format!("outrigger_spans_dropped_total{{reason=\"refused\"}} {count}");
        plane.admin_until("/metrics", move |page| page.text().lines().any(|known| known == line))
    };
    for round in 1..=3 {
        assert_eq!(call(&plane, SAMPLED).await.status, 200);
        refused(2 * round).await;
    }
    assert_eq!(plane.log().matches("traces do not get to the collector").count(), 1);
    collector.react(Reaction::Take(0));
    call(&plane, SAMPLED).await;
    collector.wait_batches(4).await;
    collector.react(Reaction::Take(1));
    call(&plane, SAMPLED).await;
    let partly = "outrigger_spans_dropped_total{reason=\"rejected\"} 1";
    plane
        .admin_until("/metrics", |page| page.text().lines().any(|line| line == partly))
        .await;
    assert_eq!(plane.log().matches("traces get to the collector again").count(), 1);
    refused(6).await;
}

#[tokio::test]
async fn a_busy_collector_gets_the_same_batch_again() {
    let (mock, collector) = (mock(), Collector::start(Reaction::RefuseOnce(503)).await);
    let plane = plane(&mock, &collector, &[ALL]).await;
    call(&plane, SAMPLED).await;
    collector.wait_batches(2).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 4);
    assert_eq!(spans[..2], spans[2..]);
    assert!(!plane.log().contains("do not get to the collector"), "{}", plane.log());
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_taken_for_a_yes() {
    let (mock, collector) = (mock(), Collector::start(Reaction::Babble).await);
    let plane = plane(&mock, &collector, &[ALL]).await;
    for round in 1..=2 {
        assert_eq!(call(&plane, SAMPLED).await.status, 200);
        collector.wait_batches(round).await;
    }
    assert!(!plane.admin("/metrics").await.text().contains("spans_dropped_total{"));
}

#[tokio::test]
async fn a_sidecar_that_ends_sends_what_it_has_first_over_tls_too() {
    let (mock, collector) = (mock(), Collector::start_tls(Reaction::Take(0)).await);
    let published = published(&[provider(&mock, "a"), route("m", &["a"])]);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &collector.ca_pem).unwrap();
    let mut sidecar = Sidecar::new()
        .mounted(&published, 1)
        .with("ca-file", ca.to_str().unwrap())
        .with("pod", "mailer-0")
        .within("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        // Nothing leaves of itself.
        .within("OTEL_BSP_SCHEDULE_DELAY", "60000")
        .within(ALL.0, ALL.1)
        .start()
        .await;
    sidecar.generation(1).await;
    for _ in 0..3 {
        assert_eq!(sidecar.post("/v1/chat/completions", &chat("m", "hi")).await.status, 200);
    }
    assert_eq!(collector.batches(), 0);
    assert!(sidecar.ended().await, "{}", sidecar.log());
    let spans = collector.spans();
    assert_eq!(spans.len(), 6);
    assert_eq!(spans[0].0["k8s.namespace.name"], NAMESPACE);
    assert_eq!(spans[0].0["k8s.pod.name"], "mailer-0");
}
