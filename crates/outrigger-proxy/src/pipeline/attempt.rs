//! Attempt: obeys the core's attempt loop. Every decision, whom to try, how long, whether again, is the core's; this file sends, waits
//! on the clock that runs, and reports.

use super::{
    Exchange,
    decode::Call,
    plan::Planned,
    request::{self, Reading},
    unary,
};
use crate::{
    fault::Fault,
    ledger::{Ledger, Served},
    pipeline::stream,
    record::AttemptRecord,
    snapshot::TargetHandle,
    source::{Source, Unreadable},
    surface::Api,
    upstream::{SendError, SendErrorKind, SendOptions},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use outrigger_core::{Attempt, AttemptId, Class, Dialect, Dispatch, Headroom, Outcome, Step, Table, TargetModel, Tick, Verdict};
use outrigger_dialect::{
    Relay, Report,
    classify::{self, Classified},
};
use std::{collections::VecDeque, pin::pin, sync::Arc, task::Poll, time::Duration};

/// How much of an error's body is read to tell what it is.
const ERROR_PREFIX: usize = 64 << 10;

/// An answer that the client will get.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) answer: Answer,
    /// Longest silence from now on.
    pub(super) between: Duration,
    /// When its first content, or the whole of it, had come.
    pub(super) at: Tick,
    /// What the provider says is left of the key's rate.
    headroom: Option<Headroom>,
}

/// The three shapes of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// Complete.
    Unary { body: Bytes, report: Report },
    /// A stream: what was held back until its first content, and the rest to come.
    Stream {
        held: VecDeque<Bytes>,
        relay: Box<Relay>,
        source: Source,
    },
    /// A unary answer too large to be held: passed on as it comes.
    Oversized { held: VecDeque<Bytes>, source: Source },
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(super) outcome: Outcome,
    /// What the provider said, with its status.
    pub(super) said: Option<(u16, Box<Classified>)>,
}

impl Failed {
    pub(super) fn of(class: Class) -> Self {
        Self {
            outcome: Outcome::of(class),
            said: None,
        }
    }

    /// The caller's mistake, found before anything was sent.
    pub(super) fn client(said: Classified) -> Self {
        Self {
            outcome: Outcome::of(Class::ClientError),
            said: Some((400, Box::new(said))),
        }
    }

    /// This target cannot serve such a call; another may. Says nothing of the target's health.
    pub(super) fn unsuited(status: u16, said: Classified) -> Self {
        Self {
            outcome: Outcome {
                unsuited: true,
                ..Outcome::of(Class::Cancelled)
            },
            said: Some((status, Box::new(said))),
        }
    }

    /// The class for the account: a target that could not be asked was the caller's doing.
    pub(crate) fn class(&self) -> Class {
        self.said.as_ref().map_or(self.outcome.class, |(_, said)| said.class)
    }

    pub(super) fn classified(status: u16, said: Classified, now: Tick) -> Self {
        let outcome = Outcome {
            until: said.wait.map(|wait| now.after(wait)),
            ..Outcome::of(said.class)
        };
        Self {
            outcome,
            said: Some((status, Box::new(said))),
        }
    }
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        tracing::debug!(%error, "attempt failed");
        let outcome = match error.kind {
            SendErrorKind::Connect(_) => Outcome::of(Class::Connect),
            SendErrorKind::Stale => Outcome {
                stale: true,
                ..Outcome::of(Class::Reset)
            },
            SendErrorKind::Reset | SendErrorKind::Body => Outcome::of(Class::Reset),
            SendErrorKind::Protocol => Outcome::of(Class::BadResponse),
            // Our own cap, not the target's fault.
            SendErrorKind::Full => Outcome {
                unsuited: true,
                ..Outcome::of(Class::Cancelled)
            },
        };
        Self { outcome, said: None }
    }
}

impl From<Unreadable> for Failed {
    fn from(error: Unreadable) -> Self {
        Self::of(match error {
            Unreadable::Broken => Class::Reset,
            Unreadable::Coding => Class::BadResponse,
        })
    }
}

/// Drives attempts until one commits or nothing is left to try.
pub(super) async fn drive(exchange: &Exchange, ledger: &mut Ledger, call: &Call, planned: &mut Planned) -> Result<Committed, Fault> {
    let Planned {
        snapshot, dispatch, at, ..
    } = planned;
    let mut driver = Driver {
        exchange,
        dispatch,
        table: &snapshot.table,
    };
    let mut refusal = None;
    let mut started = *at;
    loop {
        match driver.next(started) {
            Step::Send(attempt) => {
                let Some(target) = snapshot.targets.get(attempt.target) else {
                    driver.observe(attempt.id, Outcome::of(Class::ClientError), started);
                    started = exchange.app.now();
                    continue;
                };
                ledger.first_sent.get_or_insert(started);
                if let Some(trace) = &mut ledger.trace {
                    let model = target.model_name(&call.scan.model_name);
                    trace.begins(target, model, attempt.key, attempt.probe, started);
                }
                let ended = pin!(driver.run(call, target, &attempt, started)).await;
                let (class, now) = match &ended {
                    Ok(committed) => (Class::Ok, committed.at),
                    Err(failed) => (failed.class(), exchange.app.now()),
                };
                note(ledger, call, target, &attempt, class, now.since(started));
                if let Some(trace) = &mut ledger.trace {
                    trace.ends(class, now);
                }
                target.count_attempt(&exchange.app.metrics, class);
                match ended {
                    Ok(committed) => {
                        driver.observe(attempt.id, Outcome::of(Class::Ok), now);
                        target.saw_first_content(&exchange.app.metrics, committed.at.since(started).as_secs_f64());
                        serve(ledger, call, target, &attempt, committed.headroom);
                        ledger.first_content = Some(committed.at);
                        return Ok(committed);
                    }
                    Err(failed) => {
                        driver.observe(attempt.id, failed.outcome, now);
                        refusal = failed.said;
                    }
                }
            }
            Step::WaitUntil(at) => exchange.timer.until(at).await,
            // Attempts are cancelled inside `run`, where they live.
            Step::Cancel(id) => driver.observe(id, Outcome::of(Class::Cancelled), started),
            Step::Finish(verdict) => {
                let hopeless = driver.dispatch.hopeless();
                if !hopeless.is_empty() {
                    let route = ledger.route.as_ref().map_or("", |route| &*route.label);
                    return Err(Fault::unsuited(route, &hopeless));
                }
                return Err(fault(&verdict, ledger, refusal, exchange.app.now()));
            }
        }
        started = exchange.app.now();
    }
}

/// The core's loop with its surroundings. Dropped in the middle, as by a client's hang-up, it leaves nothing in flight.
struct Driver<'a> {
    exchange: &'a Exchange,
    dispatch: &'a mut Dispatch,
    table: &'a Table,
}

impl Driver<'_> {
    fn next(&mut self, now: Tick) -> Step {
        self.dispatch.next(self.table, &mut self.exchange.app.health(), now)
    }

    fn observe(&mut self, id: AttemptId, outcome: Outcome, now: Tick) {
        self.dispatch.observe(&mut self.exchange.app.health(), id, outcome, now);
    }

    /// Runs one attempt to its commit or failure, or until the core or a clock ends it.
    async fn run(&mut self, call: &Call, target: &TargetHandle, attempt: &Attempt, started: Tick) -> Result<Committed, Failed> {
        let exchange = self.exchange;
        let mut now = started;
        exchange.disarm();
        let mut running = pin!(send(exchange, call, target, attempt, started));
        loop {
            let watch = match self.next(now) {
                Step::WaitUntil(at) => at,
                // A probe's own time is over, or the whole request's.
                Step::Cancel(_) | Step::Finish(_) => return Err(Failed::of(Class::Timeout)),
                Step::Send(other) => {
                    // A second attempt beside a running one: this data plane runs one at a time, the newer wins.
                    self.observe(other.id, Outcome::of(Class::Cancelled), now);
                    return Err(Failed::of(Class::Cancelled));
                }
            };
            let ended = std::future::poll_fn(|cx| {
                if let Poll::Ready(ended) = running.as_mut().poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                // Read after the poll: that is when the attempt moves from one clock to the next.
                exchange.timer.poll_at(cx, watch.min(exchange.alarm())).map(|()| None)
            })
            .await;
            if let Some(ended) = ended {
                return ended;
            }
            now = exchange.app.now();
            if now >= exchange.alarm() {
                return Err(Failed::of(Class::Timeout));
            }
        }
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        if self.dispatch.running().is_some() {
            let now = self.exchange.app.now();
            self.dispatch.abandon(&mut self.exchange.app.health(), now);
        }
    }
}

/// One attempt: encode, send, read until it is an answer.
async fn send(exchange: &Exchange, call: &Call, target: &TargetHandle, attempt: &Attempt, started: Tick) -> Result<Committed, Failed> {
    let app = &exchange.app;
    if call.api == Api::CountTokens && target.provider.dialect == Dialect::OpenAi {
        // Nobody to ask: these providers have no such endpoint. The estimate is what routing itself goes by.
        let body = outrigger_dialect::token_count(u64::from(call.scan.sketch.reference_tokens())).into();
        let answer = Answer::Unary {
            body,
            report: Report::default(),
        };
        return Ok(Committed {
            answer,
            between: attempt.timeouts.between_tokens,
            at: app.now(),
            headroom: None,
        });
    }
    let encoded = request::encode(call, target, attempt.key)?;
    let timeouts = &attempt.timeouts;
    let options = SendOptions {
        connect_timeout: timeouts.connect,
        fresh: attempt.fresh,
    };
    let lease = app.upstreams.checkout(&target.provider.destination, options).await?;
    let patience = if call.scan.stream {
        timeouts.first_token
    } else {
        timeouts.response
    };
    // To find an idle connection takes no time; to make one does.
    let from = if lease.reused() { started } else { app.now() };
    exchange.arm(from.after(patience));
    let sent = pin!(lease.send(encoded.request)).await?;
    let (head, source) = Source::open(sent.response)?;
    if head.status != StatusCode::OK {
        exchange.arm(app.now().after(timeouts.between_tokens));
        return Err(refused(exchange, target, head.status, &head.headers, source).await);
    }
    pin!(read(exchange, call, target, attempt, encoded.reading, &head.headers, source)).await
}

async fn read(
    exchange: &Exchange,
    call: &Call,
    target: &TargetHandle,
    attempt: &Attempt,
    reading: Reading,
    headers: &HeaderMap,
    source: Source,
) -> Result<Committed, Failed> {
    let answer = if call.scan.stream {
        stream::open(exchange, call, target, reading, headers, source).await?
    } else {
        unary::collect(exchange, call, target, attempt.timeouts.between_tokens, reading, source).await?
    };
    exchange.disarm();
    let now = exchange.app.now();
    Ok(Committed {
        answer,
        between: attempt.timeouts.between_tokens,
        at: now,
        headroom: headroom(exchange, headers, now),
    })
}

/// What the provider says is left of the key's rate.
fn headroom(exchange: &Exchange, headers: &HeaderMap, now: Tick) -> Option<Headroom> {
    if !headers.keys().any(|name| classify::tells_of_room(name.as_str())) {
        return None;
    }
    let head = classify::Head {
        status: 200,
        header: &|name| headers.get(name).and_then(|value| value.to_str().ok()),
        now_unix_ms: exchange.app.clock.unix_ms(),
    };
    classify::room(&head).map(|room| Headroom {
        remaining_ppm: room.remaining_ppm,
        resets: room.resets.map(|after| now.after(after)),
    })
}

/// Reads why a provider refused.
async fn refused(exchange: &Exchange, target: &TargetHandle, status: StatusCode, headers: &HeaderMap, mut source: Source) -> Failed {
    let mut prefix = Vec::new();
    while prefix.len() < ERROR_PREFIX {
        // A body that breaks off still leaves the status to judge by.
        let Some(Ok(chunk)) = source.next().await else { break };
        prefix.extend_from_slice(&chunk);
    }
    prefix.truncate(ERROR_PREFIX);
    let head = classify::Head {
        status: status.as_u16(),
        header: &|name| headers.get(name).and_then(|value| value.to_str().ok()),
        now_unix_ms: exchange.app.clock.unix_ms(),
    };
    let said = classify::classify(&target.provider.name, target.provider.dialect, &head, &prefix);
    if said.model_missing && matches!(target.model, TargetModel::Fixed { .. }) {
        // The route's mistake, not the caller's, who asked for another name.
        tracing::warn!(target = %target.label, "the provider does not know the model that a route names");
        return Failed::unsuited(status.as_u16(), said);
    }
    Failed::classified(status.as_u16(), said, exchange.app.now())
}

/// Writes the attempt into the ledger.
fn note(ledger: &mut Ledger, call: &Call, target: &TargetHandle, attempt: &Attempt, class: Class, took: Duration) {
    let asked = match target.model {
        TargetModel::Fixed { .. } => None,
        TargetModel::AsAsked { .. } => Some(call.scan.model_name.as_str().into()),
    };
    ledger.attempts.push(AttemptRecord {
        target: Arc::clone(&target.label),
        model: asked,
        key: attempt.key.and_then(|key| target.provider.key_names.get(key).cloned()),
        class,
        probe: attempt.probe,
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    });
}

fn serve(ledger: &mut Ledger, call: &Call, target: &Arc<TargetHandle>, attempt: &Attempt, headroom: Option<Headroom>) {
    let asked = &*call.scan.model_name;
    ledger.served = Some(Served {
        target: Arc::clone(target),
        target_index: attempt.target,
        slot: attempt.slot,
        headroom,
        model: target.kept_model_name(asked),
        price: target.facts(asked).and_then(|facts| facts.price),
    });
}

fn fault(verdict: &Verdict, ledger: &Ledger, refusal: Option<(u16, Box<Classified>)>, now: Tick) -> Fault {
    let wait = |at: Option<Tick>| at.map(|at| at.since(now));
    let route = ledger.route.as_ref().map_or("", |route| &*route.label);
    match verdict {
        Verdict::Refused(_) => match refusal {
            Some((status, said)) => Fault::refused(status, &said),
            None => Fault::exhausted(&ledger.attempts, None),
        },
        Verdict::DeadlinePassed => Fault::deadline(&ledger.attempts),
        Verdict::NoTarget { wait: at } => Fault::no_target(route, wait(*at)),
        // Where no target could be asked so, the sentence that says why is the answer.
        Verdict::Exhausted { wait: at } => match refusal {
            Some((status, said)) if ledger.attempts.iter().all(|a| a.class == Class::ClientError) => Fault::refused(status, &said),
            _ => Fault::exhausted(&ledger.attempts, wait(*at)),
        },
        // The loop returns at commit; the core has nothing more to say after it.
        Verdict::Committed(_) => Fault::exhausted(&ledger.attempts, None),
    }
}
