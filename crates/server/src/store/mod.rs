//! Responses that the server keeps: in memory, or in a file that survives a restart.

mod database;
mod entry;
mod error;
mod limits;
mod memory;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::serving::seconds;
use database::Database;
use memory::Memory;

pub(crate) use entry::Entry;
pub use error::StoreError;
pub use limits::StoreLimits;

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
