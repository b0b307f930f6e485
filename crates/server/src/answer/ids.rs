//! Names that no other answer has.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes names that no other answer has, of this server or another.
#[derive(Default)]
pub(crate) struct Ids {
    /// Keys that the system drew.
    random: RandomState,
    count: AtomicU64,
}

impl Ids {
    /// A name of 32 hexadecimal digits after a prefix.
    pub(crate) fn next(&self, prefix: &str) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let halves = [0u8, 1].map(|half| self.random.hash_one((count, half)));
        format!("{prefix}{:016x}{:016x}", halves[0], halves[1])
    }
}
