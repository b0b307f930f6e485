//! Responses that the server keeps: in memory, or in a file that survives a restart.

mod database;
mod error;
mod memory;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::serving::seconds;
use database::Database;
use memory::Memory;

pub use error::StoreError;

/// What a store may hold. Beyond it, what was not used for the longest time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Responses.
    pub responses: usize,
    /// Bytes of all responses and their inputs together.
    pub bytes: usize,
    /// How long a response is kept after its last use.
    pub age: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            responses: 10_000,
            bytes: 256 << 20,
            age: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// Responses that the server keeps. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    limits: StoreLimits,
    kept: Mutex<Kept>,
}

enum Kept {
    Memory(Memory),
    File(Database),
}

/// A response, and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As `resp_...`.
    pub(crate) id: String,
    /// The name of the API key that it was asked with; [`None`] where there are no keys.
    pub(crate) owner: Option<String>,
    /// The response that it went on from.
    pub(crate) previous: Option<String>,
    /// The response's own input: a JSON array of items.
    pub(crate) input: String,
    /// What it put out: a JSON array of items.
    pub(crate) output: String,
    /// The response as JSON.
    pub(crate) response: String,
}

impl Entry {
    /// What it counts for, with what a map or a table needs for it.
    fn bytes(&self) -> usize {
        const AROUND: usize = 256;
        let texts = [&self.id, &self.input, &self.output, &self.response];
        AROUND + texts.map(String::len).iter().sum::<usize>()
    }

    fn is_of(&self, owner: Option<&str>) -> bool {
        self.owner.as_deref() == owner
    }
}

impl Store {
    /// Responses in memory, which end with the server.
    #[must_use]
    pub fn memory(limits: StoreLimits) -> Self {
        Self::new(limits, Kept::Memory(Memory::default()))
    }

    /// Responses in a SQLite database, which is made where there is none.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened, is no database, or is of another version.
    pub fn file(path: &Path, limits: StoreLimits) -> Result<Self, StoreError> {
        let mut database = Database::open(path)?;
        database.trim(&limits, seconds())?;
        Ok(Self::new(limits, Kept::File(database)))
    }

    fn new(limits: StoreLimits, kept: Kept) -> Self {
        Self(Arc::new(Shared {
            limits,
            kept: Mutex::new(kept),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a response, if it is not larger than all may be.
    pub(crate) fn put(&self, entry: Entry) -> Result<bool, StoreError> {
        if entry.bytes() > self.0.limits.bytes || self.0.limits.responses == 0 {
            return Ok(false);
        }
        let now = seconds();
        match &mut *self.lock() {
            Kept::Memory(memory) => memory.put(entry, now, &self.0.limits),
            Kept::File(database) => database.put(&entry, now, &self.0.limits)?,
        }
        Ok(true)
    }

    /// A response of this owner's, which is used by that.
    pub(crate) fn get(
        &self,
        id: &str,
        owner: Option<&str>,
    ) -> Result<Option<Arc<Entry>>, StoreError> {
        let now = seconds();
        let limits = &self.0.limits;
        let found = match &mut *self.lock() {
            Kept::Memory(memory) => memory.get(id, owner, now, limits),
            Kept::File(database) => database.get(id, owner, now, limits)?.map(Arc::new),
        };
        Ok(found)
    }

    /// Forgets a response of this owner's; false where there is none.
    pub(crate) fn delete(&self, id: &str, owner: Option<&str>) -> Result<bool, StoreError> {
        match &mut *self.lock() {
            Kept::Memory(memory) => Ok(memory.delete(id, owner)),
            Kept::File(database) => database.delete(id, owner),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
