//! Finds the first candidate without ranking the others, where nothing is the matter with any of its priority: most calls never need
//! more. It finds what the whole order would begin with.

use super::{
    Ranked,
    judge::Judge,
    order::{drawn, refreshed, time, usual},
};
use crate::{
    health::Pace,
    table::{Balance, Candidate},
};
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
        Some(self.look(at, one))
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

    fn cheapest<'a>(&self, group: impl Iterator<Item = Listed<'a>> + Clone) -> Option<Listed<'a>> {
        let usual = usual(group.clone().map(|(_, one)| self.usual_output(one.target)));
        self.least(group.map(|one| {
            let target = one.1.target;
            let facts = self.facts(target);
            let output = self.output(facts, self.usual_output(target).unwrap_or(usual));
            let cost = self.cost(facts, output, self.cached(target));
            (one, (cost.is_none(), cost))
        }))
    }

    fn fastest<'a>(&self, group: impl Iterator<Item = Listed<'a>>) -> Option<Listed<'a>> {
        let mut paces = Vec::with_capacity(self.candidates().len());
        paces.extend(group.map(|one| (one, self.pace(one.1.target))));
        let stale = || paces.iter().filter(|(one, pace)| pace.stale && one.1.weight > 0);
        if let Some(drawn) = refreshed(stale().count(), self.seed) {
            return stale().nth(drawn).map(|(one, _)| *one);
        }
        let usual = usual(paces.iter().map(|(_, pace)| pace.output));
        let per_token = paces.iter().filter_map(|(_, pace)| pace.per_token).min();
        let time = |(one, pace): &(Listed<'_>, Pace)| {
            let output = self.output(self.facts(one.1.target), pace.output.unwrap_or(usual));
            time(pace, per_token, output)
        };
        let best = paces.iter().filter_map(time).min().unwrap_or_default();
        self.least(paces.iter().map(|one| (one.0, time(one).unwrap_or(best.max(one.1.waited)))))
    }

    /// Of those with the least value one by weight; who has no weight comes behind all who have.
    fn least<'a, V: Ord>(&self, valued: impl Iterator<Item = (Listed<'a>, V)>) -> Option<Listed<'a>> {
        let mut all = Vec::with_capacity(self.candidates().len());
        all.extend(valued.map(|(one, value)| ((one.1.weight == 0, value), one)));
        let least = all.iter().map(|(value, _)| value).min()?;
        let equals = all.iter().filter(|(value, _)| value == least);
        self.draw(equals.map(|(_, one)| *one))
    }
}
