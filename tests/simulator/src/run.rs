//! One world from its first call to its last: events in the order of a virtual clock. It obeys each loop as the data plane does, one attempt
//! at a time, and never decides anything itself.

mod close;

use crate::{
    allowed::suited,
    call::{Live, Running, Sent},
    check::{Check, Eyes},
    meter::{Meter, Sums},
    property::{Property, Violation},
    providers::{Answer, Asked, Providers, cost_at},
    trace::{Entry, Trace, What, word},
    world::{Call, Kind, World},
};
use outrigger_core::{
    Attempt, AttemptId, Balance, CallFacts, Class, Dispatch, Endpoint, Health, Outcome, Router, Shape, Slots, Step, Tick, Timeouts,
    Verdict, plan,
};
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// How a world went.
#[derive(Clone, Debug)]
pub struct Ran {
    /// A hash of everything that happened.
    pub hash: u64,
    /// Everything that happened, where it was kept.
    pub trace: Vec<Entry>,
    /// Which properties did not hold.
    pub violations: Vec<Violation>,
    /// What was counted.
    pub sums: Sums,
}

/// Runs a world to its end; `keep` its trace or only its hash.
pub fn run(world: &World, keep: bool) -> Ran {
    let mut simulation = Simulation::new(world, keep);
    while let Some(Reverse((now, _, event))) = simulation.events.pop() {
        simulation.happen(event, now);
        simulation.now = now;
    }
    simulation.end()
}

/// The shortest prompt whose cache matters to the data plane, in tokens.
const CACHED: u32 = 1_024;
/// Attempts after which a call is given up, so that a loop without a budget comes to an end.
const ENDLESS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { sidecar: usize },
    Ends { call: usize, id: AttemptId },
    Wakes { call: usize },
    HangsUp { call: usize },
    Streamed { call: usize },
    Reloads,
}

struct Sidecar {
    health: Health,
    /// One for each table that has been in force.
    slots: Vec<Slots>,
}

struct Simulation<'w> {
    world: &'w World,
    routers: Vec<Router>,
    sidecars: Vec<Sidecar>,
    providers: Providers<'w>,
    /// By number; nothing where a call is over.
    calls: Vec<Option<Live>>,
    events: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    count: u64,
    now: Tick,
    check: Check,
    meter: Meter<'w>,
    trace: Trace,
}

impl<'w> Simulation<'w> {
    fn new(world: &'w World, keep: bool) -> Self {
        let sidecar = |_| {
            let mut health = Health::new();
            let slots = vec![health.attach(&world.tables[0], &|_| false, Tick(0))];
            Sidecar { health, slots }
        };
        let mut new = Self {
            world,
            routers: world.tables.iter().map(Router::new).collect(),
            sidecars: (0..world.sidecars).map(sidecar).collect(),
            providers: Providers::new(world),
            calls: Vec::new(),
            events: BinaryHeap::new(),
            count: 0,
            now: Tick(0),
            check: Check::new(world.sidecars, world.sites.len()),
            meter: Meter::new(world),
            trace: Trace::new(keep),
        };
        for sidecar in 0..world.sidecars {
            for at in world.arrivals(sidecar) {
                new.push(at, Event::Arrives { sidecar });
            }
        }
        if world.tables.len() > 1 && world.reload.since(Tick(0)) < world.length {
            new.push(world.reload, Event::Reloads);
        }
        new
    }

    fn push(&mut self, at: Tick, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, event)));
    }

    fn happen(&mut self, event: Event, now: Tick) {
        let number = match event {
            Event::Arrives { sidecar } => return self.arrives(sidecar, now),
            Event::Reloads => return self.reload(now),
            Event::Ends { call, .. } | Event::Wakes { call } | Event::HangsUp { call } | Event::Streamed { call } => call,
        };
        let Some(mut live) = self.calls.get_mut(number).and_then(Option::take) else {
            return;
        };
        match event {
            Event::Ends { id, .. } if live.running.is_some_and(|running| running.attempt.id == id) => {
                self.ends(&mut live, now);
                self.advance(&mut live, now);
            }
            Event::Wakes { .. } if !live.finished && live.wake == now => self.advance(&mut live, now),
            Event::HangsUp { .. } => {
                self.hang_up(live, now);
                return;
            }
            Event::Streamed { .. } => {
                self.streamed(live, now);
                return;
            }
            // It has been overtaken.
            Event::Ends { .. } | Event::Wakes { .. } | Event::Arrives { .. } | Event::Reloads => {}
        }
        if !live.finished || live.committed.is_some_and(|_| live.call.stream) {
            self.calls[number] = Some(live);
        }
    }

    fn arrives(&mut self, sidecar: usize, now: Tick) {
        let number = self.calls.len();
        let call = self.world.call(number);
        self.meter.arrived(now);
        let at = self.sidecars[sidecar].slots.len() - 1;
        let table = &self.world.tables[at];
        let facts = CallFacts {
            endpoint: Endpoint::Chat,
            model: "m",
            route: None,
            task: None,
            header: &|_| None,
            metadata: &|_| None,
            prompt_tokens: call.prompt_tokens,
            needs: call.needs,
            service_account: None,
        };
        let Ok(matched) = self.routers[at].find(table, &facts) else {
            let what = "no rule takes it".to_string();
            self.calls.push(None);
            return self.check.fail(Property::Residency, now, Some(number), what);
        };
        let route = &table.routes[matched.route];
        let rule = &route.rules[matched.rule];
        let total = rule
            .candidates
            .iter()
            .map(|candidate| candidate.timeouts.total)
            .max()
            .unwrap_or_default();
        let end = now.after(total);
        let deadline = call.patience.map_or(end, |patience| end.min(now.after(patience)));
        let cached = rule.balance == Balance::Cheapest && call.prompt_tokens >= CACHED;
        let shape = Shape {
            model: "m",
            stream: call.stream,
            prompt_tokens: call.prompt_tokens,
            needs: call.needs,
            max_output: call.max_output,
            affinity: call.affinity.filter(|affinity| affinity.bound || cached),
        };
        let Sidecar { health, slots } = &self.sidecars[sidecar];
        let ranked = plan(table, &slots[at], matched, shape, health, now, call.seed);
        self.note(now, sidecar, Some(number), arrived(&call, deadline));
        if let Some(after) = call.hang_up {
            self.push(now.after(after), Event::HangsUp { call: number });
        }
        let mut live = Live {
            number,
            sidecar,
            table: at,
            arrived: now,
            deadline,
            end,
            dispatch: Dispatch::new(ranked, route.attempts, route.breaker, deadline, call.seed),
            running: None,
            wake: now,
            sent: Vec::new(),
            suited: suited(table, &call),
            cheapest: (self.world.kind == Kind::Cheapest)
                .then(|| self.providers.cheapest(table, &call, number, now))
                .flatten(),
            finished: false,
            committed: None,
            call,
        };
        self.calls.push(None);
        self.advance(&mut live, now);
        if !live.finished {
            self.calls[number] = Some(live);
        }
    }

    fn reload(&mut self, now: Tick) {
        for (at, sidecar) in self.sidecars.iter_mut().enumerate() {
            let slots = sidecar.health.attach(&self.world.tables[1], &|_| false, now);
            sidecar.slots.push(slots);
            let (call, what) = (None, What::Reloaded);
            self.trace.note(Entry {
                at: now,
                sidecar: at,
                call,
                what,
            });
        }
    }

    /// Obeys the loop until there is something to wait for.
    fn advance(&mut self, live: &mut Live, now: Tick) {
        loop {
            let table = &self.world.tables[live.table];
            let health = &mut self.sidecars[live.sidecar].health;
            match live.dispatch.next(table, health, now) {
                Step::Send(attempt) => {
                    self.send(live, &attempt, now);
                    if live.committed.is_some() || live.sent.len() >= ENDLESS {
                        return self.abandon(live, now);
                    }
                }
                Step::Cancel(id) => {
                    if let Some(running) = live.running.take() {
                        self.check.cut(live.sidecar, live.number, id);
                        let target = running.attempt.target;
                        self.note(now, live.sidecar, Some(live.number), What::Cut { target });
                    }
                    // The data plane reports it, too; it has been written down already.
                    let health = &mut self.sidecars[live.sidecar].health;
                    live.dispatch.observe(health, id, Outcome::of(Class::Timeout), now);
                    let ended = Some((now, Outcome::of(Class::Cancelled)));
                    live.sent.iter_mut().skip(id.0).take(1).for_each(|sent| sent.ended = ended);
                }
                Step::WaitUntil(at) => {
                    if at <= now || at > live.deadline {
                        let what = "waits for what is past, or beyond its deadline".to_string();
                        self.check.fail(Property::Deadline, now, Some(live.number), what);
                    }
                    if at > now {
                        live.wake = at;
                        self.push(at, Event::Wakes { call: live.number });
                        // Every attempt waits for its own end or the deadline: that would be said twice for each.
                        if live.running.is_none() {
                            self.note(now, live.sidecar, Some(live.number), What::Waits(at.0));
                        }
                    } else if live.running.is_none() {
                        self.abandon(live, now);
                    }
                    return;
                }
                Step::Finish(verdict) => {
                    live.finished = true;
                    let committed = live.committed.map(|(running, _)| running.attempt.id);
                    if let (Some(id), false) = (committed, matches!(verdict, Verdict::Committed(of) if Some(of) == committed)) {
                        let what = format!("ends with {verdict:?} although attempt {} has answered", id.0);
                        self.check.fail(Property::Commit, now, Some(live.number), what);
                    }
                    self.look(live, now, |check, eyes| check.finished(eyes, live, &verdict));
                    self.meter.sums.failed += u64::from(live.committed.is_none() && !live.call.mistaken);
                    self.note(now, live.sidecar, Some(live.number), What::Finished(word(&verdict)));
                    return;
                }
            }
        }
    }

    fn send(&mut self, live: &mut Live, attempt: &Attempt, now: Tick) {
        self.look(live, now, |check, eyes| check.sent(eyes, live, attempt));
        let limited = |sent: &Sent| sent.target == attempt.target && sent.class() == Some(Class::RateLimited);
        self.meter
            .sent(attempt.target, attempt.probe, live.sent.last().is_some_and(limited), now);
        let what = What::Sent {
            target: attempt.target,
            key: attempt.key,
            probe: attempt.probe,
            fresh: attempt.fresh,
        };
        self.note(now, live.sidecar, Some(live.number), what);
        let answer = self.providers.ask(&Asked {
            call: &live.call,
            number: live.number,
            attempt: live.sent.len(),
            target: attempt.target,
            key: attempt.key.unwrap_or(0),
            renewed: live.table > 0,
            fresh: attempt.fresh,
            at: now,
        });
        let (after, answer) = clocked(&live.call, &attempt.timeouts, answer);
        live.sent.push(Sent {
            target: attempt.target,
            key: attempt.key.unwrap_or(0),
            fresh: attempt.fresh,
            at: now,
            ended: None,
        });
        live.running = Some(Running { attempt: *attempt, answer });
        let (call, id) = (live.number, attempt.id);
        self.push(now.after(after), Event::Ends { call, id });
    }

    /// The attempt that runs has brought its first content or its whole answer, or failed.
    fn ends(&mut self, live: &mut Live, now: Tick) {
        let Some(running) = live.running.take() else { return };
        let Running { attempt, answer } = running;
        let outcome = answer.outcome;
        let what = What::Ended {
            target: attempt.target,
            class: outcome.class,
            stale: outcome.stale,
        };
        self.note(now, live.sidecar, Some(live.number), what);
        let health = &mut self.sidecars[live.sidecar].health;
        live.dispatch.observe(health, attempt.id, outcome, now);
        live.sent
            .iter_mut()
            .skip(attempt.id.0)
            .take(1)
            .for_each(|sent| sent.ended = Some((now, outcome)));
        self.look(live, now, |check, eyes| check.ended(eyes, live, attempt.id, &outcome));
        if outcome.class != Class::Ok {
            return;
        }
        if now >= live.deadline.after(Duration::from_micros(1)) {
            self.check.fail(
                Property::Deadline,
                now,
                Some(live.number),
                "answered after its deadline".to_string(),
            );
        }
        live.committed = Some((running, now));
        let cost = cost_at(&self.world.tables[live.table], attempt.target, &answer.usage);
        self.meter.answered(attempt.target, live.arrived, cost.zip(live.cheapest));
        if live.call.stream {
            let lasts = answer.lasts.min(live.end.since(now));
            self.push(now.after(lasts), Event::Streamed { call: live.number });
        } else {
            self.learn(live, &answer, true, now);
        }
    }

    fn look(&mut self, live: &Live, now: Tick, look: impl FnOnce(&mut Check, &Eyes<'_>)) {
        let Sidecar { health, slots } = &self.sidecars[live.sidecar];
        let eyes = Eyes {
            table: &self.world.tables[live.table],
            slots: &slots[live.table],
            health,
            sidecar: live.sidecar,
            now,
        };
        look(&mut self.check, &eyes);
    }

    fn note(&mut self, at: Tick, sidecar: usize, call: Option<usize>, what: What) {
        self.trace.note(Entry { at, sidecar, call, what });
    }

    fn end(mut self) -> Ran {
        for live in self.calls.iter().flatten() {
            let what = "never ended".to_string();
            self.check.fail(Property::Settled, self.now, Some(live.number), what);
        }
        for (at, sidecar) in self.sidecars.iter().enumerate() {
            for (table, slots) in self.world.tables.iter().zip(&sidecar.slots) {
                self.check.settled(&Eyes {
                    table,
                    slots,
                    health: &sidecar.health,
                    sidecar: at,
                    now: self.now,
                });
            }
        }
        if let Some((property, at, what)) = self.meter.end() {
            self.check.fail(property, at, None, what);
        }
        let (hash, trace) = self.trace.end();
        Ran {
            hash,
            trace,
            violations: self.check.violations,
            sums: self.meter.sums,
        }
    }
}

fn arrived(call: &Call, deadline: Tick) -> What {
    What::Arrived {
        stream: call.stream,
        prompt_tokens: call.prompt_tokens,
        deadline: deadline.0,
    }
}

/// What the caller's clocks make of an answer, and after how long.
fn clocked(call: &Call, timeouts: &Timeouts, answer: Answer) -> (Duration, Answer) {
    let failed = |class| Answer {
        outcome: Outcome::of(class),
        ..answer
    };
    let patience = if call.stream { timeouts.first_token } else { timeouts.response };
    match (answer.connected, answer.after) {
        (Some(connected), _) if connected > timeouts.connect => (timeouts.connect, failed(Class::Connect)),
        (None, _) => (timeouts.connect, failed(Class::Connect)),
        (Some(connected), Some(after)) if after <= patience => (connected + after, answer),
        (Some(connected), _) => (connected + patience, failed(Class::Timeout)),
    }
}
