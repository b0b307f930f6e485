//! Responses in memory.

use std::sync::Arc;

use lru::LruCache;

use super::entry::Entry;
use super::limits::StoreLimits;

/// Responses in memory, by their last use.
pub(super) struct Memory {
    entries: LruCache<String, Used>,
    bytes: usize,
}

struct Used {
    entry: Arc<Entry>,
    /// Seconds since 1970.
    last: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
        }
    }
}

impl Memory {
    pub(super) fn put(&mut self, entry: Entry, now: u64, limits: &StoreLimits) {
        self.bytes += entry.bytes();
        let used = Used {
            entry: Arc::new(entry),
            last: now,
        };
        let id = used.entry.id.clone();
        if let Some(former) = self.entries.put(id, used) {
            self.bytes -= former.entry.bytes();
        }
        self.trim(now, limits);
    }

    pub(super) fn get(
        &mut self,
        id: &str,
        owner: Option<&str>,
        now: u64,
        limits: &StoreLimits,
    ) -> Option<Arc<Entry>> {
        self.trim(now, limits);
        self.entries
            .peek(id)
            .filter(|used| used.entry.is_of(owner))?;
        let used = self.entries.get_mut(id)?;
        used.last = now;
        Some(used.entry.clone())
    }

    pub(super) fn delete(&mut self, id: &str, owner: Option<&str>) -> bool {
        let is_there = self
            .entries
            .peek(id)
            .is_some_and(|used| used.entry.is_of(owner));
        if is_there && let Some(used) = self.entries.pop(id) {
            self.bytes -= used.entry.bytes();
        }
        is_there
    }

    fn trim(&mut self, now: u64, limits: &StoreLimits) {
        let oldest = now.saturating_sub(limits.age.as_secs());
        while let Some((_, used)) = self.entries.peek_lru()
            && (self.bytes > limits.bytes
                || self.entries.len() > limits.responses
                || used.last < oldest)
            && let Some((_, used)) = self.entries.pop_lru()
        {
            self.bytes -= used.entry.bytes();
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }
}
