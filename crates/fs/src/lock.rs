//! Locks on files, where the file system has them.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

/// Whether some file system was found that has no locks.
static MISSING: AtomicBool = AtomicBool::new(false);

/// Takes the lock of `file`, which ends with it; false when another process has it. A file system without locks, as a
/// network's or one of FUSE may be, is warned of once, and the work goes on.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => without(error).map(|()| true),
    }
}

/// The same, waiting for whoever has it.
pub fn lock(file: &File) -> io::Result<()> {
    file.lock().or_else(without)
}

/// Whether a lock that was taken may not have been one: then another process may be at the same work.
pub fn are_missing() -> bool {
    MISSING.load(Ordering::Relaxed)
}

fn without(error: io::Error) -> io::Result<()> {
    let missing = [Errno::ENOLCK, Errno::EOPNOTSUPP, Errno::ENOSYS];
    if !missing
        .iter()
        .any(|&missing| error.raw_os_error() == Some(missing as i32))
    {
        return Err(error);
    }
    if !MISSING.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "this file system has no locks ({error}): do not run two builds or setups here at once"
        );
    }
    Ok(())
}
