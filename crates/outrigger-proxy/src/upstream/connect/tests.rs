//! The race, on a clock that the tests own and with connections that are only told of.

use super::*;
use outrigger_runtime::{Clock, Tasks};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

const V6: &str = "[2001:db8::1]:443";
const V6B: &str = "[2001:db8::2]:443";
const V4: &str = "192.0.2.1:443";
const V4B: &str = "192.0.2.2:443";

fn list(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|a| a.parse().unwrap()).collect()
}

#[derive(Clone, Copy)]
enum Does {
    Accepts,
    Refuses,
    Hangs,
}

/// What each address does; notes when each was tried, in milliseconds, and how many tries are alive.
struct Net {
    does: Vec<(SocketAddr, Does)>,
    clock: Clock,
    tried: Mutex<Vec<(SocketAddr, u64)>>,
    alive: Arc<AtomicUsize>,
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Net {
    fn new(does: &[(&str, Does)]) -> Self {
        Self {
            does: does.iter().map(|(address, does)| (address.parse().unwrap(), *does)).collect(),
            clock: Clock::start(),
            tried: Mutex::default(),
            alive: Arc::default(),
        }
    }

    async fn race(&self) -> io::Result<SocketAddr> {
        let addresses: Vec<_> = self.does.iter().map(|(address, _)| *address).collect();
        race(&addresses, |address| {
            let does = self.does.iter().find(|(a, _)| *a == address).unwrap().1;
            self.tried.lock().unwrap().push((address, self.clock.now_us() / 1_000));
            self.alive.fetch_add(1, Ordering::Relaxed);
            let alive = Alive(self.alive.clone());
            async move {
                let _alive = alive;
                match does {
                    Does::Accepts => Ok(address),
                    Does::Refuses => Err(io::Error::new(io::ErrorKind::ConnectionRefused, address.to_string())),
                    Does::Hangs => std::future::pending().await,
                }
            }
        })
        .await
    }

    fn tried(&self) -> Vec<(SocketAddr, u64)> {
        self.tried.lock().unwrap().clone()
    }
}

fn at(address: &str, ms: u64) -> (SocketAddr, u64) {
    (address.parse().unwrap(), ms)
}

#[tokio::test(start_paused = true)]
async fn a_dead_family_costs_one_head_start() {
    let net = Net::new(&[(V6, Does::Hangs), (V6B, Does::Hangs), (V4, Does::Accepts)]);
    assert_eq!(net.race().await.unwrap(), list(&[V4])[0]);
    assert_eq!(net.tried(), [at(V6, 0), at(V4, 250)]);
    tokio::task::yield_now().await;
    assert_eq!(net.alive.load(Ordering::Relaxed), 0, "the losers are dropped");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_passes_the_turn_on_at_once() {
    let net = Net::new(&[(V6, Does::Refuses), (V4, Does::Refuses), (V4B, Does::Accepts)]);
    assert_eq!(net.race().await.unwrap(), list(&[V4B])[0]);
    assert_eq!(net.tried(), [at(V6, 0), at(V4, 0), at(V4B, 0)]);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_first_failure_is_told() {
    let net = Net::new(&[(V6, Does::Refuses), (V4, Does::Refuses)]);
    assert_eq!(net.race().await.unwrap_err().to_string(), V6);
}

#[tokio::test(start_paused = true)]
async fn no_more_addresses_than_the_limit_are_tried() {
    let names: Vec<String> = (0..20).map(|n| format!("192.0.2.{n}:443")).collect();
    let does: Vec<_> = names.iter().map(|name| (name.as_str(), Does::Refuses)).collect();
    let net = Net::new(&does);
    assert!(net.race().await.is_err());
    assert_eq!(net.tried().len(), MOST_ADDRESSES);
}

#[test]
fn families_alternate_and_the_resolvers_order_holds_inside_each() {
    assert_eq!(families_in_turn(&list(&[V6, V6B, V4, V4B])), list(&[V6, V4, V6B, V4B]));
    assert_eq!(families_in_turn(&list(&[V4, V4B, V6])), list(&[V4, V6, V4B]));
    assert_eq!(families_in_turn(&list(&[V4, V6, V6B])), list(&[V4, V6, V6B]));
    assert_eq!(families_in_turn(&[]), []);
}

/// A resolver that never comes back.
struct Silent;

impl super::super::Resolve for Silent {
    fn resolve(&self, _: &str, _: u16) -> super::super::Lookup {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_covers_name_resolution() {
    let clock = Clock::start();
    let addresses = Addresses::new("api.example", 443, Arc::new(Silent), Tasks::new(), clock);
    let error = open(&addresses, None, Duration::from_secs(2)).await.err().unwrap();
    assert_eq!(error.kind, super::super::SendErrorKind::Connect(ConnectFault::Timeout));
    assert_eq!(error.message, "the connect timeout ended in name resolution");
    assert_eq!(clock.now_us() / 1_000, 2_000);
}

#[tokio::test]
async fn sockets_send_at_once_and_notice_a_dead_peer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let addresses = Addresses::new("127.0.0.1", address.port(), Arc::new(Silent), Tasks::new(), Clock::start());
    let Ok(Transport::Plain(tcp)) = open(&addresses, None, Duration::from_mins(1)).await else {
        panic!("no plain connection");
    };
    assert!(tcp.nodelay().unwrap());
    let socket = SockRef::from(&tcp);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE));
}
