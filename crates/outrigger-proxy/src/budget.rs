//! Calls and bytes in flight: the two amounts that are refused, not queued, when they run out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// What is in use of the process's allowance.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: AtomicU64,
    max_bytes: u64,
    calls: AtomicUsize,
    max_calls: usize,
}

/// One call's place among those in flight, with the bytes that it holds. Dropping it gives both back.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(max_bytes: u64, max_calls: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicU64::new(0),
            max_bytes,
            calls: AtomicUsize::new(0),
            max_calls,
        })
    }

    /// A place for one more call, or `None` where all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Held> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= self.max_calls {
            self.calls.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Held {
            budget: Arc::clone(self),
            bytes: 0,
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Takes `more` bytes, or says no and takes none.
    pub(crate) fn grow(&mut self, more: u64) -> bool {
        let before = self.budget.bytes.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.budget.max_bytes {
            self.budget.bytes.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// Gives `less` of the held bytes back.
    pub(crate) fn shrink(&mut self, less: u64) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.budget.bytes.fetch_sub(less, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Room for the read buffers of client connections. A connection keeps the buffer of its largest read for as long as its stream lasts: large
/// ones make long prompts cheap, as a prompt that comes in one read is not copied, and small ones many streams. So the first connections get
/// large ones, and those that come when many are open small ones.
#[derive(Debug)]
pub(crate) struct ReadBuffers {
    left: AtomicUsize,
}

/// One connection's read buffer; dropping it gives its room back.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    of: Arc<ReadBuffers>,
    taken: usize,
}

impl ReadBuffers {
    /// Most that all buffers beyond the smallest take together.
    const ROOM: usize = 16 << 20;
    /// What every connection may have.
    const SMALLEST: usize = 16 << 10;
    /// More makes no read cheaper.
    const LARGEST: usize = 512 << 10;

    /// Buffers for a process that may hold `max_bytes` in flight: they take a twelfth of that beside it, and no more than 16 MiB.
    pub(crate) fn new(max_bytes: u64) -> Arc<Self> {
        let room = usize::try_from(max_bytes / 12).unwrap_or(usize::MAX);
        Arc::new(Self {
            left: AtomicUsize::new(room.min(Self::ROOM)),
        })
    }

    /// The buffer of one more connection: at most a quarter of what is left.
    pub(crate) fn take(self: &Arc<Self>) -> ReadBuffer {
        let left = self.left.load(Ordering::Relaxed);
        let share = (left / 4).min(Self::LARGEST);
        let wanted = if share > Self::SMALLEST { share } else { 0 };
        let taken = self
            .left
            .compare_exchange(left, left - wanted, Ordering::Relaxed, Ordering::Relaxed);
        ReadBuffer {
            of: Arc::clone(self),
            // Who meets another at it gets the smallest: it is not worth a second try.
            taken: taken.map_or(0, |_| wanted),
        }
    }
}

impl ReadBuffer {
    /// Most bytes that one read takes.
    pub(crate) fn size(&self) -> usize {
        self.taken.max(ReadBuffers::SMALLEST)
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.of.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_read_in_large_steps_and_many_take_no_more_than_the_room_there_is() {
        let room = ReadBuffers::new(24 << 20);
        let first = room.take();
        assert_eq!(first.size(), ReadBuffers::LARGEST);
        let many: Vec<ReadBuffer> = (0..3_000).map(|_| room.take()).collect();
        assert!(many.iter().map(|buffer| buffer.taken).sum::<usize>() < 2 << 20);
        assert!(many.is_sorted_by(|earlier, later| earlier.size() >= later.size()));
        assert_eq!(many.last().unwrap().size(), ReadBuffers::SMALLEST);
        drop((first, many));
        assert_eq!(room.take().size(), ReadBuffers::LARGEST);
        assert_eq!(ReadBuffers::new(u64::MAX).left.load(Ordering::Relaxed), ReadBuffers::ROOM);
    }

    #[test]
    fn what_is_over_the_budget_is_refused_and_takes_nothing() {
        let budget = Budget::new(100, 2);
        let mut first = budget.enter().unwrap();
        assert!(first.grow(100));
        let mut second = budget.enter().unwrap();
        assert!(!second.grow(1));
        assert!(budget.enter().is_none());
        assert_eq!((budget.calls(), budget.bytes()), (2, 100));
        first.shrink(40);
        assert!(second.grow(40));
        drop(first);
        drop(second);
        assert_eq!((budget.calls(), budget.bytes()), (0, 0));
    }
}
