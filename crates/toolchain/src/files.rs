use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mxfp4_fs::PARTIAL;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::Error;

/// A name beside `path` for work that becomes `path` when it is done. It is as long whatever the process's number: compiled
/// Python files name the folder they were made in, and are of one size so.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(PARTIAL);
    name.push(format!("{:010}", std::process::id()));
    path.with_file_name(name)
}

/// Removes what dead processes left of `path`'s partial work. The caller holds
/// the lock under which it is made, so whoever made it is gone; where there are no
/// locks, it stays until `mxfp4 clean`.
pub(crate) fn remove_leftovers(path: &Path) -> Result<(), Error> {
    if mxfp4_fs::lock::are_missing() {
        return Ok(());
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let mut prefix = name.to_owned();
    prefix.push(PARTIAL);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("read", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::file("read", folder))?;
        if starts_with(&entry.file_name(), &prefix) {
            tracing::debug!("removing {}", entry.path().display());
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Whether `path` is unfinished work.
pub(crate) fn is_partial(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains(PARTIAL)
}

/// Whether `path` is unfinished work that was to become `whole`.
pub(crate) fn is_partial_of(path: &Path, whole: &Path) -> bool {
    let (Some(name), Some(prefix)) = (path.file_name(), whole.file_name()) else {
        return false;
    };
    let mut prefix = prefix.to_owned();
    prefix.push(PARTIAL);
    starts_with(name, &prefix)
}

fn starts_with(name: &OsStr, prefix: &OsStr) -> bool {
    name.as_encoded_bytes()
        .starts_with(prefix.as_encoded_bytes())
}

/// Removes a file, a link or a whole folder; one that is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes it in one step for those who look, however long the removing takes: it is unfinished work first.
pub(crate) fn remove_whole(path: &Path) -> Result<(), Error> {
    let away = partial(path);
    match fs::rename(path, &away) {
        Ok(()) => remove(&away),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file("remove", path)(error)),
    }
}

pub(crate) fn create_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::file("create", path))
}

/// Puts the folder `new` where `path` is, and `path`'s old content, if any, away.
pub(crate) fn replace_dir(new: &Path, path: &Path) -> Result<(), Error> {
    match renameat2(AT_FDCWD, new, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE) {
        // `new` names the old content now.
        Ok(()) => return remove(new),
        Err(Errno::ENOENT) => {}
        // A file system that cannot exchange: for a moment there is neither.
        Err(_) => {
            let mut old = new.as_os_str().to_owned();
            old.push(".old");
            let old = PathBuf::from(old);
            fs::rename(path, &old).map_err(Error::file("rename", path))?;
            fs::rename(new, path).map_err(Error::file("rename", new))?;
            return remove(&old);
        }
    }
    fs::rename(new, path).map_err(Error::file("rename", new))
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    mxfp4_fs::write(path, content).map_err(Error::file("write", path))
}

/// The names of what a folder holds.
pub(crate) fn names(folder: &Path) -> Result<BTreeSet<OsString>, Error> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
        .map_err(Error::file("read", folder))
}

/// Whether two files have the same content. uv links one and the same file into several places.
pub(crate) fn alike(one: &Path, other: &Path) -> Result<bool, Error> {
    let metadata = |path: &Path| fs::metadata(path).map_err(Error::file("read", path));
    let (ours, theirs) = (metadata(one)?, metadata(other)?);
    if (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()) {
        return Ok(true);
    }
    Ok(ours.len() == theirs.len() && hash(one)? == hash(other)?)
}

/// The hash of a file's content.
pub(crate) fn hash(path: &Path) -> Result<blake3::Hash, Error> {
    let mut hasher = blake3::Hasher::new();
    fs::File::open(path)
        .and_then(|file| Ok(hasher.update_reader(file)?.finalize()))
        .map_err(Error::file("read", path))
}
