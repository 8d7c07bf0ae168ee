use super::*;
use crate::{
    metrics::ReasonLabels,
    traces::{
        context::{SpanId, TraceId},
        spans::Kind,
    },
};
use outrigger_runtime::Drain;

fn span() -> Span {
    Span {
        trace: TraceId::mint(),
        id: SpanId::mint(),
        parent: None,
        remote: true,
        state: None,
        kind: Kind::Server,
        name: "chat".to_owned(),
        start_ns: 1,
        end_ns: 2,
        failed: false,
        attributes: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_down_is_asked_at_growing_distances_before_its_batch_is_lost() {
    let clock = Clock::start();
    // Bound, and let go again: nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let variable = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.clone());
    let settings = TraceSettings::read(&variable, &[], &mut Vec::new()).unwrap();
    let delay = settings.delay;
    let dropped = Dropped::default();
    let (queue, waiting) = mpsc::channel(4);
    let (_drain, draining) = Drain::new();
    let (serves, calls) = watch::channel(());
    let surroundings = Surroundings {
        tls: Arc::new(Tls::new(None).unwrap()),
        tasks: Tasks::new(),
        clock,
        calls,
        in_flight: draining.hold(),
    };
    queue.send(vec![span(), span()]).await.unwrap();
    let lost = || dropped.get_or_create(&ReasonLabels { reason: "unreachable" }).get();
    let counted = async {
        while lost() == 0 {
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(lost(), 2);
        // At least half of each pause, and the pauses double.
        let shortest = delay + PAUSE * (1 + 2 + 4 + 8) / 2;
        assert!(u128::from(clock.now_us()) >= shortest.as_micros(), "{}", clock.now_us());
        assert_eq!(draining.in_flight(), 1);
        drop(serves);
    };
    tokio::join!(Exporter::new(settings, waiting, dropped.clone()).run(surroundings), counted);
    assert_eq!(draining.in_flight(), 0);
}

#[test]
fn a_pause_that_is_asked_for_is_read_in_seconds() {
    for (text, pause) in [
        ("3", Some(3)),
        (" 3 ", Some(3)),
        ("0", Some(0)),
        ("-1", None),
        ("3s", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ] {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
        assert_eq!(retry_after(&headers), pause.map(Duration::from_secs), "{text}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}
