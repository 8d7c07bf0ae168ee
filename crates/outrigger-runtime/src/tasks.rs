//! The owner of every spawned future: nothing in a process runs detached. It never lets the panic of one task reach another; a panic is
//! logged, counted, and costs that task alone.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// A set of running tasks. Clones are handles to one set. A spawn costs two allocations and one short lock, so that one task per
/// connection is fine and one per request is still not the idea.
#[derive(Clone, Default)]
pub struct Tasks {
    set: Arc<Set>,
}

#[derive(Default)]
struct Set {
    live: Mutex<Live>,
    panics: AtomicU64,
    /// Told whenever the last awaited task, or the last task of all, ends.
    ended: Notify,
}

#[derive(Default)]
struct Live {
    next: u64,
    running: HashMap<u64, Running>,
    awaited: usize,
    closed: bool,
}

struct Running {
    name: &'static str,
    awaited: bool,
    /// Absent for the moment between its entry here and its start.
    abort: Option<AbortHandle>,
}

impl Tasks {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` on the current runtime. [`shutdown`](Self::shutdown) waits for it. `name` says what it does, for logs: a constant
    /// such as `"connection"`. After a shutdown the future is dropped unpolled.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.start(name, true, Box::pin(future));
    }

    /// As [`spawn`](Self::spawn), for a task that has no end of its own and that nobody's work depends on: a shutdown stops it without
    /// waiting and does not call it a straggler.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn background(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.start(name, false, Box::pin(future));
    }

    /// Tasks that have panicked since the start.
    pub fn panics(&self) -> u64 {
        self.set.panics.load(Ordering::Relaxed)
    }

    /// Tasks that run now, background ones included.
    pub fn running(&self) -> usize {
        self.set.live().running.len()
    }

    /// Waits up to `grace` for the tasks to end by themselves, then stops whatever is left and returns the names and numbers of those
    /// that had to be stopped. Every future has been dropped when this returns, unless one blocks its thread for over a second.
    pub async fn shutdown(&self, grace: Duration) -> BTreeMap<&'static str, usize> {
        let in_time = tokio::time::timeout(grace, self.set.until(|live| live.awaited == 0)).await;
        let mut stragglers = BTreeMap::new();
        {
            let mut live = self.set.live();
            live.closed = true;
            for task in live.running.values() {
                if task.awaited {
                    *stragglers.entry(task.name).or_default() += 1;
                }
                task.abort.as_ref().map(AbortHandle::abort);
            }
        }
        if in_time.is_err() {
            tracing::warn!(?stragglers, "tasks stopped after the grace period");
        }
        if tokio::time::timeout(Duration::from_secs(1), self.set.until(|live| live.running.is_empty()))
            .await
            .is_err()
        {
            tracing::warn!("a task blocks its thread and could not be stopped");
        }
        stragglers
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that spawns: the set owns what it starts")]
    fn start(&self, name: &'static str, awaited: bool, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let id = {
            let mut live = self.set.live();
            if live.closed {
                return;
            }
            let id = live.next;
            live.next += 1;
            live.awaited += usize::from(awaited);
            live.running.insert(
                id,
                Running {
                    name,
                    awaited,
                    abort: None,
                },
            );
            id
        };
        let member = Member { set: self.set.clone(), id };
        // Not under the lock: a runtime on its way out drops the future right here, and with it the member, which locks.
        let abort = tokio::spawn(Supervised { future, name, member }).abort_handle();
        let mut live = self.set.live();
        let closed = live.closed;
        if let Some(task) = live.running.get_mut(&id) {
            if closed {
                abort.abort();
            }
            task.abort = Some(abort);
        }
    }
}

impl Set {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, done: impl Fn(&Live) -> bool) {
        loop {
            let ended = self.ended.notified();
            if done(&self.live()) {
                return;
            }
            ended.await;
        }
    }
}

struct Supervised {
    // Before `member`: the future is gone by the time its end is told.
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    name: &'static str,
    member: Member,
}

impl Future for Supervised {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Unwind safety: after a panic the future is never polled again, only dropped.
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(payload) => {
                self.member.set.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = self.name, panic = text_of(payload.as_ref()), "a task panicked");
                Poll::Ready(())
            }
        }
    }
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// A task's place on the list; leaves it on drop, however the task ended.
struct Member {
    set: Arc<Set>,
    id: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut live = self.set.live();
        let Some(task) = live.running.remove(&self.id) else { return };
        live.awaited -= usize::from(task.awaited);
        if live.awaited == 0 || live.running.is_empty() {
            self.set.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_panic_costs_its_own_task_and_is_counted() {
        let tasks = Tasks::new();
        let (tell, told) = oneshot::channel();
        tasks.spawn("breaks", async { panic!("on purpose") });
        tasks.spawn("works", async move { tell.send(7).unwrap() });
        assert_eq!(told.await.unwrap(), 7);
        assert!(tasks.shutdown(Duration::from_mins(1)).await.is_empty());
        assert_eq!(tasks.panics(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_for_what_ends_in_time_and_names_the_rest() {
        let tasks = Tasks::new();
        let (inside, outside) = oneshot::channel::<()>();
        tasks.spawn("quick", tokio::time::sleep(Duration::from_secs(5)));
        tasks.spawn("stuck", async move {
            let _inside = inside;
            std::future::pending::<()>().await;
        });
        tasks.spawn("stuck", std::future::pending());
        tasks.background("housekeeping", std::future::pending());
        assert_eq!(tasks.shutdown(Duration::from_secs(10)).await, BTreeMap::from([("stuck", 2)]));
        assert!(outside.await.is_err(), "the stuck future was dropped");
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn background_tasks_do_not_delay_a_shutdown() {
        let clock = crate::Clock::start();
        let tasks = Tasks::new();
        tasks.background("housekeeping", std::future::pending());
        assert!(tasks.shutdown(Duration::from_secs(10)).await.is_empty());
        assert_eq!(clock.now_us(), 0);
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn nothing_starts_after_a_shutdown() {
        let tasks = Tasks::new();
        tasks.shutdown(Duration::ZERO).await;
        let (tell, told) = oneshot::channel::<()>();
        tasks.spawn("late", async move { tell.send(()).unwrap() });
        assert!(told.await.is_err());
    }

    #[test]
    fn a_spawn_while_the_runtime_goes_down_neither_hangs_nor_leaks() {
        struct SpawnsOnDrop(Tasks);
        impl Drop for SpawnsOnDrop {
            fn drop(&mut self) {
                self.0.spawn("too late", async {});
            }
        }
        let tasks = Tasks::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let last = SpawnsOnDrop(tasks.clone());
        runtime.block_on(async {
            tasks.spawn("holder", async move {
                let _last = last;
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
        });
        drop(runtime);
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn a_finished_task_leaves_nothing_behind() {
        let tasks = Tasks::new();
        for _ in 0..1_000 {
            tasks.spawn("short", async {});
        }
        tasks.set.until(|live| live.awaited == 0).await;
        assert_eq!(tasks.running(), 0);
    }
}
