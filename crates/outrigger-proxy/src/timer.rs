//! One timer per client connection, checked lazily: a deadline that moves into the future costs nothing, because the timer only ever
//! has to fire at or before it and is then set again.

use outrigger_core::Tick;
use outrigger_runtime::clock::Clock;
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{task::coop::unconstrained, time::Sleep};

/// The timer. A connection carries one call at a time, so the lock is never contended.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    set: Mutex<Option<Set>>,
}

/// A timer that has been set, and whom it wakes.
#[derive(Debug)]
struct Set {
    sleep: Pin<Box<Sleep>>,
    wakes: Option<Waker>,
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            set: Mutex::new(None),
        }
    }

    /// Ready once `deadline` has passed; else wakes the task no later than then, to a millisecond.
    pub(crate) fn poll_at(&self, cx: &mut Context<'_>, deadline: Tick) -> Poll<()> {
        let at = self.clock.instant_at(deadline.0);
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let Set { sleep, wakes } = set.get_or_insert_with(|| Set {
            sleep: Box::pin(tokio::time::sleep_until(at)),
            wakes: None,
        });
        let set_to_fire = sleep.deadline() <= at && !sleep.is_elapsed();
        if set_to_fire && wakes.as_ref().is_some_and(|wakes| wakes.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        if !set_to_fire {
            sleep.as_mut().reset(at);
        }
        *wakes = None;
        // Not under the scheduler's budget: out of it the sleep would not learn whom to wake.
        while pin!(unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if Tick(self.clock.now_us()) >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        *wakes = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits for `limit` from the first poll on: whoever does not have to wait reads no clock.
    pub(crate) async fn after(&self, limit: Duration) {
        let mut deadline = None;
        std::future::poll_fn(|cx| {
            let deadline = deadline.get_or_insert_with(|| Tick(self.clock.now_us()).after(limit));
            self.poll_at(cx, *deadline)
        })
        .await;
    }

    /// Waits for `deadline`.
    pub(crate) async fn until(&self, deadline: Tick) {
        std::future::poll_fn(|cx| self.poll_at(cx, deadline)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls a timer for a deadline, as one task; whether it has passed, and how often the task has been woken.
    fn poll(timer: &Timer, task: &Arc<Count>, deadline_ms: u64) -> (bool, usize) {
        let waker = Waker::from(Arc::clone(task));
        let passed = timer
            .poll_at(&mut Context::from_waker(&waker), Tick(deadline_ms * 1_000))
            .is_ready();
        (passed, task.0.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asked_last_is_woken_no_later_than_at_its_deadline() {
        let timer = Timer::new(Clock::start());
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let advance = |ms| tokio::time::advance(Duration::from_millis(ms));
        assert_eq!(poll(&timer, &first, 100), (false, 0));
        // Moved away and asked for again: nothing is set anew, and it fires early.
        assert_eq!(poll(&timer, &first, 200), (false, 0));
        advance(101).await;
        assert_eq!(poll(&timer, &first, 200), (false, 1));
        // Another task of the same connection, and an earlier deadline.
        assert_eq!(poll(&timer, &second, 200), (false, 0));
        assert_eq!(poll(&timer, &second, 150), (false, 0));
        advance(50).await;
        assert_eq!(poll(&timer, &second, 150), (true, 1));
        assert_eq!(poll(&timer, &second, 200), (false, 1));
        advance(50).await;
        assert_eq!((poll(&timer, &second, 200), first.0.load(Ordering::Relaxed)), ((true, 2), 1));
    }
}
