//! How one request ends.

use super::*;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

#[tokio::test]
async fn the_request_goes_out_as_it_is_with_the_origin_as_host() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let mut request = post("{\"model\":\"m\"}");
    request.headers_mut().insert("host", HeaderValue::from_static("attacker.example"));
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer k"));
    let serve = async { peer.accept().await.serve("ok").await };
    let (request, _) = tokio::join!(serve, pools.send(&to, request, OPTIONS));
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {}\r\n", peer.address())), "{request}");
    assert!(!request.contains("attacker"), "{request}");
    assert!(request.contains("\r\nauthorization: Bearer k\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"model\":\"m\"}"), "{request}");
}

#[tokio::test]
async fn a_reused_connection_closed_under_the_request_is_stale_and_a_fresh_one_serves() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.serve("one").await;
        line.request().await;
        drop(line);
        peer.accept().await.serve("three").await;
    };
    let calls = async {
        call(&pools, &to).await;
        assert_eq!(kind_of(&pools, &to, OPTIONS).await, SendErrorKind::Stale);
        let sent = pools.send(&to, get(), FRESH).await.unwrap();
        assert!(!sent.reused);
        assert_eq!(text(sent).await, "three");
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn a_reused_connection_that_breaks_inside_the_head_is_a_reset() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.serve("one").await;
        line.request().await;
        line.say("HTTP/1.1 200").await;
    };
    let calls = async {
        call(&pools, &to).await;
        assert_eq!(kind_of(&pools, &to, OPTIONS).await, SendErrorKind::Reset);
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn a_new_connection_closed_without_an_answer_is_a_reset() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async { peer.accept().await.request().await };
    assert_eq!(tokio::join!(serve, kind_of(&pools, &to, OPTIONS)).1, SendErrorKind::Reset);
    assert_eq!(pools.counts().open, 0);
}

#[tokio::test]
async fn what_is_not_http_or_has_too_large_a_head_is_a_protocol_error() {
    let settings = PoolSettings {
        max_head: 8_192,
        ..PoolSettings::default()
    };
    let (pools, peer) = (pools(settings), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let large = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(8_192));
    for (answer, expected) in [
        ("220 smtp.example ESMTP\r\n\r\n", "the answer is not HTTP/1.1"),
        ("HTTP/1.1 999999 Odd\r\n\r\n", "the answer is not HTTP/1.1"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "the answer is not HTTP/1.1",
        ),
        (large.as_str(), "the head of the answer is larger than the cap"),
    ] {
        let serve = async {
            let mut line = peer.accept().await;
            line.request().await;
            line.say(answer).await;
            line.closed().await;
        };
        let ((), sent) = tokio::join!(serve, pools.send(&to, get(), OPTIONS));
        let error = sent.err().unwrap();
        assert_eq!(
            (error.kind, error.message.as_ref()),
            (SendErrorKind::Protocol, expected),
            "{answer}"
        );
    }
    assert_eq!(pools.counts().open, 0);
}

#[tokio::test]
async fn a_request_given_up_before_the_answer_closes_its_connection() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let mut line = tokio::select! {
        sent = pools.send(&to, get(), OPTIONS) => panic!("answered: {}", sent.is_ok()),
        line = async {
            let mut line = peer.accept().await;
            line.request().await;
            line
        } => line,
    };
    line.closed().await;
    assert_eq!(pools.counts().open, 0);
}

#[tokio::test]
async fn an_answer_dropped_while_the_provider_is_silent_closes_its_connection() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.request().await;
        line.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await;
        line
    };
    let (mut line, sent) = tokio::join!(serve, pools.send(&to, get(), OPTIONS));
    let mut body = sent.unwrap().response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    drop(body);
    line.closed().await;
    assert_eq!(pools.counts().open, 0);
}

#[tokio::test]
async fn an_answer_dropped_before_the_request_is_complete_ends_the_upload() {
    let (pools, peer) = (fed_pools(), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let (feed, body) = mpsc::channel(1);
    feed.send(Ok(Bytes::from_static(b"abc"))).await.unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.stream.read_buf(&mut line.buffer).await.unwrap();
        line.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        line
    };
    let (mut line, sent) = tokio::join!(serve, pools.send(&to, Request::new(Fed(body)), OPTIONS));
    drop(sent.unwrap());
    line.closed().await;
    // The rest of the upload is wanted no more either.
    feed.closed().await;
    assert_eq!(pools.counts().open, 0);
}

#[tokio::test]
async fn an_answer_cut_short_is_an_error_and_its_connection_is_gone() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.request().await;
        line.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    };
    let ((), sent) = tokio::join!(serve, pools.send(&to, get(), OPTIONS));
    let mut body = sent.unwrap().response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    assert!(body.frame().await.unwrap().is_err());
    assert_eq!(pools.counts().open, 0);
}

#[tokio::test]
async fn interim_answers_are_passed_over_and_redirects_are_not_followed() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.request().await;
        line.say("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await;
        line.say("HTTP/1.1 302 Found\r\nlocation: http://elsewhere.example/\r\ncontent-length: 0\r\n\r\n")
            .await;
        line
    };
    let (_line, sent) = tokio::join!(serve, pools.send(&to, get(), OPTIONS));
    let response = sent.unwrap().response;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], "http://elsewhere.example/");
    assert_eq!(pools.counts().idle, 1);
}

#[tokio::test]
async fn a_switch_of_protocols_hands_the_bytes_over() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let request = Request::builder()
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Full::default())
        .unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.request().await;
        line.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello")
            .await;
        let mut heard = [0; 3];
        line.stream.read_exact(&mut heard).await.unwrap();
        line.closed().await;
        heard
    };
    let talk = async {
        let response = pools.send(&to, request, OPTIONS).await.unwrap().response;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut io = hyper_util::rt::TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let mut heard = [0; 5];
        io.read_exact(&mut heard).await.unwrap();
        io.write_all(b"bye").await.unwrap();
        heard
    };
    let (theirs, ours) = tokio::join!(serve, talk);
    assert_eq!((&theirs, &ours), (b"bye", b"hello"));
    assert_eq!(pools.counts().open, 0, "it is not the pool's any more");
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    // Bound but not listening: the port is ours and refuses.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let pools = pools(PoolSettings::default());
    let port = socket.local_addr().unwrap().port();
    let to = pools.destination(&origin(Scheme::Http, "127.0.0.1", port), None).unwrap();
    assert_eq!(kind_of(&pools, &to, OPTIONS).await, SendErrorKind::Connect(ConnectFault::Refused));
    assert_eq!(pools.counts(), Counts::default());
}

#[tokio::test]
async fn a_peer_that_never_shakes_hands_runs_into_the_connect_timeout() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools
        .destination(&origin(Scheme::Https, "127.0.0.1", peer.address().port()), None)
        .unwrap();
    let options = SendOptions {
        connect_timeout: Duration::from_millis(1),
        ..OPTIONS
    };
    assert_eq!(kind_of(&pools, &to, options).await, SendErrorKind::Connect(ConnectFault::Timeout));
    assert_eq!(pools.counts(), Counts::default());
}

#[tokio::test]
async fn a_request_given_up_inside_the_handshake_closes_its_connection() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools
        .destination(&origin(Scheme::Https, "127.0.0.1", peer.address().port()), None)
        .unwrap();
    let mut line = tokio::select! {
        sent = pools.send(&to, get(), OPTIONS) => panic!("answered: {}", sent.is_ok()),
        line = async {
            let mut line = peer.accept().await;
            line.stream.read_buf(&mut line.buffer).await.unwrap();
            line
        } => line,
    };
    line.closed().await;
    assert_eq!(pools.counts(), Counts::default());
}

#[tokio::test]
async fn an_answer_that_announces_a_close_leaves_nothing_behind() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    for head in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2",
        "HTTP/1.0 200 OK\r\ncontent-length: 2",
        "HTTP/1.0 200 OK",
    ] {
        let serve = async {
            let mut line = peer.accept().await;
            line.request().await;
            line.say(&format!("{head}\r\n\r\nok")).await;
        };
        let ((), answer) = tokio::join!(serve, call(&pools, &to));
        assert_eq!(answer, (false, "ok".to_owned()));
        assert_eq!(pools.counts().open, 0, "{head}");
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_after_each_answer_costs_at_most_a_fresh_connection_each_time() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        loop {
            let mut line = peer.accept().await;
            line.serve("ok").await;
        }
    };
    let calls = async {
        for _ in 0..200 {
            let sent = match pools.send(&to, get(), OPTIONS).await {
                Ok(sent) => sent,
                Err(error) => {
                    assert_eq!(error.kind, SendErrorKind::Stale);
                    pools.send(&to, get(), FRESH).await.unwrap()
                }
            };
            assert_eq!(text(sent).await, "ok");
        }
    };
    tokio::select! {
        () = serve => {}
        () = calls => {}
    }
}

/// A body that the test feeds.
struct Fed(mpsc::Receiver<Result<Bytes, &'static str>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(cx).map(|item| item.map(|item| item.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(6)
    }
}

fn fed_pools() -> Upstreams<Fed> {
    let tls = Arc::new(Tls::new(None).unwrap());
    Upstreams::new(PoolSettings::default(), tls, Tasks::new(), Clock::start())
}

#[tokio::test]
async fn a_request_body_that_fails_is_not_the_providers_fault() {
    let (pools, peer) = (fed_pools(), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let (feed, body) = mpsc::channel(1);
    feed.send(Err("the client hung up")).await.unwrap();
    let serve = async { peer.accept().await.closed().await };
    let ((), sent) = tokio::join!(serve, pools.send(&to, Request::new(Fed(body)), OPTIONS));
    assert_eq!(sent.err().unwrap().kind, SendErrorKind::Body);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_complete_ends_its_connection() {
    let (pools, peer) = (fed_pools(), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let (feed, body) = mpsc::channel(1);
    let serve = async {
        let mut early = peer.accept().await;
        early.stream.read_buf(&mut early.buffer).await.unwrap();
        early.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        early.closed().await;
        let mut other = peer.accept().await;
        other.serve("").await;
        other
    };
    let calls = async {
        let first = pools.send(&to, Request::new(Fed(body)), OPTIONS).await.unwrap();
        first.response.into_body().collect().await.unwrap();
        let (last, empty) = mpsc::channel(1);
        last.send(Ok(Bytes::from_static(b"123456"))).await.unwrap();
        let second = pools.send(&to, Request::new(Fed(empty)), OPTIONS).await.unwrap();
        assert!(!second.reused);
        drop(feed);
    };
    tokio::join!(serve, calls);
}
