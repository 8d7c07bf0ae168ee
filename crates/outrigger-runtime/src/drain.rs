//! The end of a process in two phases: *graceful* (accept nothing new, finish what is in flight), then, after a grace period, *forced*
//! (let go of everything). It only tells; it never closes anything itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serves.
    Running,
    /// Accepts nothing new, finishes what it has.
    Graceful,
    /// Lets go.
    Forced,
}

/// The hand that drains: one per process.
pub struct Drain {
    phase: watch::Sender<Phase>,
    load: Arc<Load>,
}

/// The ear: cheap to clone, one for everything that has to stop.
#[derive(Clone)]
pub struct Draining {
    phase: watch::Receiver<Phase>,
    load: Arc<Load>,
}

/// Work that a graceful phase waits for; counts until dropped.
pub struct InFlight {
    load: Arc<Load>,
}

#[derive(Default)]
struct Load {
    count: AtomicUsize,
    empty: Notify,
}

impl Drain {
    /// A running process.
    #[must_use]
    pub fn new() -> (Self, Draining) {
        let (tell, phase) = watch::channel(Phase::Running);
        let load = Arc::new(Load::default());
        (
            Self {
                phase: tell,
                load: load.clone(),
            },
            Draining { phase, load },
        )
    }

    /// Another ear.
    pub fn draining(&self) -> Draining {
        Draining {
            phase: self.phase.subscribe(),
            load: self.load.clone(),
        }
    }

    /// Starts the graceful phase, waits until nothing is in flight or `grace` is over, then starts the forced phase. Returns how many were still
    /// in flight then: 0 is a clean end. Dropped half-way it leaves the phase that it has reached, so that a caller who cannot
    /// wait may call [`force`](Self::force).
    pub async fn drain(&self, grace: Duration) -> usize {
        self.advance(Phase::Graceful);
        let _ = tokio::time::timeout(grace, self.load.emptied()).await;
        let left = self.load.count.load(Ordering::Acquire);
        self.force();
        left
    }

    /// Starts the forced phase at once.
    pub fn force(&self) {
        self.advance(Phase::Forced);
    }

    // Never backwards, whoever calls what in which order.
    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|at| {
            let forward = to > *at;
            *at = to.max(*at);
            forward
        });
    }
}

impl Draining {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether the phase has changed since this handle was made: less to ask than whoever waits for it.
    pub fn moved(&self) -> bool {
        self.phase.has_changed().unwrap_or(false)
    }

    /// Resolves when the graceful phase, or a later one, has begun. If the [`Drain`] is gone, never: nobody will ask.
    pub async fn graceful(&mut self) {
        self.reached(Phase::Graceful).await;
    }

    /// Resolves when the forced phase has begun.
    pub async fn forced(&mut self) {
        self.reached(Phase::Forced).await;
    }

    /// Counts as in flight until the guard is dropped.
    #[must_use]
    pub fn hold(&self) -> InFlight {
        self.load.count.fetch_add(1, Ordering::Relaxed);
        InFlight { load: self.load.clone() }
    }

    /// How many guards are held now.
    pub fn in_flight(&self) -> usize {
        self.load.count.load(Ordering::Relaxed)
    }

    async fn reached(&mut self, phase: Phase) {
        if self.phase.wait_for(|at| *at >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Load {
    async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.load.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.load.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_as_soon_as_nothing_is_in_flight() {
        let clock = Clock::start();
        let (drain, mut draining) = Drain::new();
        let first = draining.hold();
        let second = draining.hold();
        let ear = draining.clone();
        assert!(!ear.moved());
        let work = async move {
            draining.graceful().await;
            assert!(ear.moved());
            assert_eq!(draining.phase(), Phase::Graceful);
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(first);
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(second);
            draining.forced().await;
        };
        let (left, ()) = tokio::join!(drain.drain(Duration::from_secs(30)), work);
        assert_eq!(left, 0);
        assert_eq!(clock.now_us(), 2_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_outlasts_the_grace_period_is_forced_and_counted() {
        let clock = Clock::start();
        let (drain, mut draining) = Drain::new();
        let _held = draining.hold();
        assert_eq!(drain.drain(Duration::from_secs(30)).await, 1);
        draining.forced().await;
        assert_eq!(clock.now_us(), 30_000_000);
    }

    #[tokio::test]
    async fn a_phase_never_goes_back() {
        let (drain, draining) = Drain::new();
        drain.force();
        assert_eq!(drain.drain(Duration::from_secs(30)).await, 0);
        assert_eq!(draining.phase(), Phase::Forced);
        assert_eq!(drain.draining().phase(), Phase::Forced);
    }
}
