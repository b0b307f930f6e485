//! What to do where the system does not let a file be written.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Uid, geteuid};

/// What to do about `error`, which came when `path` was to be written; `None` where it is not about the right to do so.
pub fn remedy(error: &io::Error, path: &Path) -> Option<String> {
    match Errno::from_raw(error.raw_os_error()?) {
        Errno::EROFS => Some(
            "mount that so that it can be written, or do this where it can be before it is mounted"
                .to_owned(),
        ),
        Errno::EACCES | Errno::EPERM => Some(permission(path, geteuid())),
        _ => None,
    }
}

fn permission(path: &Path, me: Uid) -> String {
    let is_of = |path: &Path, owner: u32| fs::metadata(path).is_ok_and(|file| file.uid() == owner);
    let there = path.ancestors().find(|path| path.exists());
    let owner = there.and_then(|path| fs::metadata(path).ok());
    let (Some(there), Some(owner)) = (there, owner) else {
        return "see to its permissions".to_owned();
    };
    let owner = owner.uid();
    if owner == me.as_raw() {
        return format!(
            "give yourself the right with `chmod u+rwX {}`",
            there.display()
        );
    }
    if owner != 0 {
        return format!("it is user {owner}'s: go on as that user, or in a copy of your own");
    }
    // What root has made in a folder of yours: all of it, for a whole folder was made by the same hand.
    let roots = there.ancestors().take_while(|path| is_of(path, 0));
    let top = roots.last().unwrap_or(there);
    match top.parent() {
        Some(_) => format!(
            "it is root's: take it with `sudo chown -R {me} {}`, or go on as root",
            top.display()
        ),
        // The whole system is.
        None => "it is root's: go on as root, or in a copy of your own".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_it_is_decides() {
        let folder = tempfile::tempdir().unwrap();
        let (place, me) = (folder.path().join("build"), geteuid());
        fs::create_dir(&place).unwrap();
        let path = place.join(".lock");
        let expected = format!(
            "give yourself the right with `chmod u+rwX {}`",
            place.display()
        );
        assert_eq!(permission(&path, me), expected);
        let other = Uid::from_raw(me.as_raw() + 1);
        let expected = match me.as_raw() {
            0 => "it is root's: go on as root, or in a copy of your own".to_owned(),
            me => format!("it is user {me}'s: go on as that user, or in a copy of your own"),
        };
        assert_eq!(permission(&path, other), expected);
        let gone = permission(Path::new("/gone/x"), Uid::from_raw(12345));
        assert_eq!(
            gone,
            "it is root's: go on as root, or in a copy of your own"
        );
        let full = io::Error::from(Errno::ENOSPC);
        assert_eq!(remedy(&full, &path), None);
    }
}
