//! What a connection is busy with, as its socket needs to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// Counts a connection's requests.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Who waits for the end of a request.
    waiting: AtomicWaker,
}

/// A request that has no whole answer yet.
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// How many requests have come.
    pub(super) fn requests(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether one has no whole answer.
    pub(super) fn is_busy(&self) -> bool {
        self.ended.load(Ordering::Acquire) < self.requests()
    }

    /// Whether one has no whole answer; then `waker` is woken at the next one's end.
    pub(super) fn is_busy_until(&self, waker: &Waker) -> bool {
        self.waiting.register(waker);
        self.is_busy()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
        self.0.waiting.wake();
    }
}
