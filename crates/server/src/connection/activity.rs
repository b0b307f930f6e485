//! What a connection is busy with, as its socket needs to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts a connection's requests.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
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
        self.ended.load(Ordering::Relaxed) < self.requests()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
