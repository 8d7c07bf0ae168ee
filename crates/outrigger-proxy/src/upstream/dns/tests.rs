//! On a clock that the tests own: no socket is involved.

use super::*;
use std::sync::Mutex;
use tokio::sync::Notify;
use tokio::time::advance;

/// A resolver that answers as it is told.
struct Fake {
    answer: Mutex<io::Result<Vec<SocketAddr>>>,
    asked: Mutex<usize>,
    hung: AtomicBool,
    released: Notify,
}

impl Resolve for Arc<Fake> {
    fn resolve(&self, host: &str, port: u16) -> Lookup {
        assert_eq!((host, port), ("api.example", 443));
        *self.asked.lock().unwrap() += 1;
        let fake = self.clone();
        Box::pin(async move {
            if fake.hung.load(Ordering::Relaxed) {
                fake.released.notified().await;
            }
            match &*fake.answer.lock().unwrap() {
                Ok(found) => Ok(found.clone()),
                Err(error) => Err(error.kind().into()),
            }
        })
    }
}

impl Fake {
    fn knows(&self, addresses: &[&str]) {
        *self.answer.lock().unwrap() = Ok(list(addresses));
    }

    fn fails(&self) {
        *self.answer.lock().unwrap() = Err(io::ErrorKind::NotFound.into());
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

fn list(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|a| a.parse().unwrap()).collect()
}

fn start() -> (Arc<Fake>, Addresses) {
    let fake = Arc::new(Fake {
        answer: Mutex::new(Ok(vec![])),
        asked: Mutex::new(0),
        hung: AtomicBool::new(false),
        released: Notify::new(),
    });
    let addresses = Addresses::new("api.example", 443, Arc::new(fake.clone()), Tasks::new(), Clock::start());
    (fake, addresses)
}

async fn settle() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

const A: &str = "192.0.2.1:443";
const B: &str = "192.0.2.2:443";

#[tokio::test(start_paused = true)]
async fn fresh_addresses_are_used_without_asking() {
    let (fake, addresses) = start();
    fake.knows(&[A, B]);
    assert_eq!(*addresses.current().await.unwrap(), list(&[A, B]));
    advance(FRESH).await;
    assert_eq!(*addresses.current().await.unwrap(), list(&[A, B]));
    settle().await;
    assert_eq!(fake.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn older_addresses_serve_while_newer_ones_are_fetched() {
    let (fake, addresses) = start();
    fake.knows(&[A]);
    addresses.current().await.unwrap();
    advance(FRESH + Duration::from_secs(1)).await;
    fake.knows(&[B]);
    assert_eq!(*addresses.current().await.unwrap(), list(&[A]), "nobody waits");
    settle().await;
    assert_eq!(*addresses.current().await.unwrap(), list(&[B]));
    assert_eq!(fake.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_addresses_outlive_a_failing_resolver() {
    let (fake, addresses) = start();
    fake.knows(&[A]);
    addresses.current().await.unwrap();
    fake.fails();
    for _ in 0..20 {
        advance(Duration::from_mins(1)).await;
        assert_eq!(*addresses.current().await.unwrap(), list(&[A]));
        settle().await;
    }
    fake.knows(&[]);
    advance(Duration::from_mins(1)).await;
    assert_eq!(*addresses.current().await.unwrap(), list(&[A]), "no address is no answer");
}

#[tokio::test(start_paused = true)]
async fn addresses_nobody_looked_at_for_long_are_renewed_first() {
    let (fake, addresses) = start();
    fake.knows(&[A]);
    addresses.current().await.unwrap();
    advance(TRUSTED + Duration::from_secs(1)).await;
    fake.knows(&[B]);
    assert_eq!(*addresses.current().await.unwrap(), list(&[B]));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_resolver_delays_no_longer_than_its_patience() {
    let (fake, addresses) = start();
    fake.knows(&[A]);
    addresses.current().await.unwrap();
    fake.hung.store(true, Ordering::Relaxed);
    advance(TRUSTED * 2).await;
    let clock = Clock::start();
    for round in 1..=3 {
        assert_eq!(*addresses.current().await.unwrap(), list(&[A]));
        // A millisecond more each time: the timer's resolution.
        let waited = Duration::from_micros(clock.now_us());
        assert!(waited <= PATIENCE * round + Duration::from_millis(u64::from(round)), "{waited:?}");
    }
    assert_eq!(fake.asked(), 2, "one lookup at a time");
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_connection_the_next_one_asks_first() {
    let (fake, addresses) = start();
    fake.knows(&[A]);
    addresses.current().await.unwrap();
    fake.knows(&[B]);
    addresses.suspect();
    assert_eq!(*addresses.current().await.unwrap(), list(&[A]), "looked up within the last second");
    advance(Duration::from_secs(2)).await;
    assert_eq!(*addresses.current().await.unwrap(), list(&[B]));
    advance(Duration::from_secs(2)).await;
    addresses.current().await.unwrap();
    assert_eq!(fake.asked(), 2, "no longer suspect");
}

#[tokio::test(start_paused = true)]
async fn first_callers_share_one_lookup_and_its_failure() {
    let (fake, addresses) = start();
    fake.fails();
    let (one, two) = tokio::join!(addresses.current(), addresses.current());
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert_eq!(error.kind, super::super::SendErrorKind::Connect(ConnectFault::Dns));
    }
    assert_eq!(fake.asked(), 1);
    fake.knows(&[A]);
    assert_eq!(*addresses.current().await.unwrap(), list(&[A]), "a failure is not remembered");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_outlives_the_request_that_began_it() {
    let (fake, addresses) = start();
    fake.knows(&[A]);
    fake.hung.store(true, Ordering::Relaxed);
    let gave_up = tokio::time::timeout(Duration::from_secs(1), addresses.current()).await;
    assert!(gave_up.is_err());
    fake.released.notify_one();
    assert_eq!(*addresses.current().await.unwrap(), list(&[A]));
    assert_eq!(fake.asked(), 1);
}

#[tokio::test]
async fn a_literal_address_is_never_looked_up() {
    for (host, expected) in [("192.0.2.1", A), ("2001:db8::1", "[2001:db8::1]:443")] {
        let addresses = Addresses::new(host, 443, Arc::new(start().0), Tasks::new(), Clock::start());
        assert_eq!(*addresses.current().await.unwrap(), list(&[expected]));
    }
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost_and_not_the_invalid() {
    let found = SystemResolver.resolve("localhost", 80).await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    assert!(!found.is_empty());
    assert!(SystemResolver.resolve("no-such-host.invalid", 80).await.is_err());
}
