use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::{Error, files};

/// Takes the lock that `path` stands for and holds it until the result is
/// dropped; the kernel releases that of a process that dies. `what` is said when
/// another process has it.
pub(crate) fn take(path: &Path, what: &str) -> Result<File, Error> {
    let mut said = false;
    loop {
        if let Some(folder) = path.parent() {
            files::create_dir(folder)?;
        }
        let file = match File::create(path) {
            // Its folder went away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(Error::file("create", path))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                if !said {
                    tracing::info!("waiting for another {what}");
                    said = true;
                }
                file.lock().map_err(Error::file("lock", path))?;
            }
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
        }
        // `mxfp4 clean` removes the file: who holds a lock on one that has gone holds nothing.
        if stands_for(&file, path)? {
            return Ok(file);
        }
    }
}

/// Takes the lock that the file `path` stands for, or `None` when another process has it.
pub(crate) fn try_take(path: &Path) -> Result<Option<File>, Error> {
    let file = File::open(path).map_err(Error::file("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(Error::file("lock", path)(source)),
    }
}

fn stands_for(file: &File, path: &Path) -> Result<bool, Error> {
    let held = file.metadata().map_err(Error::file("read", path))?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((held.dev(), held.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_for_a_lock_that_was_removed_takes_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("build/.lock");
        let held = take(&path, "test").unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || take(&path, "test").unwrap()
        });
        std::fs::remove_dir_all(folder.path().join("build")).unwrap();
        drop(held);
        let taken = waiting.join().unwrap();
        assert!(stands_for(&taken, &path).unwrap());
        let other = File::create(&path).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    }
}
