//! How a call ends after its loop has: its stream, or the caller who leaves it.

use super::Simulation;
use crate::{
    call::{Live, Running},
    property::Property,
    providers::Answer,
    trace::What,
};
use outrigger_core::{Ending, Learnt, Step, StreamEnd, Tick};

impl Simulation<'_> {
    /// A stream has come to its end, or broken off.
    pub(super) fn streamed(&mut self, mut live: Live, now: Tick) {
        let Some((Running { answer, .. }, first)) = live.committed else {
            return;
        };
        let whole = answer.whole && now.since(first) >= answer.lasts;
        self.note(now, live.sidecar, Some(live.number), What::Streamed { whole });
        self.learn(&live, &answer, whole, now);
        if whole && let Some((Running { attempt, .. }, _)) = live.committed {
            self.check.streamed(live.sidecar, attempt.target, now);
        }
        let how = if whole { Ending::Whole } else { Ending::Broken };
        self.settle(&live, how, now);
        // Nobody asks the loop any more; were it asked, it would have nothing to say.
        self.advance_silently(&mut live, now);
    }

    fn advance_silently(&mut self, live: &mut Live, now: Tick) {
        let table = &self.world.tables[live.table];
        let health = &mut self.sidecars[live.sidecar].health;
        let step = live.dispatch.next(table, health, now);
        if !matches!(step, Step::Finish(_)) {
            let what = format!("wants {step:?} after the stream has ended");
            self.check.fail(Property::Commit, now, Some(live.number), what);
            live.dispatch.abandon(&mut self.sidecars[live.sidecar].health, now);
        }
    }

    pub(super) fn learn(&mut self, live: &Live, answer: &Answer, whole: bool, now: Tick) {
        let Some((running, _)) = live.committed else { return };
        let usage = whole.then_some(answer.usage);
        if usage.is_some() || answer.headroom.is_some() {
            let headroom = answer.headroom;
            self.sidecars[live.sidecar]
                .health
                .learn(running.attempt.slot, Learnt { usage, headroom }, now);
        }
    }

    fn settle(&mut self, live: &Live, how: Ending, now: Tick) {
        let Some((Running { attempt, answer }, first)) = live.committed else {
            return;
        };
        let end = StreamEnd {
            how,
            output_tokens: if how == Ending::Whole { answer.usage.output } else { 0 },
            since_first: now.since(first),
        };
        self.sidecars[live.sidecar].health.settle(attempt.slot, end, now);
    }

    pub(super) fn hang_up(&mut self, mut live: Live, now: Tick) {
        self.note(now, live.sidecar, Some(live.number), What::HungUp);
        if let Some((Running { answer, .. }, _)) = live.committed {
            self.learn(&live, &answer, false, now);
            return self.settle(&live, Ending::Left, now);
        }
        self.abandon(&mut live, now);
    }

    pub(super) fn abandon(&mut self, live: &mut Live, now: Tick) {
        live.dispatch.abandon(&mut self.sidecars[live.sidecar].health, now);
        if let Some(running) = live.running.take() {
            self.check.cut(live.sidecar, live.number, running.attempt.id);
        }
        live.finished = true;
    }
}
