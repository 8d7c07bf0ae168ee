//! What the admin port shows of the data plane. In a pod only health and metrics are there; on loopback also what is configured, what is
//! learnt and what was served. Never a key's bytes: the table does not have them.

use crate::{app::App, gauges::breaker};
use http::StatusCode;
use outrigger_core::{KeyState, KindView, ScoreView, TargetView};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The data plane as the admin port sees it.
#[derive(Clone, Debug)]
pub struct Admin {
    app: Arc<App>,
    /// A process that gave up waiting for a usable snapshot lets the application start.
    waived: Arc<AtomicBool>,
}

/// An answer of the admin port.
#[derive(Debug)]
pub enum Page {
    /// Plain text with a status.
    Text(StatusCode, String),
    /// JSON.
    Json(Value),
}

impl Admin {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self {
            app,
            waived: Arc::default(),
        }
    }

    /// From now on `/startz` says yes, snapshot or not.
    pub fn waive_start(&self) {
        self.waived.store(true, Ordering::Relaxed);
    }

    /// The page at `path`; `None` = 404. `local` opens the pages that are for loopback only.
    pub fn page(&self, path: &str, local: bool) -> Option<Page> {
        match path {
            "/healthz" | "/readyz" => Some(Page::Text(StatusCode::OK, "ok\n".to_owned())),
            "/startz" => Some(self.started()),
            "/config" if local => serde_json::to_value(&self.app.snapshot().table).ok().map(Page::Json),
            "/targets" if local => Some(Page::Json(self.targets())),
            "/requests" if local => Some(Page::Json(self.app.ring.all().iter().map(crate::record::Record::value).collect())),
            _ if local => {
                let record = self.app.ring.find(path.strip_prefix("/requests/")?)?;
                Some(Page::Json(record.value()))
            }
            _ => None,
        }
    }

    fn started(&self) -> Page {
        if self.waived.load(Ordering::Relaxed) || self.app.snapshot().usable() {
            return Page::Text(StatusCode::OK, "ok\n".to_owned());
        }
        Page::Text(StatusCode::SERVICE_UNAVAILABLE, "no snapshot with a usable target yet\n".to_owned())
    }

    fn targets(&self) -> Value {
        let snapshot = self.app.snapshot();
        let now = self.app.now();
        let health = self.app.health();
        let targets = snapshot.targets.iter().enumerate().map(|(index, target)| {
            let view = health.view(&snapshot.table, &snapshot.slots, &breaker(&snapshot.table, index), index, now);
            let score = health.score(&snapshot.slots, index, now);
            json!({
                "target": &*target.label,
                "health": health_json(&view),
                "score": score_json(&score),
                "check": self.app.checks.last(&target.provider.label, now),
            })
        });
        targets.collect()
    }
}

fn ms(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64() * 1e3)
}

fn score_json(score: &ScoreView) -> Value {
    let kind = |kind: &KindView| {
        json!({
            "prompt_tokens_from": kind.prompt_from,
            "stream": kind.stream,
            "first_content_ms": ms(kind.first_content),
            "per_token_ms": ms(kind.per_token),
            "output_tokens": kind.output,
        })
    };
    json!({
        "headroom_percent": score.headroom_ppm.map(|ppm| f64::from(ppm) / 1e4),
        "kinds": score.kinds.iter().map(kind).collect::<Vec<_>>(),
    })
}

fn health_json(view: &TargetView) -> Value {
    let keys: serde_json::Map<String, Value> = view
        .keys
        .iter()
        .map(|(name, state)| (name.clone(), Value::from(key_state(*state))))
        .collect();
    json!({
        "state": view.state.as_str(),
        "first_content_ms": { "p50": ms(view.p50), "p95": ms(view.p95), "p99": ms(view.p99) },
        "errors_percent": view.errors_ppm.map(|ppm| f64::from(ppm) / 1e4),
        "samples": view.samples,
        "in_flight": view.in_flight,
        "unanswered_checks": view.unanswered,
        "keys": keys,
    })
}

fn key_state(state: KeyState) -> &'static str {
    match state {
        KeyState::Ready => "ready",
        KeyState::Pending => "pending",
        KeyState::Refused => "refused",
        KeyState::Spent(_) => "over_quota",
        KeyState::Limited(_) => "rate_limited",
    }
}
