//! Which connection a request gets.

use super::*;

#[tokio::test]
async fn an_answer_read_to_its_end_leaves_its_connection_to_the_next_request() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.serve("one").await;
        // Chunked: the end comes apart from the text.
        line.request().await;
        line.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n").await;
        line.say("0\r\n\r\n").await;
        line.request().await;
        line.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        line.serve("four").await;
        line
    };
    let calls = async {
        assert_eq!(call(&pools, &to).await, (false, "one".to_owned()));
        assert_eq!(call(&pools, &to).await, (true, "two".to_owned()));
        assert_eq!(call(&pools, &to).await, (true, String::new()));
        assert_eq!(call(&pools, &to).await, (true, "four".to_owned()));
    };
    let _line = tokio::join!(serve, calls).0;
    assert_eq!(
        pools.counts(),
        Counts {
            open: 1,
            idle: 1,
            opened: 1
        }
    );
}

#[tokio::test]
async fn a_connection_is_back_before_the_last_chunk_is_handed_on() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.serve("text").await;
        line
    };
    let first_frame = async {
        let mut sent = pools.send(&to, get(), OPTIONS).await.unwrap();
        let frame = sent.response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "text");
        assert_eq!(
            pools.counts().idle,
            1,
            "the reader has not yet seen the end, but may already call again"
        );
        sent
    };
    tokio::join!(serve, first_frame);
}

#[tokio::test]
async fn the_connection_used_last_is_used_first() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let (first, second) = (pools.send(&to, get(), OPTIONS), pools.send(&to, get(), OPTIONS));
    let serve = async {
        let (mut one, mut two) = (peer.accept().await, peer.accept().await);
        one.serve("one").await;
        two.serve("two").await;
        (one, two)
    };
    let (first, second, (mut one, mut two)) = tokio::join!(first, second, serve);
    let (first, second) = (text(first.unwrap()).await, text(second.unwrap()).await);
    assert_eq!((first.as_str(), second.as_str()), ("one", "two"));
    let next = async {
        tokio::select! {
            _ = one.serve("one again") => {}
            _ = two.serve("two again") => {}
        }
    };
    let (answer, ()) = tokio::join!(call(&pools, &to), next);
    assert_eq!(answer, (true, "two again".to_owned()));
}

#[tokio::test]
async fn a_new_destination_of_a_known_origin_reopens_nothing() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let serve = async {
        let mut line = peer.accept().await;
        for _ in 0..100 {
            line.serve("ok").await;
        }
        line
    };
    let reloads = async {
        for round in 0..100 {
            let to = pools.destination(&peer.origin(), None).unwrap();
            assert_eq!(call(&pools, &to).await.0, round > 0);
            drop(to);
            pools.shared.reap();
        }
    };
    let _line = tokio::join!(serve, reloads).0;
    assert_eq!(pools.counts().opened, 1);
}

#[tokio::test]
async fn connections_never_outnumber_the_requests_in_flight() {
    const CALLERS: usize = 16;
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let peers = Tasks::new();
    let serve = async {
        loop {
            let mut line = peer.accept().await;
            peers.background("peer", async move {
                loop {
                    line.serve("hello").await;
                }
            });
        }
    };
    let callers = async {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let (pools, to) = (pools.clone(), to.clone());
            set.spawn(async move {
                for _ in 0..50 {
                    call(&pools, &to).await;
                }
            });
        }
        while let Some(done) = set.join_next().await {
            done.unwrap();
        }
    };
    tokio::select! {
        () = callers => {}
        () = serve => {}
    }
    assert!(pools.counts().opened <= CALLERS as u64, "{:?}", pools.counts());
}

#[tokio::test]
async fn a_connection_idle_for_too_long_is_not_used_again() {
    let settings = PoolSettings {
        idle_age: Duration::ZERO,
        ..PoolSettings::default()
    };
    let (pools, peer) = (pools(settings), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut old = peer.accept().await;
        old.serve("old").await;
        let mut new = peer.accept().await;
        new.serve("new").await;
        old.closed().await;
        new
    };
    let calls = async {
        call(&pools, &to).await;
        let clock = pools.shared.clock;
        let back = clock.now_us();
        while clock.now_us() <= back {
            tokio::task::yield_now().await;
        }
        assert_eq!(call(&pools, &to).await, (false, "new".to_owned()));
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn what_the_peer_closes_while_idle_costs_no_request() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let ((), _) = tokio::join!(async { drop(peer.accept().await.serve("one").await) }, call(&pools, &to));
    until(|| {
        pools.shared.reap();
        pools.counts().open == 0
    })
    .await;
    let serve = async {
        let mut line = peer.accept().await;
        line.serve("two").await;
        line
    };
    assert_eq!(tokio::join!(serve, call(&pools, &to)).1, (false, "two".to_owned()));
}

#[tokio::test]
async fn idle_connections_over_the_limit_are_closed() {
    let settings = PoolSettings {
        max_idle_per_origin: 1,
        ..PoolSettings::default()
    };
    let (pools, peer) = (pools(settings), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let (mut one, mut two) = (peer.accept().await, peer.accept().await);
        one.serve("").await;
        two.serve("").await;
        tokio::select! {
            () = one.closed() => {}
            () = two.closed() => {}
        }
    };
    let (one, two, ()) = tokio::join!(pools.send(&to, get(), OPTIONS), pools.send(&to, get(), OPTIONS), serve);
    assert!(one.is_ok() && two.is_ok());
    assert_eq!((pools.counts().open, pools.counts().idle), (1, 1));
}

#[tokio::test]
async fn an_origin_at_its_cap_refuses_at_once_and_serves_again_after_a_release() {
    let settings = PoolSettings {
        max_connections_per_origin: 1,
        ..PoolSettings::default()
    };
    let (pools, peer) = (pools(settings), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let held = pools.checkout(&to, OPTIONS).await.unwrap();
    assert_eq!(kind_of(&pools, &to, OPTIONS).await, SendErrorKind::Full);
    drop(held);
    let mut line = peer.accept().await;
    line.closed().await;
    let serve = async {
        let mut line = peer.accept().await;
        line.serve("").await;
        // A fresh connection takes the place of the idle one.
        peer.accept().await.serve("fresh").await;
        line.closed().await;
    };
    let calls = async {
        call(&pools, &to).await;
        assert_eq!(text(pools.send(&to, get(), FRESH).await.unwrap()).await, "fresh");
    };
    tokio::join!(serve, calls);
    assert_eq!(pools.counts().opened, 3);
}

#[tokio::test]
async fn an_origin_is_forgotten_when_nothing_names_it_and_nothing_is_open() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    pools.shared.reap();
    assert_eq!(pools.shared.pools().len(), 1, "a snapshot still names it");
    let lease = pools.checkout(&to, OPTIONS).await.unwrap();
    drop(to);
    pools.shared.reap();
    assert_eq!(pools.shared.pools().len(), 1, "a request still uses it");
    drop(lease);
    pools.shared.reap();
    assert_eq!(pools.shared.pools().len(), 0);
}

#[tokio::test]
async fn idle_connections_are_closed_although_nobody_calls() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let serve = async {
        let mut line = peer.accept().await;
        line.serve("").await;
        line
    };
    let mut line = tokio::join!(serve, call(&pools, &to)).0;
    assert_eq!(pools.counts().idle, 1);
    // From here on time passes only while everybody waits.
    tokio::time::pause();
    line.read_to_end().await;
    assert_eq!(pools.counts().open, 0);
    let age = Duration::from_micros(pools.shared.clock.now_us());
    assert!(age >= PoolSettings::default().idle_age, "{age:?}");
}

#[tokio::test]
async fn a_request_waits_in_little_memory() {
    let (pools, peer) = (pools(PoolSettings::default()), Peer::new().await);
    let to = pools.destination(&peer.origin(), None).unwrap();
    let size = size_of_val(&pools.send(&to, get(), OPTIONS));
    assert!(size <= 2_048, "{size}");
}

/// Lets the runtime turn until `done`.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}
