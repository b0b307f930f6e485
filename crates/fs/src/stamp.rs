use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A file whose last change is younger than this when it is looked at may be changed again without its times showing it.
pub const TIME_GRAIN: Duration = Duration::from_millis(100);

/// What tells a file from what it was, short of reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    /// Unlike the time of modification no program can set it.
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it proves something at `now`: a file that has it later still is the same.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let changed = UNIX_EPOCH
            + Duration::new(
                self.changed.0.max(0).unsigned_abs(),
                u32::try_from(self.changed.1).unwrap_or(0),
            );
        now.duration_since(changed)
            .is_ok_and(|age| age >= TIME_GRAIN)
    }
}
