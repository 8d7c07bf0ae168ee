//! Names to addresses. The last good answer is kept: a name server that is down must not take a provider with it.

use outrigger_runtime::Clock;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(30);
/// Most addresses that are kept of one name.
const KEPT: usize = 16;

/// Something that knows names.
pub(crate) trait Resolve: std::marker::Send + Sync + 'static {
    /// The addresses of `host`, in the order in which they should be tried.
    fn resolve(&self, host: String, port: u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + std::marker::Send>>;
}

/// The system's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: String, port: u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + std::marker::Send>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// One name's addresses.
pub(super) struct Addresses {
    resolver: Arc<dyn Resolve>,
    clock: Clock,
    host: String,
    port: u16,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    asked_us: u64,
}

impl Addresses {
    pub(super) fn new(resolver: Arc<dyn Resolve>, clock: Clock, host: &str, port: u16) -> Self {
        Self { resolver, clock, host: host.to_owned(), port, known: Mutex::default() }
    }

    /// What is known, at once; `None` where it was never asked or is a name that has to be asked for first.
    pub(super) async fn now(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        {
            let known = self.known();
            if !known.addresses.is_empty() && self.clock.now_us() < known.asked_us.saturating_add(micros(FRESH)) {
                return Ok(known.addresses.clone());
            }
        }
        self.ask().await
    }

    /// Asks again; a failure leaves what was known.
    async fn ask(&self) -> io::Result<Vec<SocketAddr>> {
        let answer = self.resolver.resolve(self.host.clone(), self.port).await;
        let mut known = self.known();
        match answer {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.truncate(KEPT);
                known.asked_us = self.clock.now_us();
                known.addresses = interleave(addresses);
                Ok(known.addresses.clone())
            }
            _ if !known.addresses.is_empty() => {
                known.asked_us = self.clock.now_us();
                Ok(known.addresses.clone())
            }
            Ok(_) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The families in turn, beginning with that of the first, so that one dead family costs one step.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut mixed: Vec<_> = same.into_iter().flat_map(|address| [Some(address), other.next()]).flatten().collect();
    mixed.extend(other);
    mixed
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Mutex<Vec<io::Result<Vec<SocketAddr>>>>);

    impl Resolve for Script {
        fn resolve(&self, _: String, _: u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + std::marker::Send>> {
            let next = self.0.lock().unwrap().pop().unwrap();
            Box::pin(async { next })
        }
    }

    fn addresses(answers: Vec<io::Result<Vec<SocketAddr>>>) -> Addresses {
        Addresses::new(Arc::new(Script(Mutex::new(answers))), Clock::start(), "provider.example", 443)
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_addresses_outlive_a_dead_name_server() {
        let good: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let known = addresses(vec![Err(io::ErrorKind::TimedOut.into()), Ok(vec![good])]);
        assert_eq!(known.now().await.unwrap(), [good]);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(known.now().await.unwrap(), [good], "the second question failed");
        assert_eq!(known.now().await.unwrap(), [good], "and is not asked again at once");
    }

    #[tokio::test]
    async fn a_name_that_never_resolved_is_an_error() {
        assert!(addresses(vec![Err(io::ErrorKind::NotFound.into())]).now().await.is_err());
        assert!(addresses(vec![Ok(Vec::new())]).now().await.is_err());
    }

    #[test]
    fn families_take_turns() {
        let of = |text: &[&str]| text.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = interleave(of(&["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]));
        assert_eq!(mixed, of(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "192.0.2.3:1"]));
    }
}
