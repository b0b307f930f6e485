//! Looking through folders as a compiler does: links are followed, and one that leads back ends there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// What a walk comes across. Metadata is that of what a link leads to.
#[derive(Debug)]
pub enum Found<'a> {
    /// A folder, before what is in it.
    Folder(&'a Path),
    /// A folder that this walk has been to by another name.
    Again {
        /// The name it has here.
        path: &'a Path,
        /// The name by which it was come to first.
        first: &'a Path,
    },
    /// A file.
    File(&'a Path, &'a Metadata),
    /// Neither a file nor a folder: reading a named pipe, for one, might never end.
    Special(&'a Path),
    /// What cannot be looked at, and why.
    Unreadable(&'a Path, io::Error),
}

/// A walk through several trees that goes to each folder once, whatever names it has. It takes names in their order, so
/// that two walks through the same trees find the same.
#[derive(Debug, Default)]
pub struct Walk {
    /// The name by which each folder was come to first.
    been: BTreeMap<(u64, u64), PathBuf>,
}

impl Walk {
    /// Hands `path` and everything below it to `visit`. A link that leads nowhere is passed over, and so is what goes
    /// away meanwhile. An error of `visit` ends the walk.
    pub fn look<E>(
        &mut self,
        path: &Path,
        visit: &mut dyn FnMut(Found) -> Result<(), E>,
    ) -> Result<(), E> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return visit(Found::Unreadable(path, error)),
        };
        if metadata.is_file() {
            return visit(Found::File(path, &metadata));
        }
        if !metadata.is_dir() {
            return visit(Found::Special(path));
        }
        let place = (metadata.dev(), metadata.ino());
        if let Some(first) = self.been.get(&place) {
            return match first == path {
                true => Ok(()),
                false => visit(Found::Again { path, first }),
            };
        }
        self.been.insert(place, path.to_owned());
        visit(Found::Folder(path))?;
        match names(path) {
            Ok(names) => names
                .iter()
                .try_for_each(|name| self.look(&path.join(name), visit)),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => visit(Found::Unreadable(path, error)),
        }
    }
}

/// The names of what is in a folder, in order.
pub fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Whether nothing is there: no such name, or a link that leads nowhere or in a circle.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP];
    gone.iter()
        .any(|&gone| error.raw_os_error() == Some(gone as i32))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    /// What a walk through `trees` comes across, below `root`.
    fn walked(root: &Path, trees: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let mut walk = Walk::default();
        let below = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
        for tree in trees {
            let Ok(()) = walk.look::<Infallible>(&root.join(tree), &mut |entry| {
                found.push(match entry {
                    Found::Folder(path) => format!("{}/", below(path)),
                    Found::Again { path, first } => format!("{} = {}", below(path), below(first)),
                    Found::File(path, metadata) => format!("{} {}", below(path), metadata.len()),
                    Found::Special(path) => format!("{} !", below(path)),
                    Found::Unreadable(path, error) => format!("{} {error}", below(path)),
                });
                Ok(())
            });
        }
        found
    }

    #[test]
    fn links_are_followed_and_end_where_they_lead_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["a/sub", "shared", "b"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("a/sub/x"), "one").unwrap();
        fs::write(root.join("shared/y"), "four").unwrap();
        symlink("../shared", root.join("a/linked")).unwrap();
        symlink("..", root.join("a/sub/up")).unwrap();
        symlink("nowhere", root.join("a/dangling")).unwrap();
        symlink("circle", root.join("a/circle")).unwrap();
        symlink("../shared/y", root.join("b/z")).unwrap();
        nix::unistd::mkfifo(&root.join("b/pipe"), Mode::S_IRWXU).unwrap();
        assert_eq!(
            walked(root, &["a", "b", "shared", "gone", "b/z/below-a-file", "a"]),
            [
                "a/",
                "a/linked/",
                "a/linked/y 4",
                "a/sub/",
                "a/sub/up = a",
                "a/sub/x 3",
                "b/",
                "b/pipe !",
                "b/z 4",
                "shared = a/linked",
            ]
        );
    }
}
