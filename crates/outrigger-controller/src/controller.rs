//! The process: watches fill the stores and the queue, the lease says whether this replica writes, and while it does the queue's namespaces have
//! their turns. It ends by letting go of the lease.

use crate::{
    cluster::{Cluster, Reach, watch},
    config::Settings,
    gather::Gatherer,
    lease::{Leadership, LeaseSettings, hold},
    metrics::{Counts, Injections},
    queue::{Outcome, Queue},
    reconcile::Turns,
    tell::Teller,
    verify::{Guard, Verifier},
    webhook::Webhook,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::StatusCode;
use kube::Client;
use outrigger_runtime::{Clock, Draining, Listeners, Metrics, Tasks, admin};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch as channel};

/// Namespaces that have their turn at a time.
const AT_ONCE: usize = 8;
/// How often everything is looked at though nothing was heard: for what no watch tells.
const ROUND: Duration = Duration::from_mins(10);
/// How often the depth of the queue is taken.
const SAMPLE: Duration = Duration::from_secs(1);

/// The namespaces that wait, and the bell that says so.
#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    rung: Notify,
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, namespaces: &BTreeSet<String>, now: u64) {
        let mut queue = self.queue();
        for namespace in namespaces {
            queue.push(namespace, now);
        }
        drop(queue);
        self.rung.notify_one();
    }
}

/// A controller that is ready to run.
pub struct Controller {
    turns: Turns,
    cluster: Arc<Cluster>,
    waiting: Arc<Waiting>,
    leadership: Leadership,
    ready: Arc<AtomicBool>,
    clock: Clock,
    namespaces: Vec<String>,
    tasks: Tasks,
}

/// The part of a controller that must answer whatever the rest is busy with: its lease, its admin port and its webhook.
pub struct Side {
    lease: LeaseSettings,
    tell: channel::Sender<u64>,
    ready: Arc<AtomicBool>,
    clock: Clock,
    webhook: Option<Webhook>,
}

impl Controller {
    /// Puts the parts together; nothing runs yet. Call it inside the runtime that [`run`](Self::run) will use.
    pub fn new(
        settings: &Settings,
        client: &Client,
        api_server: Vec<std::net::SocketAddr>,
        metrics: &Metrics,
        clock: Clock,
    ) -> (Self, Side) {
        let waiting = Arc::new(Waiting::default());
        let scopes = settings.namespaces.len().max(1);
        let cluster = Arc::new(Cluster::new(scopes));
        let tasks = Tasks::new();
        let guard = Guard {
            allowed: settings.allowed_cidrs.clone(),
            api_server,
        };
        let bell = Arc::clone(&waiting);
        let verifier = Arc::new(Verifier::new(guard, clock, tasks.clone(), move |namespace| {
            bell.push(&[namespace.to_owned()].into(), clock.now_us());
        }));
        let (tell, leadership) = Leadership::new(clock);
        let ready = Arc::new(AtomicBool::new(false));
        let webhook = settings.webhook.clone().map(|webhook| {
            let (known, namespaces) = (Arc::clone(&cluster), settings.namespaces.clone());
            Webhook::new(webhook, namespaces, known, leadership.clone(), Injections::new(metrics), clock)
        });
        let controller = Self {
            turns: Turns {
                gatherer: Gatherer::new(client.clone(), Arc::clone(&cluster), verifier),
                teller: Teller::new(client.clone(), settings.lease.identity.clone()),
                counts: Counts::new(metrics),
                clock,
            },
            cluster,
            waiting,
            leadership,
            ready: Arc::clone(&ready),
            clock,
            namespaces: settings.namespaces.clone(),
            tasks,
        };
        let side = Side {
            lease: settings.lease.clone(),
            tell,
            ready,
            clock,
            webhook,
        };
        (controller, side)
    }

    /// Runs until the process drains.
    pub async fn run(self, client: Client, mut draining: Draining) {
        let _alive = draining.hold();
        let (bell, clock) = (Arc::clone(&self.waiting), self.clock);
        let tell: Arc<dyn Fn(BTreeSet<String>) + Send + Sync> = Arc::new(move |namespaces| bell.push(&namespaces, clock.now_us()));
        watch(&client, &self.namespaces, &self.cluster, &self.tasks, &tell);
        tokio::select! {
            () = self.lead() => {}
            () = draining.graceful() => {}
        }
        self.tasks.shutdown(Duration::ZERO).await;
    }

    /// Leads whenever it may.
    async fn lead(&self) {
        self.synced().await;
        self.ready.store(true, Ordering::Relaxed);
        let mut leadership = self.leadership.clone();
        loop {
            self.turns.counts.leader.set(0);
            leadership.gained().await;
            self.turns.counts.leader.set(1);
            let start = Reach(&self.cluster).start();
            tracing::info!(namespaces = start.len(), "leading");
            self.waiting.push(&self.within(start), self.clock.now_us());
            // What is under way is dropped with the leadership: every write of it is safe to leave undone.
            tokio::select! {
                () = self.work() => {}
                () = leadership.lost() => {}
            }
            *self.waiting.queue() = Queue::default();
        }
    }

    async fn synced(&self) {
        while !self.cluster.synced() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The namespaces that this process is for.
    fn within(&self, mut namespaces: BTreeSet<String>) -> BTreeSet<String> {
        if !self.namespaces.is_empty() {
            namespaces.retain(|namespace| self.namespaces.contains(namespace));
        }
        namespaces
    }

    async fn work(&self) {
        let may_write = || self.leadership.held();
        let mut running = FuturesUnordered::new();
        let mut round = tokio::time::interval(ROUND);
        let mut sample = tokio::time::interval(SAMPLE);
        round.tick().await;
        loop {
            while running.len() < AT_ONCE {
                let next = self.waiting.queue().take(self.clock.now_us());
                let Some(namespace) = next else { break };
                if !self.namespaces.is_empty() && !self.namespaces.contains(&namespace) {
                    self.waiting.queue().done(&namespace, Outcome::Settled, self.clock.now_us());
                    continue;
                }
                running.push(async {
                    let outcome = self.turns.turn(&namespace, &may_write).await;
                    (namespace, outcome)
                });
            }
            let due = self.waiting.queue().next_due().filter(|_| running.len() < AT_ONCE);
            let due = self.clock.instant_at(due.unwrap_or(u64::MAX));
            tokio::select! {
                Some((namespace, outcome)) = running.next() => self.waiting.queue().done(&namespace, outcome, self.clock.now_us()),
                () = self.waiting.rung.notified() => {}
                () = tokio::time::sleep_until(due) => {}
                _ = round.tick() => {
                    let all = Reach(&self.cluster).start();
                    self.waiting.push(&self.within(all), self.clock.now_us());
                }
                _ = sample.tick() => {
                    let depth = self.waiting.queue().depth(self.clock.now_us());
                    self.turns.counts.depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
                }
            }
        }
    }
}

impl Side {
    /// Answers on the admin port and, where `webhook` listens, the API server; and keeps the lease. Until the process drains for good.
    pub async fn run(self, client: Client, listeners: Listeners, webhook: Option<Listeners>, metrics: Metrics, draining: Draining) {
        let (known, credentials) = (self.ready, self.webhook.as_ref().map(Webhook::ready));
        // Without a certificate the API server would only be turned away.
        let ready = move || known.load(Ordering::Relaxed) && credentials.as_ref().is_none_or(|credentials| credentials.there());
        let routes: admin::Routes = Arc::new(move |request| match request.uri.path() {
            "/healthz" | "/startz" => Some(admin::text(StatusCode::OK, "ok\n")),
            "/readyz" if ready() => Some(admin::text(StatusCode::OK, "ok\n")),
            "/readyz" => Some(admin::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "not everything is known yet; where it stays so, the log says which watch fails\n",
            )),
            _ => None,
        });
        let serving = admin::serve(listeners, metrics, routes, Tasks::new(), draining.clone());
        let reviewing = async {
            if let Some((answering, listeners)) = self.webhook.zip(webhook) {
                answering
                    .run(client.clone(), self.lease.identity.clone(), listeners, draining.clone())
                    .await;
            }
        };
        let holding = hold(client.clone(), self.lease.clone(), self.tell, self.clock, draining.clone());
        tokio::join!(serving, holding, reviewing);
    }
}
