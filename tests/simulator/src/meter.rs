//! What is counted over a world's time rather than held against single steps: who got how many calls in which second, and what answers cost.

use crate::{
    property::Property,
    world::{Arrivals, Kind, Spell, Trouble, World},
};
use outrigger_core::{PicoUsd, Tick};
use std::{ops::AddAssign, time::Duration};

/// From when on after its recovery a provider should have its share back.
const BACK: Duration = Duration::from_secs(10);
/// For how long after it a rush is looked for.
const WATCHED: usize = 20;

/// Sums of one world or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls.
    pub calls: u64,
    /// Attempts, those that repeat a stale one included.
    pub attempts: u64,
    /// Attempts that asked whether a target was well again.
    pub probes: u64,
    /// Calls that got an answer.
    pub answered: u64,
    /// Calls that got none, though none of them was mistaken and their caller did not leave.
    pub failed: u64,
    /// Worlds in which it can be said whether the recovered target had its share back in time, and in how many it had.
    pub recovered: u64,
    /// See `recovered`.
    pub returned: u64,
    /// Answers in worlds that want the cheapest, with what they cost and would have cost at the cheapest target that would have answered
    /// at the moment of the call.
    pub priced: u64,
    /// See `priced`; picodollars.
    pub spent: u128,
    /// See `priced`; picodollars.
    pub cheapest: u128,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.attempts += other.attempts;
        self.probes += other.probes;
        self.answered += other.answered;
        self.failed += other.failed;
        self.recovered += other.recovered;
        self.returned += other.returned;
        self.priced += other.priced;
        self.spent += other.spent;
        self.cheapest += other.cheapest;
    }
}

/// See the module.
pub(crate) struct Meter<'w> {
    world: &'w World,
    /// The first target's spell, where the world is there to show how it recovers.
    spell: Option<Spell>,
    /// By second: calls that came; attempts at the first target, those with another key of it after a rate limit not counted; calls of that
    /// second that were answered, by anybody and by the first.
    seconds: Vec<[u32; 4]>,
    pub(crate) sums: Sums,
}

impl<'w> Meter<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        let spell = world.sites[0].spells.first().copied();
        Self {
            world,
            spell: spell.filter(|_| world.kind == Kind::Recovery),
            seconds: Vec::new(),
            sums: Sums::default(),
        }
    }

    pub(crate) fn arrived(&mut self, now: Tick) {
        self.sums.calls += 1;
        self.count(0, now);
    }

    /// `next_key`: the call has been there with another key, which is at its limit.
    pub(crate) fn sent(&mut self, target: usize, probe: bool, next_key: bool, now: Tick) {
        self.sums.attempts += 1;
        self.sums.probes += u64::from(probe);
        if target == 0 && !next_key {
            self.count(1, now);
        }
    }

    /// A call that had come at `arrived` is answered; `costs`: what it cost, and what it would have cost at the cheapest.
    pub(crate) fn answered(&mut self, target: usize, arrived: Tick, costs: Option<(PicoUsd, PicoUsd)>) {
        self.sums.answered += 1;
        self.count(2, arrived);
        if target == 0 {
            self.count(3, arrived);
        }
        if let Some((cost, cheapest)) = costs {
            self.sums.priced += 1;
            self.sums.spent += u128::from(cost.0);
            self.sums.cheapest += u128::from(cheapest.0);
        }
    }

    /// When all is over: what can be said of the recovery.
    pub(crate) fn end(&mut self) -> Option<(Property, Tick, String)> {
        let spell = self.spell?;
        let sidecars = f64::from(u32::try_from(self.world.sidecars).unwrap_or(u32::MAX));
        let mean = match self.world.arrivals {
            Arrivals::Even(gap) | Arrivals::Poisson(gap) if gap <= Duration::from_secs(1) => sidecars / gap.as_secs_f64(),
            Arrivals::Even(_) | Arrivals::Poisson(_) | Arrivals::Bursts(..) => return None,
        };
        let back = second(spell.over().after(BACK)) + 1;
        let [_, _, answered, own] = self.total(back, self.seconds.len());
        // Who is alone has all there is; and if it tells its callers when to come back, it gets them then.
        let alone = self.world.sites.len() == 1;
        if !alone {
            self.sums.recovered += 1;
            self.sums.returned += u64::from(self.has_share(answered, own));
        } else if matches!(spell.trouble, Trouble::Limited(_) | Trouble::Overloaded(_)) {
            return None;
        }
        // The second in which it recovers belongs to both times.
        let from = second(spell.until) + 1;
        (from..from + WATCHED).find_map(|at| {
            let [came, sent, ..] = *self.seconds.get(at)?;
            let what = || format!("t0 got {sent} in a second in which {came} calls came");
            // Where there is nobody else, each sidecar may let two in that have failed there before it is their turn.
            let early = if alone { 2.0 * sidecars } else { 0.0 };
            let rush = f64::from(sent) > 2.0 * f64::from(came).max(mean) + early;
            rush.then(|| (Property::Rush, Tick(at as u64 * 1_000_000), what()))
        })
    }

    /// Nine tenths of what its weight gives it, less what chance takes from so few calls in one case of a thousand.
    fn has_share(&self, answered: u32, own: u32) -> bool {
        let first = self.world.sites[0].priority;
        let peers = self.world.sites.iter().filter(|site| site.priority == first);
        let weights: u32 = peers.map(|site| site.weight).sum();
        let share = f64::from(self.world.sites[0].weight) / f64::from(weights.max(1));
        let expected = f64::from(answered) * share;
        let chance = 3.0 * (expected * (1.0 - share)).sqrt();
        f64::from(own) >= 0.9 * expected - chance
    }

    fn total(&self, from: usize, until: usize) -> [u32; 4] {
        let mut total = [0; 4];
        for second in self.seconds.get(from..until).unwrap_or_default() {
            for (sum, count) in total.iter_mut().zip(second) {
                *sum += count;
            }
        }
        total
    }

    fn count(&mut self, column: usize, at: Tick) {
        let at = second(at);
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, [0; 4]);
        }
        self.seconds[at][column] += 1;
    }
}

fn second(at: Tick) -> usize {
    usize::try_from(at.0 / 1_000_000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A world that is there to show how a target recovers, alone or beside others, with a call a second at least.
    fn world(alone: bool) -> World {
        let mut worlds = (0..).map(World::new).filter(|world| world.kind == Kind::Recovery);
        let dense = |world: &World| {
            let told = matches!(world.sites[0].spells[0].trouble, Trouble::Limited(_) | Trouble::Overloaded(_));
            !told && matches!(world.arrivals, Arrivals::Even(gap) if gap < BACK / 10)
        };
        worlds.find(|world| (world.sites.len() == 1) == alone && dense(world)).unwrap()
    }

    #[test]
    fn more_than_twice_the_calls_of_a_second_are_a_rush_and_another_key_after_a_limit_is_none() {
        for alone in [false, true] {
            let world = world(alone);
            let early = if alone { 2 * world.sidecars } else { 0 };
            let mut meter = Meter::new(&world);
            let at = world.sites[0].spells[0].until.after(Duration::from_secs(3));
            (0..30).for_each(|_| meter.arrived(at));
            (0..60 + early).for_each(|_| meter.sent(0, false, false, at));
            meter.sent(0, false, true, at);
            meter.sent(1, false, false, at);
            assert_eq!(meter.end(), None);
            meter.sent(0, true, false, at);
            assert!(meter.end().is_some_and(|(property, ..)| property == Property::Rush));
        }
    }

    #[test]
    fn a_target_that_is_well_and_gets_too_little_is_late() {
        let world = world(false);
        let at = world.sites[0].spells[0].over().after(BACK + Duration::from_secs(2));
        let returned = |own: u32| {
            let mut meter = Meter::new(&world);
            (0..1_000).for_each(|call| meter.answered(usize::from(call >= own), at, None));
            meter.end();
            meter.sums.returned
        };
        assert_eq!((returned(1_000), returned(10)), (1, 0));
    }
}
