use super::*;
use crate::Drain;
use prometheus_client::metrics::counter::Counter;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Admin {
    address: SocketAddr,
    tasks: Tasks,
    drain: Drain,
}

fn start() -> Admin {
    let metrics = Metrics::new("outrigger");
    metrics.register("requests", "Requests", Counter::<u64>::default()).inc();
    let listeners = Listeners::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listeners.addresses()[0];
    let routes: Routes = Arc::new(|parts| match parts.uri.path() {
        "/healthz" => Some(text(StatusCode::OK, "ok\n")),
        "/targets" => Some(json(StatusCode::OK, "[]")),
        _ => None,
    });
    let tasks = Tasks::new();
    let (drain, draining) = Drain::new();
    tasks.spawn("admin", serve(listeners, metrics, routes, tasks.clone(), draining));
    Admin { address, tasks, drain }
}

/// One request on a connection of its own; the whole answer.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("{request} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn routes_metrics_and_the_rest() {
    let admin = start();
    for (request, head, body) in [
        (
            "GET /healthz",
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n",
            "ok\n",
        ),
        (
            "HEAD /healthz",
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n",
            "",
        ),
        ("GET /targets?all=1", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", "[]"),
        (
            "GET /metrics",
            "HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
            "# HELP outrigger_requests Requests.\n# TYPE outrigger_requests counter\noutrigger_requests_total 1\n# EOF\n",
        ),
        ("GET /nowhere", "HTTP/1.1 404 Not Found\r\n", "not found\n"),
        ("POST /healthz", "HTTP/1.1 405 Method Not Allowed\r\n", "only GET and HEAD\n"),
        ("DELETE /metrics", "HTTP/1.1 405 Method Not Allowed\r\n", "only GET and HEAD\n"),
    ] {
        let answer = ask(admin.address, request).await;
        assert!(answer.starts_with(head), "{request}: {answer}");
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, body, "{request}: {answer}");
    }
    assert!(ask(admin.address, "PUT /x").await.contains("\r\nallow: GET, HEAD\r\n"));
}

#[tokio::test]
async fn connections_over_the_cap_are_closed_at_once_and_the_others_go_on() {
    let admin = start();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(admin.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: admin\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
        held.push(stream);
    }
    let mut extra = TcpStream::connect(admin.address).await.unwrap();
    assert_eq!(extra.read(&mut [0; 512]).await.unwrap_or(0), 0);
    let mut last = held.pop().unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: admin\r\n\r\n").await.unwrap();
    assert!(last.read(&mut [0; 512]).await.unwrap() > 0);
}

#[tokio::test]
async fn it_answers_while_the_process_drains_and_ends_with_it() {
    let admin = start();
    let mut draining = admin.drain.draining();
    let hold = draining.hold();
    let grace = Duration::from_hours(1);
    let during = async {
        draining.graceful().await;
        let answer = ask(admin.address, "GET /healthz").await;
        drop(hold);
        answer
    };
    let (left, answer) = tokio::join!(admin.drain.drain(grace), during);
    assert!(answer.ends_with("ok\n"), "{answer}");
    assert_eq!(left, 0);
    assert!(admin.tasks.shutdown(grace).await.is_empty());
    assert!(TcpStream::connect(admin.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_idles_or_never_completes_a_head_is_let_go() {
    let admin = start();
    let mut idle = TcpStream::connect(admin.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: admin\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 512]).await.unwrap() > 0);
    let mut slow = TcpStream::connect(admin.address).await.unwrap();
    slow.write_all(b"GET /hea").await.unwrap();
    // From here on time passes only while everybody waits.
    tokio::time::pause();
    let clock = crate::Clock::start();
    for stream in [&mut idle, &mut slow] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    let waited = Duration::from_micros(clock.now_us());
    assert!(waited >= HEAD && waited < AGE, "{waited:?}");
}
