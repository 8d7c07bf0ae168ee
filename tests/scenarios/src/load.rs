//! Calls that arrive when they are due, whatever the answers do, and what became of each. Times count from the scheduled start, so a
//! data plane that falls behind shows it. It must never wait for one answer before it sends the next call.

use crate::progress::Progress;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::BodyExt as _;
use outrigger_tests::{Connection, request};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// Longer than any answer of a scenario takes; a call without an answer by then counts as failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A call that is due at a time.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// After the start of the run.
    pub(crate) at: Duration,
    /// What the scenario knows it by.
    pub(crate) tag: usize,
    pub(crate) stream: bool,
    pub(crate) body: Bytes,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Ask {
    /// A short chat for `model`.
    pub(crate) fn chat(model: &str, at: Duration, stream: bool) -> Self {
        Self::of(
            &json!({ "model": model, "messages": [{ "role": "user", "content": "How do I reset my password?" }] }),
            at,
            stream,
        )
    }

    /// A call with this body.
    pub(crate) fn of(body: &Value, at: Duration, stream: bool) -> Self {
        let mut body = body.clone();
        if let (true, Some(fields)) = (stream, body.as_object_mut()) {
            fields.insert("stream".to_owned(), true.into());
        }
        Self {
            at,
            tag: 0,
            stream,
            body: body.to_string().into(),
            headers: Vec::new(),
        }
    }
}

/// Times that are evenly apart, from the first to before the last.
pub(crate) fn evenly(per_second: f64, from: Duration, to: Duration) -> impl Iterator<Item = Duration> {
    let gap = Duration::from_secs_f64(1.0 / per_second);
    (0_u32..).map(move |number| from + gap * number).take_while(move |at| *at < to)
}

/// One attempt, as the answer's header tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// The `ProviderKey`'s name.
    pub(crate) provider: String,
    pub(crate) outcome: String,
    pub(crate) probe: bool,
}

/// What became of a call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shot {
    #[serde(skip)]
    pub(crate) at: Duration,
    pub(crate) tag: usize,
    /// 0 = the connection broke, or no answer came.
    pub(crate) status: u16,
    /// Came whole, without an error event.
    pub(crate) good: bool,
    #[serde(skip)]
    pub(crate) took: Duration,
    /// To the first byte of the body.
    #[serde(skip)]
    pub(crate) first: Duration,
    /// The header as it came.
    pub(crate) attempts: String,
    #[serde(skip)]
    pub(crate) tries: Vec<Try>,
    /// In dollars, where the answer says so.
    #[serde(skip)]
    pub(crate) cost: Option<f64>,
    /// Tokens in and out as the provider reported them.
    #[serde(skip)]
    pub(crate) usage: Option<(u64, u64)>,
    /// Where it went wrong, what was said.
    pub(crate) error: String,
}

impl Shot {
    /// Whether any attempt of it was there to learn.
    pub(crate) fn probed(&self) -> bool {
        self.tries.iter().any(|attempt| attempt.probe)
    }

    /// Who answered.
    pub(crate) fn provider(&self) -> &str {
        self.tries.last().map_or("", |attempt| attempt.provider.as_str())
    }

    /// A stream that began, broke off, and said so.
    pub(crate) fn ended_with_an_error(&self) -> bool {
        !self.good && self.error.contains("data: {\"error\":")
    }

    /// One line for people and for a bug report.
    pub(crate) fn trace(&self) -> String {
        format!(
            "{:.3} s {} {} ms [{}] {}",
            self.at.as_secs_f64(),
            self.status,
            self.took.as_millis(),
            self.attempts,
            self.error
        )
    }
}

/// Sends all calls to `to`, each when it is due after `begin`, and returns what became of them, by due time.
pub(crate) async fn run(to: SocketAddr, begin: Instant, asks: Vec<Ask>, progress: &Progress) -> Vec<Shot> {
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut under_way = JoinSet::new();
    let mut shots = Vec::with_capacity(asks.len());
    for ask in asks {
        tokio::time::sleep_until(begin + ask.at).await;
        under_way.spawn(one(to, begin, ask, Arc::clone(&idle)));
        while let Some(Ok(shot)) = under_way.try_join_next() {
            progress.step();
            shots.push(shot);
        }
    }
    while let Some(Ok(shot)) = under_way.join_next().await {
        progress.step();
        shots.push(shot);
    }
    shots.sort_by_key(|shot| shot.at);
    shots
}

async fn one(to: SocketAddr, begin: Instant, ask: Ask, idle: Arc<Mutex<Vec<Connection>>>) -> Shot {
    let due = begin + ask.at;
    let mut shot = Shot {
        at: ask.at,
        tag: ask.tag,
        status: 0,
        good: false,
        took: Duration::ZERO,
        first: Duration::ZERO,
        attempts: String::new(),
        tries: Vec::new(),
        cost: None,
        usage: None,
        error: String::new(),
    };
    let answered = tokio::time::timeout_at(due + PATIENCE, exchange(to, due, ask, &idle, &mut shot)).await;
    shot.took = due.elapsed();
    match answered {
        Ok(Ok(())) => {}
        Ok(Err(error)) => shot.error = format!("{error:#}"),
        Err(_) => "no answer within a minute".clone_into(&mut shot.error),
    }
    shot
}

async fn exchange(to: SocketAddr, due: Instant, ask: Ask, idle: &Mutex<Vec<Connection>>, shot: &mut Shot) -> anyhow::Result<()> {
    let mut connection = match take(idle) {
        Some(connection) => connection,
        None => Connection::open(to).await?,
    };
    let mut sent = request(Method::POST, "/v1/chat/completions", ask.body);
    for (name, value) in ask.headers {
        sent.headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let response = connection.start(sent).await?;
    let (head, mut body) = response.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    shot.status = head.status.as_u16();
    header("x-outrigger-attempts").clone_into(&mut shot.attempts);
    shot.tries = tries(&shot.attempts);
    shot.cost = header("x-outrigger-cost-usd").parse().ok();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if shot.first.is_zero() {
            shot.first = due.elapsed();
        }
        bytes.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
    }
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    let text = String::from_utf8_lossy(&bytes);
    let ends_well = if ask.stream {
        text.trim_end().ends_with("[DONE]") && !text.contains("\"error\":{")
    } else {
        true
    };
    shot.good = shot.status == 200 && ends_well;
    if !shot.good {
        shot.error = text.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
    }
    shot.usage = serde_json::from_str(&text).ok().and_then(|answer: Value| {
        let of = |name: &str| answer.get("usage")?.get(name)?.as_u64();
        Some((of("prompt_tokens")?, of("completion_tokens")?))
    });
    Ok(())
}

fn take(idle: &Mutex<Vec<Connection>>) -> Option<Connection> {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(connection) = idle.pop() {
        if connection.is_open() {
            return Some(connection);
        }
    }
    None
}

/// Reads an attempts header. The names of a scenario hold neither commas nor semicolons.
fn tries(header: &str) -> Vec<Try> {
    let members = header.split(", ").filter(|member| !member.is_empty());
    members
        .map(|member| {
            let mut parts = member.split(';');
            let target = parts.next().unwrap_or_default().trim_matches('"');
            let parts: Vec<&str> = parts.collect();
            Try {
                provider: target.split('/').next().unwrap_or_default().to_owned(),
                outcome: parts
                    .iter()
                    .find_map(|part| part.strip_prefix("outcome="))
                    .unwrap_or_default()
                    .to_owned(),
                probe: parts.contains(&"probe"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{evenly, tries};
    use std::time::Duration;

    #[test]
    fn an_attempts_header_is_read_with_its_probes() {
        let read = tries(r#"a/m;outcome=timeout;ms=500;probe, "1b/m";outcome=ok;ms=3"#);
        let read: Vec<_> = read.iter().map(|a| (a.provider.as_str(), a.outcome.as_str(), a.probe)).collect();
        assert_eq!(read, [("a", "timeout", true), ("1b", "ok", false)]);
        assert_eq!(tries("").len(), 0);
    }

    #[test]
    fn an_even_load_has_its_rate_and_ends_before_its_end() {
        let times: Vec<_> = evenly(20.0, Duration::from_secs(1), Duration::from_secs(3)).collect();
        assert_eq!(times.len(), 40);
        assert_eq!((times[0], times[39]), (Duration::from_secs(1), Duration::from_millis(2950)));
    }
}
