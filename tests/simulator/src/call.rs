//! A call on its way, and what was sent for it as somebody noted who stood beside the loop.

use crate::{providers::Answer, world::Call};
use outrigger_core::{Attempt, Class, Dispatch, Outcome, PicoUsd, Tick};

/// See the module.
pub(crate) struct Live {
    pub(crate) call: Call,
    pub(crate) number: usize,
    pub(crate) sidecar: usize,
    /// Which table it was planned on.
    pub(crate) table: usize,
    pub(crate) arrived: Tick,
    /// When it must have been answered.
    pub(crate) deadline: Tick,
    /// When all of it must have come.
    pub(crate) end: Tick,
    pub(crate) dispatch: Dispatch,
    pub(crate) running: Option<Running>,
    /// When the loop wants to be asked again.
    pub(crate) wake: Tick,
    pub(crate) sent: Vec<Sent>,
    /// What it would have cost at the cheapest target that would have answered when it came.
    pub(crate) cheapest: Option<PicoUsd>,
    /// By target: whether it may be asked.
    pub(crate) suited: Vec<bool>,
    pub(crate) finished: bool,
    /// Who answers, since when.
    pub(crate) committed: Option<(Running, Tick)>,
}

/// An attempt on its way.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    pub(crate) attempt: Attempt,
    /// With the outcome that the caller's clocks make of it.
    pub(crate) answer: Answer,
}

/// An attempt, as it was noted.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) target: usize,
    /// 0 for a provider without keys.
    pub(crate) key: usize,
    pub(crate) fresh: bool,
    pub(crate) at: Tick,
    pub(crate) ended: Option<(Tick, Outcome)>,
}

impl Sent {
    pub(crate) fn class(&self) -> Option<Class> {
        self.ended.map(|(_, outcome)| outcome.class)
    }

    pub(crate) fn was(&self, what: impl Fn(&Outcome) -> bool) -> bool {
        self.ended.is_some_and(|(_, outcome)| what(&outcome))
    }
}

impl Live {
    /// Attempts that count against the budget.
    pub(crate) fn counted(&self) -> usize {
        let sent = self.sent.iter().filter(|sent| !sent.fresh).count();
        sent.saturating_sub(self.sent.iter().filter(|sent| sent.was(|outcome| outcome.unsuited)).count())
    }

    pub(crate) fn tried(&self, target: usize, key: usize) -> bool {
        self.sent.iter().any(|sent| (sent.target, sent.key) == (target, key))
    }
}
