//! One timer per client connection, checked lazily: a deadline that moves into the future costs nothing, because the timer only ever
//! has to fire at or before it and is then set again.

use outrigger_core::Tick;
use outrigger_runtime::clock::Clock;
use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::time::Sleep;

/// The timer. A connection carries one call at a time, so the lock is never contended.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    sleep: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            sleep: Mutex::new(None),
        }
    }

    /// Ready once `deadline` has passed; else wakes the task no later than then.
    pub(crate) fn poll_at(&self, cx: &mut Context<'_>, deadline: Tick) -> Poll<()> {
        if Tick(self.clock.now_us()) >= deadline {
            return Poll::Ready(());
        }
        let at = self.clock.instant_at(deadline.0);
        let mut slot = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        let sleep = slot.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() > at || sleep.is_elapsed() {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Tick(self.clock.now_us()) >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }

    /// Waits for `deadline`.
    pub(crate) async fn until(&self, deadline: Tick) {
        std::future::poll_fn(|cx| self.poll_at(cx, deadline)).await;
    }
}
