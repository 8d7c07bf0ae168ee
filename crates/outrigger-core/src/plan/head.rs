//! Finds the first candidate without ranking the others, where nothing is the matter with any of its priority: most calls never need
//! more. It finds what the whole order would begin with.

use super::{
    Ranked,
    judge::Judge,
    order::{drawn, refreshed, time, usual},
};
use crate::table::{Balance, Candidate};
use alloc::vec::Vec;

/// A candidate and its place in the rule.
type Listed<'a> = (usize, &'a Candidate);

impl Judge<'_> {
    /// The first of [`Self::all`], if it is clear without the rest.
    pub(super) fn head(&self) -> Option<Ranked> {
        let candidates = self.candidates();
        let first = candidates.iter().map(|candidate| candidate.priority).min()?;
        let group = candidates.iter().enumerate().filter(|(_, one)| one.priority == first);
        group.clone().all(|(_, one)| self.calm(one)).then_some(())?;
        let (at, one) = match self.balance() {
            Balance::Weighted => self.draw(group)?,
            Balance::LeastBusy => self.less_busy(group)?,
            Balance::Cheapest => self.cheapest(group)?,
            Balance::Fastest => self.fastest(group)?,
        };
        Some(self.kept(at, one))
    }

    /// One by weight; the first where none has any.
    fn draw<'a>(&self, mut group: impl Iterator<Item = Listed<'a>> + Clone) -> Option<Listed<'a>> {
        let drawn = drawn(group.clone().map(|(_, one)| one.weight), self.seed);
        group.nth(drawn.unwrap_or(0))
    }

    /// Of two that are drawn the one with less in flight for its weight.
    fn less_busy<'a>(&self, group: impl Iterator<Item = Listed<'a>> + Clone) -> Option<Listed<'a>> {
        let one = self.draw(group.clone())?;
        let other = self.draw(group.filter(|other| other.0 != one.0));
        let load = |one: &Candidate, other: &Candidate| u64::from(self.busy(one.target)) * u64::from(other.weight);
        Some(other.filter(|other| load(other.1, one.1) < load(one.1, other.1)).unwrap_or(one))
    }

    fn cheapest<'a>(&self, group: impl Iterator<Item = Listed<'a>>) -> Option<Listed<'a>> {
        let mut all = Vec::with_capacity(self.candidates().len());
        all.extend(group.map(|one| (one, self.usual_output(one.1.target), None)));
        let usual = usual(all.iter().map(|(_, output, _)| *output));
        for ((_, candidate), output, cost) in &mut all {
            let facts = self.facts(candidate.target);
            *cost = self.cost(facts, self.output(facts, output.unwrap_or(usual)), self.cached(candidate.target));
        }
        self.least(&all, |(one, _, cost)| (*one, (cost.is_none(), *cost)))
    }

    fn fastest<'a>(&self, group: impl Iterator<Item = Listed<'a>>) -> Option<Listed<'a>> {
        let mut all = Vec::with_capacity(self.candidates().len());
        all.extend(group.map(|one| (one, self.pace(one.1.target), None)));
        let stale = || all.iter().filter(|(one, pace, _)| pace.stale && one.1.weight > 0);
        if let Some(drawn) = refreshed(stale().count(), self.seed) {
            return stale().nth(drawn).map(|(one, ..)| *one);
        }
        let usual = usual(all.iter().map(|(_, pace, _)| pace.output));
        let per_token = all.iter().filter_map(|(_, pace, _)| pace.per_token).min();
        for ((_, candidate), pace, took) in &mut all {
            let output = self.output(self.facts(candidate.target), pace.output.unwrap_or(usual));
            *took = time(pace, per_token, output);
        }
        let best = all.iter().filter_map(|(_, _, took)| *took).min().unwrap_or_default();
        self.least(&all, |(one, pace, took)| (*one, took.unwrap_or(best.max(pace.waited))))
    }

    /// Of those with the least value one by weight; who has no weight comes behind all who have.
    fn least<'a, T, V: Ord>(&self, all: &[T], valued: impl Fn(&T) -> (Listed<'a>, V)) -> Option<Listed<'a>> {
        let key = |one: &T| {
            let (one, value) = valued(one);
            ((one.1.weight == 0, value), one)
        };
        let least = all.iter().map(|one| key(one).0).min()?;
        let equals = all.iter().map(key).filter(|(value, _)| *value == least);
        self.draw(equals.map(|(_, one)| one))
    }
}
