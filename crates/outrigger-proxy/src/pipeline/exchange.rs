//! What is known of a request before it is read, and stays known until its answer has left.

use crate::{app::App, record::RequestId, timer::Timer};
use outrigger_core::{Dialect, Tick};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// One request on one client connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) app: Arc<App>,
    pub(crate) timer: Arc<Timer>,
    pub(crate) id: RequestId,
    pub(crate) accepted: Tick,
    pub(crate) dialect: Dialect,
    /// The clock that runs now: set by whoever waits for the provider, watched by the attempt loop.
    alarm: AtomicU64,
}

impl Exchange {
    pub(crate) fn open(app: Arc<App>, timer: Arc<Timer>, dialect: Dialect) -> Self {
        let accepted = app.now();
        Self {
            app,
            timer,
            id: RequestId::mint(),
            accepted,
            dialect,
            alarm: AtomicU64::new(u64::MAX),
        }
    }

    /// Starts a clock that ends at `at`; the clock that ran before stops.
    pub(crate) fn arm(&self, at: Tick) {
        self.alarm.store(at.0, Ordering::Relaxed);
    }

    /// Stops the clock.
    pub(crate) fn disarm(&self) {
        self.alarm.store(u64::MAX, Ordering::Relaxed);
    }

    /// When the running clock ends.
    pub(crate) fn alarm(&self) -> Tick {
        Tick(self.alarm.load(Ordering::Relaxed))
    }
}
