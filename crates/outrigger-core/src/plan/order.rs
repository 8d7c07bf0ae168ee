//! Puts candidates that have been looked at in their order. It never changes its mind about one because of who was tried before.

use super::{Ranked, Reason, Score, judge::Judge};
use crate::{
    health::{Pace, Wanted},
    seed,
    table::Balance,
};
use alloc::vec::Vec;
use core::time::Duration;

/// Tokens of an answer where no target has told.
const USUAL: u64 = 256;
/// One call in so many finds out about a target that has not been asked for a minute.
const REFRESH: u64 = 20;
/// Salts of what is drawn beside the order: none that a draw or a share uses.
const SALT_REFRESH: u64 = 1 << 40;

impl Judge<'_> {
    /// All of them in order, and those that are never tried. `wanted`: the terms of their scores.
    pub(super) fn all(&self, wanted: Wanted) -> (Vec<Ranked>, Vec<(usize, Reason)>) {
        let (mut ranked, dropped) = self.fitting();
        ranked.sort_by_key(|one| one.priority);
        for same in ranked.chunk_by_mut(|a, b| a.priority == b.priority) {
            self.arrange(same, wanted);
            stand_by(same);
        }
        ranked.sort_by_key(|one| one.reason.part());
        demote(&mut ranked);
        (ranked, dropped)
    }

    /// The terms that the rule's balance compares.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            headroom: false,
            cost: self.balance() == Balance::Cheapest,
            time: self.balance() == Balance::Fastest,
            busy: self.balance() == Balance::LeastBusy,
        }
    }

    /// Puts those of one priority in order, whether they can serve or not.
    fn arrange(&self, same: &mut [Ranked], wanted: Wanted) {
        self.score_all(same, wanted);
        keep_room(same);
        if self.balance() == Balance::Fastest {
            self.refresh(same);
        }
        let key = |one: &Ranked| self.key(one);
        same.sort_by_key(key);
        for equals in same.chunk_by_mut(|a, b| key(a) == key(b)) {
            draw(equals, self.seed);
        }
        if self.balance() == Balance::LeastBusy {
            less_busy(same);
        }
    }

    /// Less comes first; equals are drawn by weight.
    fn key(&self, one: &Ranked) -> ([bool; 5], u64) {
        let (unknown, value) = match self.balance() {
            Balance::Weighted | Balance::LeastBusy => (false, 0),
            Balance::Cheapest => (one.score.cost.is_none(), one.score.cost.map_or(0, |cost| cost.0)),
            Balance::Fastest => (
                false,
                one.score.time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            ),
        };
        let bound = one.score.bound && one.reason == Reason::Kept;
        let near = one.reason == Reason::NearLimit;
        ([!bound, one.weight == 0, near, !one.score.refreshed, unknown], value)
    }

    /// What those of one priority are compared by. Of an answer's length and of times that are not known the others give an idea.
    fn score_all(&self, same: &mut [Ranked], wanted: Wanted) {
        if wanted == Wanted::default() {
            return;
        }
        for one in same.iter_mut() {
            self.score(one, wanted);
        }
        if wanted.cost || wanted.time {
            let usual = usual(same.iter().map(|one| one.score.pace.output));
            for one in same.iter_mut() {
                self.expect(one, one.score.pace.output.unwrap_or(usual));
            }
        }
        if !wanted.time {
            return;
        }
        let kept = |one: &&Ranked| one.reason == Reason::Kept;
        let per_token = same.iter().filter(kept).filter_map(|one| one.score.pace.per_token).min();
        let time = |score: &Score| time(&score.pace, per_token, score.output_tokens);
        let best = same.iter().filter(kept).filter_map(|one| time(&one.score)).min();
        for one in same {
            // Not known: as good as the best, until its first answers are overdue.
            let micros = time(&one.score).unwrap_or(best.unwrap_or_default().max(one.score.pace.waited));
            one.score.time = Some(Duration::from_micros(micros));
        }
    }

    /// One call in [`REFRESH`] goes first to a target that has not been asked of late, however slow it was then.
    fn refresh(&self, same: &mut [Ranked]) {
        let stale = |one: &&mut Ranked| one.score.pace.stale && one.weight > 0 && one.reason == Reason::Kept;
        let drawn = refreshed(same.iter_mut().filter(stale).count(), self.seed);
        if let Some(one) = drawn.and_then(|at| same.iter_mut().filter(stale).nth(at)) {
            one.score.refreshed = true;
        }
    }
}

/// Which of so many that have not been asked of late this call finds out about.
pub(super) fn refreshed(count: usize, seed: u64) -> Option<usize> {
    if count == 0 || seed::below(seed, SALT_REFRESH, REFRESH) > 0 {
        return None;
    }
    usize::try_from(seed::below(seed, SALT_REFRESH + 1, count as u64)).ok()
}

/// Tokens of an answer as the targets of a priority usually give it.
pub(super) fn usual(told: impl Iterator<Item = Option<u64>>) -> u64 {
    let (count, sum) = told
        .flatten()
        .fold((0, 0), |(count, sum): (u64, u64), tokens| (count + 1, sum.saturating_add(tokens)));
    sum.checked_div(count).unwrap_or(USUAL)
}

/// How long an answer of so many tokens is expected to take, µs; each token `per_token` where the pace does not say.
pub(super) fn time(pace: &Pace, per_token: Option<u32>, tokens: u64) -> Option<u64> {
    let each = u64::from(pace.per_token.or(per_token).unwrap_or_default());
    Some(u64::from(pace.first_content?).saturating_add(each.saturating_mul(tokens)))
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
    if !first.score.bound && load(second, first) < load(first, second) {
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
    // Nothing is drawn where all that is left has no weight.
    while let Some(at) = drawn(rest.iter().map(|one| one.weight), seed) {
        to_front(rest, at);
        let Some((_, tail)) = rest.split_first_mut() else { return };
        rest = tail;
    }
}

/// Draws one of so many by its weight.
pub(super) fn drawn(weights: impl Iterator<Item = u32> + Clone, seed: u64) -> Option<usize> {
    let (mut count, mut total) = (0, 0);
    for weight in weights.clone() {
        count += u64::from(weight > 0);
        total += u64::from(weight);
    }
    let mut left = seed::below(seed, count, total);
    weights.map(u64::from).position(|weight| {
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
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
