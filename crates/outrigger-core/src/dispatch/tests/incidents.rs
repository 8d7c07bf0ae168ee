//! Even traffic against two providers, the first of which has an incident. What matters is how many calls meet it, how many fail, and
//! when traffic is back.

use super::{SHAPE, at, chain, table};
use crate::{
    Attempts, Balance, Breaker, Class, Dispatch, Ending, Health, Matched, Outcome, Slots, SlowOf, Step, Table, Tick, Verdict,
    plan::plan,
    seed,
    testing::{Spec, ending, ms, slow},
};
use alloc::{vec, vec::Vec};

/// How the provider of a target answers a call that starts then: after how many milliseconds and with what. The first token takes
/// `None` where it never comes.
type Provider<'a> = &'a dyn Fn(usize, u64) -> (Option<u64>, Class);

#[derive(Debug, Default)]
struct Seen {
    /// Calls that the first provider got as their first and ordinary attempt during the incident, by start in milliseconds.
    met: Vec<u64>,
    /// Probes that it got.
    probes: Vec<u64>,
    /// Ordinary calls that it got, ever.
    served: Vec<u64>,
    failed: usize,
    slowest: u64,
}

struct Call {
    start: u64,
    dispatch: Dispatch,
    /// The attempt that runs, when it ends, and how.
    running: Option<(crate::AttemptId, u64, Class)>,
    wake: u64,
    done: bool,
}

struct World<'a> {
    table: Table,
    health: Health,
    slots: Slots,
    provider: Provider<'a>,
    seen: Seen,
    incident: core::ops::Range<u64>,
}

/// A call each `gap` ms for `length` ms, to the first of two.
fn run(breaker: Breaker, gap: u64, length: u64, incident: core::ops::Range<u64>, provider: Provider) -> Seen {
    let mut table = table(&chain(2));
    table.routes[0].breaker = breaker;
    run_on(table, gap, length, incident, provider)
}

fn run_on(table: Table, gap: u64, length: u64, incident: core::ops::Range<u64>, provider: Provider) -> Seen {
    let breaker = table.routes[0].breaker;
    let mut health = Health::new();
    let slots = health.attach(&table, &|_| false, at(0));
    let mut world = World {
        table,
        health,
        slots,
        provider,
        seen: Seen::default(),
        incident,
    };
    let mut calls: Vec<Call> = vec![];
    for now in 0..length + 120_000 {
        if now < length && now.is_multiple_of(gap) {
            let matched = Matched { route: 0, rule: 0 };
            let plan = plan(&world.table, &world.slots, matched, SHAPE, &world.health, at(now), now);
            calls.push(Call {
                start: now,
                dispatch: Dispatch::new(plan, Attempts::default(), breaker, at(now + 120_000), now),
                running: None,
                wake: now,
                done: false,
            });
        }
        for call in &mut calls {
            world.advance(call, now);
        }
        calls.retain(|call| !call.done);
    }
    assert!(calls.is_empty());
    world.seen
}

impl World<'_> {
    fn advance(&mut self, call: &mut Call, now: u64) {
        let ended = call.running.filter(|(_, until, _)| *until <= now);
        if ended.is_none() && call.wake > now {
            return;
        }
        if let Some((id, _, class)) = ended {
            call.running = None;
            call.dispatch.observe(&mut self.health, id, Outcome::of(class), at(now));
            if class == Class::Ok {
                self.health
                    .settle(call.dispatch.tried()[id.0].attempt.slot, ending(Ending::Whole), at(now));
            }
        }
        loop {
            match call.dispatch.next(&self.table, &mut self.health, at(now)) {
                Step::Send(attempt) => {
                    let (after, class) = (self.provider)(attempt.target, now);
                    // The first-token clock of this world.
                    let (after, class) = after.map_or((60_000, Class::Timeout), |after| (after, class));
                    call.running = Some((attempt.id, now + after, class));
                    let seen = match attempt.target {
                        0 if attempt.probe => &mut self.seen.probes,
                        0 => &mut self.seen.served,
                        _ => continue,
                    };
                    seen.push(now);
                    if !attempt.probe && self.incident.contains(&now) {
                        self.seen.met.push(now);
                    }
                }
                Step::Cancel(_) => call.running = None,
                Step::WaitUntil(Tick(wake)) => {
                    call.wake = wake.div_ceil(1_000);
                    return;
                }
                Step::Finish(verdict) => {
                    self.seen.failed += usize::from(!matches!(verdict, Verdict::Committed(_)));
                    self.seen.slowest = self.seen.slowest.max(now - call.start);
                    call.done = true;
                    return;
                }
            }
        }
    }
}

/// Ordinary calls to the first provider per second from `from` on.
fn served(seen: &Seen, from: u64, to: u64) -> usize {
    seen.served.iter().filter(|start| (from..to).contains(*start)).count()
}

const INCIDENT: core::ops::Range<u64> = 30_000..60_000;

#[test]
fn six_seconds_of_latency_meet_few_calls_and_traffic_returns_gradually() {
    let provider: Provider = &|target, now| match target {
        0 if INCIDENT.contains(&now) => (Some(6_000), Class::Ok),
        0 => (Some(150 + now % 50), Class::Ok),
        _ => (Some(300), Class::Ok),
    };
    for breaker in [Breaker::default(), slow(SlowOf::FirstContent, ms(2_000))] {
        let seen = run(breaker, 50, 80_000, INCIDENT, provider);
        assert_eq!(seen.failed, 0);
        assert!(seen.met.len() <= 10, "{:?}", seen.met);
        assert!(seen.probes.len() <= 20, "{:?}", seen.probes);
        assert_eq!(served(&seen, 70_000, 80_000), 200, "all of it is back within ten seconds");
        assert!(served(&seen, 60_000, 70_000) < 200);
    }
}

#[test]
fn a_provider_that_answers_nothing_is_left_without_waiting_for_a_clock() {
    let provider: Provider = &|target, now| match target {
        0 if INCIDENT.contains(&now) => (None, Class::Ok),
        _ => (Some(200), Class::Ok),
    };
    let seen = run(Breaker::default(), 50, 80_000, INCIDENT, provider);
    assert_eq!(seen.failed, 0);
    assert!(seen.met.len() <= 10, "{:?}", seen.met);
    assert_eq!(served(&seen, 70_000, 80_000), 200);
}

#[test]
fn an_outage_fails_no_call_and_costs_three_attempts_and_the_probes() {
    let provider: Provider = &|target, now| match target {
        0 if INCIDENT.contains(&now) => (Some(5), Class::Connect),
        _ => (Some(200), Class::Ok),
    };
    let seen = run(Breaker::default(), 50, 80_000, INCIDENT, provider);
    assert_eq!((seen.failed, seen.met.len()), (0, 3));
    assert!(seen.probes.len() <= 16, "gaps grow to five seconds: {:?}", seen.probes);
    assert!(seen.slowest <= 210, "{}", seen.slowest);
    assert_eq!(served(&seen, 70_000, 80_000), 200);
}

#[test]
fn thin_traffic_leaves_a_dead_provider_too() {
    let incident = 600_000..1_200_000;
    let provider: Provider = &|target, now| match target {
        0 if (600_000..1_200_000).contains(&now) => (Some(5), Class::Reset),
        _ => (Some(200), Class::Ok),
    };
    // Five calls a minute: every call but the first three could be a probe, and none may fail.
    let seen = run(Breaker::default(), 12_000, 1_320_000, incident, provider);
    assert_eq!((seen.failed, seen.met.len()), (0, 3));
    assert_eq!(served(&seen, 1_260_000, 1_320_000), 5);
}

#[test]
fn half_the_calls_failing_takes_a_provider_out_by_rate() {
    let provider: Provider = &|target, now| match target {
        0 if INCIDENT.contains(&now) && now % 100 < 50 => (Some(5), Class::ServerError),
        _ => (Some(200), Class::Ok),
    };
    let seen = run(Breaker::default(), 50, 80_000, INCIDENT, provider);
    assert_eq!(seen.failed, 0);
    // The window remembers the good time before: it takes a while, but then it holds.
    let late = seen.met.iter().filter(|start| **start >= 52_000).count();
    assert!(late <= 20, "of 160: {late}");
    assert_eq!(served(&seen, 70_000, 80_000), 200);
}

#[test]
fn a_silent_hang_after_a_healthy_minute_takes_ten_calls_at_most_probes_apart() {
    // Twenty calls a second. The slower a provider usually is, the longer its silence means nothing.
    let providers: [Provider; 3] = [
        &|target, now| (if target == 0 && now >= 60_000 { None } else { Some(20 + now % 40) }, Class::Ok),
        &|target, now| {
            (
                if target == 0 && now >= 60_000 {
                    None
                } else {
                    Some(150 + now % 100)
                },
                Class::Ok,
            )
        },
        &|target, now| (if target == 0 && now >= 60_000 { None } else { Some(300 + now % 50) }, Class::Ok),
    ];
    for (at, provider) in providers.into_iter().enumerate() {
        for breaker in [Breaker::default(), slow(SlowOf::FirstContent, ms(2_000))] {
            let seen = run(breaker, 50, 120_000, 60_000..120_000, provider);
            assert_eq!(seen.failed, 0);
            assert!(seen.met.len() <= 10, "{at}: {:?}", seen.met);
            assert!(seen.probes.len() <= 20, "{at}: {:?}", seen.probes);
        }
    }
}

#[test]
fn a_call_every_two_seconds_meets_a_provider_that_became_slow_four_times_at_most() {
    // It begins anywhere between two calls; at six seconds, a whole number of gaps, an attempt ends just as a call comes.
    for from in [60_500, 61_999, 300_000, 700_000, 701_000] {
        for took in [5_700, 6_000, 6_300] {
            let provider: Provider = &|target, now| (Some(if target == 0 && now >= from { took } else { 280 + now % 40 }), Class::Ok);
            for breaker in [Breaker::default(), slow(SlowOf::FirstContent, ms(2_000))] {
                let seen = run(breaker, 2_000, from + 120_000, from..from + 120_000, provider);
                assert_eq!(seen.failed, 0);
                assert!(seen.met.len() <= 4, "{took} ms from {from}: {:?}", seen.met);
            }
        }
    }
}

#[test]
fn in_no_second_a_recovered_target_gets_more_than_twice_its_share() {
    // Four that share a hundred calls a second; the first is dark, or all are and callers wait.
    let one: Provider = &|target, now| match target {
        0 if INCIDENT.contains(&now) => (Some(5), Class::Connect),
        _ => (Some(200), Class::Ok),
    };
    let all: Provider = &|_, now| match now {
        30_000..33_000 => (Some(5), Class::Connect),
        _ => (Some(200), Class::Ok),
    };
    let share = 25;
    for balance in [Balance::Weighted, Balance::Fastest, Balance::LeastBusy] {
        for (provider, back) in [(one, 60_000), (all, 33_000)] {
            let mut table = table(&vec![Spec::default(); 4]);
            table.routes[0].rules[0].balance = balance;
            let seen = run_on(table, 10, 80_000, INCIDENT, provider);
            for second in (back..80_000).step_by(1_000) {
                let probes = seen.probes.iter().filter(|start| (second..second + 1_000).contains(*start)).count();
                let got = served(&seen, second, second + 1_000) + probes;
                assert!(got <= 2 * share, "{balance:?}: {got} in the second from {second}");
            }
            assert!(served(&seen, 70_000, 80_000) >= 7 * share, "{balance:?}: it is back");
        }
    }
}

#[test]
fn a_provider_that_fails_every_third_call_does_not_come_back_after_three_lucky_ones() {
    let incident = 30_000..90_000;
    let mut late = 0;
    for salt in 0..8 {
        let fails = |now: u64| seed::below(now, salt, 10) < 3;
        let provider: Provider = &|target, now| match target {
            0 if incident.contains(&now) && fails(now) => (Some(5), Class::ServerError),
            _ => (Some(50), Class::Ok),
        };
        let seen = run(Breaker::default(), 50, 120_000, incident.clone(), provider);
        assert_eq!(seen.failed, 0);
        late += seen.met.iter().filter(|start| **start >= 40_000 && fails(**start)).count();
        let back = served(&seen, 100_000, 110_000);
        assert!(back >= 180, "{back} of 200 are back ten seconds after it is well");
    }
    // From the tenth second on. A run of luck brings it back now and then, and not for long.
    assert!(late <= 40, "{late} of 8,000 calls met a failure first");
}

#[test]
fn calls_follow_the_fastest_and_finding_out_about_the_others_costs_one_in_twenty() {
    // Twenty calls a second. The first is the fastest, is not for four minutes, and is again; never so slow that a breaker has a say.
    let provider: Provider = &|target, now| match target {
        0 if (120_000..360_000).contains(&now) => (Some(240), Class::Ok),
        0 => (Some(150), Class::Ok),
        1 => (Some(200), Class::Ok),
        _ => (Some(245), Class::Ok),
    };
    let mut table = table(&vec![Spec::default(); 3]);
    table.routes[0].rules[0].balance = Balance::Fastest;
    let seen = run_on(table, 50, 480_000, 0..0, provider);
    assert_eq!(seen.failed, 0);
    let of = |from, to| served(&seen, from, to) * 1_000 / ((to - from) / 50) as usize;
    assert!(of(30_000, 120_000) >= 950, "{}", of(30_000, 120_000));
    // The window of a minute is mostly of the good time for half of it.
    assert!(of(180_000, 360_000) <= 50, "{}", of(180_000, 360_000));
    assert!(of(180_000, 360_000) > 0, "or nobody would know");
    assert!(of(450_000, 480_000) >= 950, "{}", of(450_000, 480_000));
}
