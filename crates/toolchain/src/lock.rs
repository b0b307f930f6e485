use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mxfp4_fs::lock::{lock, try_lock};

use crate::{Error, files};

/// Takes the lock that `path` stands for and holds it until the result is
/// dropped; the kernel releases that of a process that dies. `what` is said when
/// another process has it. Where the file system has no locks, nobody is waited for.
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
        if !try_lock(&file).map_err(Error::file("lock", path))? {
            if !said {
                tracing::info!("waiting for another {what}");
                said = true;
            }
            lock(&file).map_err(Error::file("lock", path))?;
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
    let taken = try_lock(&file).map_err(Error::file("lock", path))?;
    Ok(taken.then_some(file))
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
    use std::fs::TryLockError;

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
