use std::fs::{File, TryLockError};
use std::path::Path;

use crate::{Error, files};

/// Takes the lock that `path` stands for and holds it until the result is
/// dropped; the kernel releases that of a process that dies. `what` is said when
/// another process has it.
pub(crate) fn take(path: &Path, what: &str) -> Result<File, Error> {
    if let Some(folder) = path.parent() {
        files::create_dir(folder)?;
    }
    let file = File::create(path).map_err(Error::file("create", path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => tracing::info!("waiting for another {what}"),
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
    }
    file.lock().map_err(Error::file("lock", path))?;
    Ok(file)
}
