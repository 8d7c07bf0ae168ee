//! Addresses of one origin. Once a name has resolved, its last good addresses serve until better ones are known: a resolver that is down
//! or slow never fails a request that it could have served before.

use super::error::{ConnectFault, SendError};
use outrigger_runtime::{Clock, Tasks};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Up to this age addresses are used as they are.
const FRESH: Duration = Duration::from_secs(30);
/// Up to this age they are used while newer ones are fetched; beyond it a connection waits for those, for [`PATIENCE`].
const TRUSTED: Duration = Duration::from_mins(5);
/// How long a connection waits for newer addresses where it has old ones.
const PATIENCE: Duration = Duration::from_secs(1);
/// Shortest time between two lookups while there are addresses to use.
const LULL_US: u64 = 1_000_000;

/// A lookup under way.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Turns names into addresses, best first.
pub trait Resolve: Send + Sync {
    /// Looks `host` up. The future must end some day, in an error if need be.
    fn resolve(&self, host: &str, port: u16) -> Lookup;
}

/// The system's resolver: hosts file, search domains and all.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Lookup {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// The addresses of one host and port.
pub(super) struct Addresses {
    place: Place,
}

enum Place {
    Literal(Arc<[SocketAddr]>),
    Name(Arc<Name>),
}

struct Name {
    host: String,
    port: u16,
    resolver: Arc<dyn Resolve>,
    tasks: Tasks,
    clock: Clock,
    known: watch::Sender<Known>,
    looking: AtomicBool,
    suspect: AtomicBool,
}

#[derive(Clone, Default)]
struct Known {
    good: Option<Good>,
    /// End of the last lookup, whatever came of it.
    tried_us: u64,
    lookups: u64,
}

#[derive(Clone)]
struct Good {
    addresses: Arc<[SocketAddr]>,
    since_us: u64,
}

impl Addresses {
    pub(super) fn new(host: &str, port: u16, resolver: Arc<dyn Resolve>, tasks: Tasks, clock: Clock) -> Self {
        let place = match host.parse::<IpAddr>() {
            Ok(ip) => Place::Literal(Arc::from([SocketAddr::new(ip, port)])),
            Err(_) => Place::Name(Arc::new(Name {
                host: host.to_owned(),
                port,
                resolver,
                tasks,
                clock,
                known: watch::Sender::new(Known::default()),
                looking: AtomicBool::new(false),
                suspect: AtomicBool::new(false),
            })),
        };
        Self { place }
    }

    /// Where to connect, at least one address.
    ///
    /// # Errors
    /// [`ConnectFault::Dns`] where the name has never resolved and does not now.
    pub(super) async fn current(&self) -> Result<Arc<[SocketAddr]>, SendError> {
        match &self.place {
            Place::Literal(address) => Ok(address.clone()),
            Place::Name(name) => name.current().await,
        }
    }

    /// None of them answered: the next connection asks for newer ones first.
    pub(super) fn suspect(&self) {
        if let Place::Name(name) = &self.place {
            name.suspect.store(true, Ordering::Relaxed);
        }
    }
}

impl Name {
    async fn current(self: &Arc<Self>) -> Result<Arc<[SocketAddr]>, SendError> {
        let mut watcher = self.known.subscribe();
        let known = watcher.borrow_and_update().clone();
        let now = self.clock.now_us();
        let Some(good) = known.good else {
            self.look_up();
            let _ = watcher.wait_for(|k| k.lookups != known.lookups).await;
            let found = watcher.borrow().good.as_ref().map(|good| good.addresses.clone());
            return found.ok_or_else(|| SendError::connect(ConnectFault::Dns, "the host name does not resolve"));
        };
        let age = Duration::from_micros(now.saturating_sub(good.since_us));
        let suspect = self.suspect.load(Ordering::Relaxed);
        let lull = now.saturating_sub(known.tried_us) < LULL_US;
        if lull || (age <= FRESH && !suspect) {
            return Ok(good.addresses);
        }
        self.look_up();
        if age <= TRUSTED && !suspect {
            return Ok(good.addresses);
        }
        let _ = tokio::time::timeout(PATIENCE, watcher.wait_for(|k| k.lookups != known.lookups)).await;
        let newest = watcher.borrow().good.as_ref().map(|good| good.addresses.clone());
        Ok(newest.unwrap_or(good.addresses))
    }

    /// Starts a lookup unless one runs. It belongs to the process, not to the request that happened to need it.
    fn look_up(self: &Arc<Self>) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let name = self.clone();
        self.tasks.background("name lookup", async move {
            let found = name.resolver.resolve(&name.host, name.port).await;
            name.learn(found);
        });
    }

    fn learn(&self, found: io::Result<Vec<SocketAddr>>) {
        let now = self.clock.now_us();
        let good = match found {
            Ok(addresses) if !addresses.is_empty() => {
                self.suspect.store(false, Ordering::Relaxed);
                Some(Good {
                    addresses: addresses.into(),
                    since_us: now,
                })
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(host = self.host, %error, "a name did not resolve");
                None
            }
        };
        self.looking.store(false, Ordering::Release);
        self.known.send_modify(|known| {
            if good.is_some() {
                known.good = good;
            }
            known.tried_us = now;
            known.lookups += 1;
        });
    }
}

#[cfg(test)]
mod tests;
