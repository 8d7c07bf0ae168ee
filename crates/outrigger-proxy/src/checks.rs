//! Health checks: providers that want it are asked, beside calls, whether they answer. Decides whom and when; what an answer weighs is the
//! core's. It never sends a key anywhere but where the key's provider is, follows no redirect, and never has two questions to one provider
//! under way.
//!
//! A process that polls (`outrigger dev`) asks every provider all the time. Any other asks only for a target that is down while no call goes
//! there: a thousand sidecars must not poll a provider with production keys.

mod schedule;

use crate::{
    app::App,
    body::Outgoing,
    names,
    pipeline::Failed,
    snapshot::{ProviderHandle, Snapshot},
    upstream::SendOptions,
};
use http::{HeaderValue, Request, header};
use outrigger_core::{Class, HealthCheck, Slots, Tick};
use outrigger_dialect::headers;
use schedule::Schedule;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

/// Checks under way at once; further ones wait for one to end.
const MOST: usize = 16;

/// The checks as the rest of the data plane sees them.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Another table is in force.
    swapped: Notify,
    /// By provider; only of those that the schedule has.
    last: Mutex<BTreeMap<String, Checked>>,
}

/// A check that is over.
#[derive(Clone, Copy, Debug)]
struct Checked {
    started: Tick,
    ended: Tick,
    /// The status, or why there is none.
    answer: Result<u16, Class>,
}

impl Checks {
    /// Another table is in force.
    pub(crate) fn follow(&self) {
        self.swapped.notify_one();
    }

    /// The last check of `provider`, for people; null where there was none.
    pub(crate) fn last(&self, provider: &str, now: Tick) -> Value {
        let Some(checked) = self.known().get(provider).copied() else {
            return Value::Null;
        };
        let seconds = now.since(checked.ended).as_secs_f64();
        let ms = checked.ended.since(checked.started).as_secs_f64() * 1e3;
        json!({
            "seconds_ago": seconds,
            "ms": ms,
            "result": checked.result(),
            "status": checked.answer.ok(),
            "error": checked.answer.err().map(Class::as_str),
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Checked>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checked {
    /// Whether the provider is there; `None` where the answer tells neither. A refused key or a spent rate is a matter of calls.
    fn answered(&self) -> Option<bool> {
        match self.answer {
            Ok(200..=299) => Some(true),
            Ok(500..) => Some(false),
            // Our own cap.
            Ok(_) | Err(Class::Cancelled) => None,
            Err(_) => Some(false),
        }
    }

    fn result(&self) -> &'static str {
        match self.answered() {
            Some(true) => "answered",
            Some(false) => "unanswered",
            None => "unclear",
        }
    }
}

/// Asks whoever is to be asked, for as long as it is let run.
pub(crate) async fn run(app: Arc<App>) {
    let mut schedule = Schedule::default();
    let mut running = JoinSet::new();
    loop {
        let now = app.now();
        let snapshot = app.snapshot();
        let polls = app.settings.polls;
        // Sidecars start together and would ask together.
        schedule.follow(
            &wanted(&snapshot),
            |check| if polls { now } else { now.after(some(check.interval)) },
        );
        app.checks.known().retain(|provider, _| schedule.has(provider));
        for provider in schedule.take(now, MOST.saturating_sub(running.len()), |check| some(check.interval / 8)) {
            if let Some(question) = question(&app, &snapshot, &provider, now) {
                running.spawn(question.ask(Arc::clone(&app), provider));
            }
        }
        drop(snapshot);
        let next = schedule
            .next()
            .filter(|_| running.len() < MOST)
            .map(|at| app.clock.instant_at(at.0));
        tokio::select! {
            () = app.checks.swapped.notified() => {}
            Some(Ok((provider, checked))) = running.join_next(), if !running.is_empty() => {
                if schedule.has(&provider) {
                    note(&app, &provider, checked);
                }
            }
            () = until(next) => {}
        }
    }
}

/// Who is to be asked, and how.
fn wanted(snapshot: &Snapshot) -> BTreeMap<&str, &HealthCheck> {
    let providers = snapshot.table.providers.iter();
    let checks = providers.filter_map(|provider| Some((provider.label.as_str(), provider.health_check.as_ref()?)));
    checks.collect()
}

/// Some time below `most`.
fn some(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn note(app: &App, provider: &str, checked: Checked) {
    let (status, error) = (checked.answer.ok(), checked.answer.err().map(Class::as_str));
    let before = app.checks.known().insert(provider.to_owned(), checked);
    match (before.map(|before| before.result()), checked.result()) {
        (before, after) if before == Some(after) => {}
        (None, "answered") => {}
        (_, "answered") => tracing::info!(provider, "a health check is answered again"),
        (_, "unanswered") => tracing::warn!(provider, status, error, "a health check is not answered"),
        (_, _) => tracing::warn!(
            provider,
            status,
            error,
            "the answer to a health check tells nothing: healthCheck.path may be another"
        ),
    }
}

/// What one provider is asked, and for which targets.
struct Question {
    provider: Arc<ProviderHandle>,
    request: Request<Outgoing>,
    limit: Duration,
    targets: Vec<usize>,
    slots: Slots,
}

/// What is to be asked of `provider` now, if anything.
fn question(app: &App, snapshot: &Snapshot, provider: &str, now: Tick) -> Option<Question> {
    let index = snapshot.table.providers.iter().position(|known| known.label == provider)?;
    let check = snapshot.table.providers.get(index)?.health_check.as_ref()?;
    let handle = snapshot.providers.get(index)?;
    let health = app.health();
    let targets = snapshot
        .table
        .targets
        .iter()
        .enumerate()
        .filter(|(_, target)| target.provider == index);
    let wanted = |target: &usize| app.settings.polls || health.deserted(&snapshot.slots, *target, check.interval, now);
    let targets: Vec<usize> = targets.map(|(target, _)| target).filter(wanted).collect();
    let key = targets.iter().find_map(|target| health.first_key(&snapshot.slots, *target, now))?;
    Some(Question {
        provider: Arc::clone(handle),
        request: request(handle, key)?,
        limit: check.timeout.min(check.interval),
        targets,
        slots: snapshot.slots.clone(),
    })
}

/// The request with the ring's key number `key`; `None` where there is no such key.
fn request(provider: &ProviderHandle, key: usize) -> Option<Request<Outgoing>> {
    let mut request = Request::new(Outgoing::empty());
    *request.uri_mut() = provider.check.clone()?;
    let out = request.headers_mut();
    out.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    out.insert(header::USER_AGENT, names::AGENT.clone());
    if let Some((name, value)) = headers::fixed(provider.dialect, "", None) {
        out.insert(name, HeaderValue::try_from(value).ok()?);
    }
    for (name, value) in &provider.headers {
        out.insert(name, value.clone());
    }
    if !provider.auth.is_empty() {
        out.insert(&provider.auth_name, provider.auth.get(key)?.clone()?);
    }
    Some(request)
}

impl Question {
    /// Asks, and tells the health what came of it.
    async fn ask(self, app: Arc<App>, provider: String) -> (String, Checked) {
        let options = SendOptions {
            connect_timeout: self.limit,
            // Whether a new connection comes about is part of the question, and a call is not to find its own one taken.
            fresh: true,
        };
        let started = app.now();
        let sent = timeout(self.limit, app.upstreams.send(&self.provider.destination, self.request, options)).await;
        let answer = match sent {
            // The body goes with its connection, unread.
            Ok(Ok(sent)) => Ok(sent.response.status().as_u16()),
            Ok(Err(error)) => Err(Failed::from(error).class()),
            Err(_) => Err(Class::Timeout),
        };
        let ended = app.now();
        let checked = Checked { started, ended, answer };
        if let Some(answered) = checked.answered() {
            let mut health = app.health();
            for target in self.targets {
                health.checked(&self.slots, target, answered, started, ended);
            }
        }
        (provider, checked)
    }
}
