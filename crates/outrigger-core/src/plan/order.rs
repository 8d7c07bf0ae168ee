//! Puts candidates that have been looked at in their order. It never changes its mind about one because of who was tried before.

use super::{Candidate, Ranked, Reason, Score, judge::Judge};
use crate::{seed, table::Balance};
use alloc::vec::Vec;

/// Tokens of an answer where no target has told.
const USUAL: u64 = 256;
/// One call in so many finds out about a target that has not been asked for a minute.
const REFRESH: u64 = 20;
/// Salts of what is drawn beside the order: none that a draw or a share uses.
const SALT_REFRESH: u64 = 1 << 40;

impl Judge<'_> {
    /// The first of all, where that is clear without the rest: nothing is the matter with any candidate of the first priority.
    pub(super) fn head(&self) -> Option<Ranked> {
        let candidates = self.candidates();
        let first = candidates.iter().map(|candidate| candidate.priority).min()?;
        let group = || candidates.iter().enumerate().filter(|(_, candidate)| candidate.priority == first);
        let calm = |ranked: &Ranked| ranked.reason == Reason::Kept && !ranked.near && !ranked.score.bound;
        let look = |(at, candidate): (usize, &Candidate)| {
            let ranked = self.unfit(candidate.target, true).is_none().then(|| self.look(at, candidate));
            ranked.filter(calm)
        };
        if self.balance() != Balance::Weighted {
            let mut group = group().map(look).collect::<Option<Vec<Ranked>>>()?;
            self.arrange(&mut group);
            return group.first().copied();
        }
        // The same as arranging them, without making the list.
        let (mut count, mut total) = (0, 0);
        for one in group() {
            look(one)?;
            count += 1;
            total += u64::from(one.1.weight);
        }
        let mut left = seed::below(self.seed, count, total);
        let drawn = group().find(|(_, candidate)| {
            let weight = u64::from(candidate.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        drawn.or_else(|| group().next()).map(|(at, candidate)| self.look(at, candidate))
    }

    /// All of them in order, and those that are never tried.
    pub(super) fn all(&self) -> (Vec<Ranked>, Vec<(usize, Reason)>) {
        let (mut ranked, dropped) = self.fitting();
        ranked.sort_by_key(|one| one.priority);
        for same in ranked.chunk_by_mut(|a, b| a.priority == b.priority) {
            self.score_all(same);
            self.arrange_scored(same);
            stand_by(same);
        }
        ranked.sort_by_key(|one| one.reason.part());
        demote(&mut ranked);
        (ranked, dropped)
    }

    fn arrange(&self, same: &mut [Ranked]) {
        self.score_all(same);
        self.arrange_scored(same);
    }

    /// Puts those of one priority in order, whether they can serve or not.
    fn arrange_scored(&self, same: &mut [Ranked]) {
        draw(same, self.seed);
        keep_room(same);
        let behind = |one: &Ranked| (one.weight == 0, one.reason == Reason::NearLimit);
        match self.balance() {
            Balance::Weighted => same.sort_by_key(behind),
            Balance::Cheapest => same.sort_by_key(|one| (behind(one), one.score.cost.is_none(), one.score.cost)),
            Balance::Fastest => {
                same.sort_by_key(|one| (behind(one), one.score.time));
                self.refresh(same);
            }
            Balance::LeastBusy => {
                same.sort_by_key(behind);
                less_busy(same);
            }
        }
        if let Some(at) = same.iter().position(|one| one.score.bound && one.reason == Reason::Kept) {
            to_front(same, at);
        }
    }

    /// What those of one priority are compared by. Of an answer's length and of times that are not known the others give an idea.
    fn score_all(&self, same: &mut [Ranked]) {
        let (mut told, mut sum) = (0u64, 0u64);
        let outputs: Vec<Option<u64>> = same.iter_mut().map(|one| self.score(one)).collect();
        for output in outputs.iter().flatten() {
            told += 1;
            sum = sum.saturating_add(*output);
        }
        let usual = sum.checked_div(told).unwrap_or(USUAL);
        for (one, output) in same.iter_mut().zip(outputs) {
            self.expect(one, output.unwrap_or(usual));
        }
        let kept = |one: &&Ranked| one.reason == Reason::Kept;
        let per_token = same.iter().filter(kept).filter_map(|one| one.score.per_token).min();
        let time = |score: &Score| {
            let each = score.per_token.or(per_token).unwrap_or_default();
            let tokens = u32::try_from(score.output_tokens).unwrap_or(u32::MAX);
            Some(score.first_content?.saturating_add(each.saturating_mul(tokens)))
        };
        let best = same
            .iter()
            .filter(kept)
            .filter_map(|one| time(&one.score))
            .min()
            .unwrap_or_default();
        for one in same {
            // Not known: as good as the best, until its first answers are overdue.
            one.score.time = time(&one.score).or(Some(best.max(one.score.waited)));
        }
    }

    /// One call in [`REFRESH`] goes first to a target that nobody has asked for a minute, however slow it was then.
    fn refresh(&self, same: &mut [Ranked]) {
        let stale = |one: &Ranked| one.score.stale && one.weight > 0 && one.reason == Reason::Kept;
        let count = same.iter().filter(|one| stale(one)).count() as u64;
        if count == 0 || seed::below(self.seed, SALT_REFRESH, REFRESH) > 0 {
            return;
        }
        let drawn = usize::try_from(seed::below(self.seed, SALT_REFRESH + 1, count)).unwrap_or(0);
        let found = same.iter().enumerate().filter(|(_, one)| stale(one)).nth(drawn).map(|(at, _)| at);
        if let Some(at) = found {
            if let Some(one) = same.get_mut(at) {
                one.score.refreshed = true;
            }
            to_front(same, at);
        }
    }
}

fn to_front(same: &mut [Ranked], at: usize) {
    if let Some(head) = same.get_mut(..=at) {
        head.rotate_right(1);
    }
}

/// Of the first two that are well the one with less in flight for its weight comes first.
fn less_busy(same: &mut [Ranked]) {
    let mut well = same
        .iter()
        .enumerate()
        .filter(|(_, one)| one.weight > 0 && one.reason == Reason::Kept);
    let (Some((_, first)), Some((at, second))) = (well.next(), well.next()) else {
        return;
    };
    let load = |one: &Ranked, other: &Ranked| u64::from(one.score.in_flight) * u64::from(other.weight);
    if load(second, first) < load(first, second) {
        to_front(same, at);
    }
}

/// Whose keys have nearly used up their rate stands behind those with room.
fn keep_room(same: &mut [Ranked]) {
    if same.iter().any(|one| one.weight > 0 && !one.near && one.reason == Reason::Kept) {
        for one in same
            .iter_mut()
            .filter(|one| one.near && !one.score.bound && one.reason == Reason::Kept)
        {
            one.reason = Reason::NearLimit;
        }
    }
}

/// Draws one after another without putting back, so that those who cannot serve leave the shares among the others as they are.
fn draw(mut rest: &mut [Ranked], seed: u64) {
    loop {
        let total = rest.iter().map(|one| u64::from(one.weight)).sum();
        let mut left = seed::below(seed, rest.len() as u64, total);
        let drawn = rest.iter().position(|one| {
            let weight = u64::from(one.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        // Nothing is drawn where all that is left has no weight.
        let Some(head) = drawn.and_then(|at| rest.get_mut(..=at)) else {
            return;
        };
        head.rotate_right(1);
        let Some((_, tail)) = rest.split_first_mut() else { return };
        rest = tail;
    }
}

fn stand_by(same: &mut [Ranked]) {
    let serves = |one: &Ranked| matches!(one.reason, Reason::Kept | Reason::Returning | Reason::Slow | Reason::NearLimit);
    if same.iter().any(|one| one.weight > 0 && serves(one)) {
        for one in same
            .iter_mut()
            .filter(|one| one.weight == 0 && one.reason.part() == 0 && !one.score.bound)
        {
            one.reason = Reason::Standby;
        }
    }
}

/// Puts the first that is well before the slow and the returning ones that precede it.
fn demote(ranked: &mut [Ranked]) {
    let can_serve = || ranked.iter().take_while(|one| one.reason.part() == 0);
    let find = |reason: Reason| can_serve().position(|one| one.reason == reason);
    let better = find(Reason::Kept).or_else(|| find(Reason::Returning)).or_else(|| {
        let slow = can_serve().enumerate().filter(|(_, one)| one.reason == Reason::Slow);
        slow.min_by_key(|(_, one)| one.latency).map(|(at, _)| at)
    });
    let worse = can_serve().position(|one| matches!(one.reason, Reason::Slow | Reason::Returning));
    if let (Some(better), Some(worse)) = (better, worse)
        && worse < better
        && let Some(stretch) = ranked.get_mut(worse..=better)
    {
        stretch.rotate_right(1);
    }
}
