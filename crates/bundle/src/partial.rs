use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Error;

/// A folder that is worked in until it is renamed to what it is to be. Dropped before that, it is removed.
///
/// Who works in it holds a lock on it, so that what a killed process left behind is told from what another one is still
/// working on.
#[derive(Debug)]
pub(crate) struct Partial {
    folder: TempDir,
    place: PathBuf,
    _lock: File,
}

impl Partial {
    /// A folder beside `place`, which must not be there or be an empty folder. What dead processes left is removed.
    pub(crate) fn beside(place: &Path) -> Result<Self, Error> {
        let place = std::path::absolute(place).map_err(Error::file("find", place))?;
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(Error::Exists(place));
        };
        check_free(&place)?;
        fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".partial-");
        remove_leftovers(parent, &prefix)?;
        loop {
            let folder = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(Permissions::from_mode(0o755))
                .tempdir_in(parent)
                .map_err(Error::file("create a folder in", parent))?;
            // Until it is locked another process takes it for a leftover, and then there is another name to try.
            let Ok(lock) = File::open(folder.path()) else {
                continue;
            };
            let busy = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            if !busy && folder.path().is_dir() {
                return Ok(Self {
                    folder,
                    place,
                    _lock: lock,
                });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts it in its place.
    pub(crate) fn commit(self) -> Result<(), Error> {
        // Renaming replaces an empty folder and nothing else.
        match fs::rename(self.folder.path(), &self.place) {
            Ok(()) => {
                let _ = self.folder.keep();
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists => Err(Error::Exists(self.place.clone())),
                _ => Err(Error::file("make", &self.place)(error)),
            },
        }
    }
}

/// Refuses a place where something is; the rename would, too, but only in the end.
pub(crate) fn check_free(place: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("read", place)(error)),
        Ok(metadata) if !metadata.is_dir() => return Err(Error::Exists(place.to_owned())),
        Ok(_) => {}
    }
    let mut entries = fs::read_dir(place).map_err(Error::file("read", place))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::Exists(place.to_owned())),
    }
}

fn remove_leftovers(parent: &Path, prefix: &OsStr) -> Result<(), Error> {
    let entries = fs::read_dir(parent).map_err(Error::file("read", parent))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("read", parent))?;
        if !entry.file_name().as_bytes().starts_with(prefix.as_bytes())
            || !entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            continue;
        }
        let path = entry.path();
        if let Some(_lock) = lock(&path) {
            tracing::debug!("removing {}", path.display());
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", &path)(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The lock on a folder that nobody works in; it ends with the process. On a file system without locks there is none,
/// and what may be a leftover stays.
fn lock(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    file.try_lock().ok()?;
    Some(file)
}
