//! Variables that hold several paths: ours first, then what the user listed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;

/// Our entries of one variable.
pub struct List {
    /// The variable's name.
    pub name: &'static str,
    /// Entries of ours that an earlier evaluation may have left, and that are
    /// dropped unless they are listed again.
    pub superseded: Vec<PathBuf>,
    separator: u8,
    empty_is_cwd: bool,
    ours: Vec<Entry>,
}

struct Entry {
    path: PathBuf,
    owner: Owner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Workspace,
    Sdk,
    Fallback,
}

/// The value of a variable that holds several paths.
pub struct Merged {
    /// The value; `None` where nothing is listed.
    pub value: Option<OsString>,
    /// How many entries are the user's.
    pub users: usize,
    has_sdk: bool,
    dropped: Vec<OsString>,
}

impl List {
    pub fn new(name: &'static str, separator: u8) -> Self {
        Self {
            name,
            superseded: Vec::new(),
            separator,
            empty_is_cwd: matches!(name, "PATH" | "PYTHONPATH"),
            ours: Vec::new(),
        }
    }

    /// Adds a path of the workspace, if it is not there yet.
    pub fn workspace(&mut self, path: PathBuf) {
        self.add(path, Owner::Workspace);
    }

    /// Adds a path of the SDK, if it is not there yet.
    pub fn sdk(&mut self, path: PathBuf) {
        self.add(path, Owner::Sdk);
    }

    /// Adds a path that stands in for a value that is not set.
    pub fn fallback(&mut self, path: &str) {
        self.add(path.into(), Owner::Fallback);
    }

    fn add(&mut self, path: PathBuf, owner: Owner) {
        if !self.ours.iter().any(|entry| entry.path == path) {
            self.ours.push(Entry { path, owner });
        }
    }

    /// Our entries, then those of `ambient` that are not ours.
    pub fn merge(&self, ambient: Option<&OsStr>, root: &Path) -> Result<Merged, Error> {
        for entry in &self.ours {
            self.check(entry, root)?;
        }
        let identities: Vec<_> = self
            .ours
            .iter()
            .filter_map(|entry| identity(&entry.path))
            .collect();
        let mut listed: Vec<&OsStr> = self
            .ours
            .iter()
            .map(|entry| entry.path.as_os_str())
            .collect();
        let mut dropped = Vec::new();
        let mut users = 0;
        for entry in entries(ambient.unwrap_or_default(), self.separator) {
            let path = Path::new(entry);
            // An empty entry stands for the current folder in PATH and PYTHONPATH.
            let means_nothing = entry.is_empty() && !self.empty_is_cwd;
            let listed_already = listed.iter().any(|known| Path::new(known) == path)
                || identity(path).is_some_and(|identity| identities.contains(&identity));
            if means_nothing || listed_already {
                continue;
            }
            if self.superseded.iter().any(|old| old == path) || is_gone(path, root) {
                dropped.push(entry.to_owned());
                continue;
            }
            users += 1;
            listed.push(entry);
        }
        let value = listed.join(OsStr::from_bytes(&[self.separator]));
        Ok(Merged {
            value: Some(value).filter(|value| !value.is_empty()),
            users,
            has_sdk: self.ours.iter().any(|entry| entry.owner == Owner::Sdk),
            dropped,
        })
    }

    /// Refuses a path that would be read as two.
    fn check(&self, entry: &Entry, root: &Path) -> Result<(), Error> {
        if !entry.path.as_os_str().as_bytes().contains(&self.separator) {
            return Ok(());
        }
        let name = self.name;
        let separator_name = if self.separator == b',' {
            "a comma"
        } else {
            "a colon"
        };
        let path = entry.path.clone();
        let separator = separator_name;
        Err(
            match entry.owner == Owner::Sdk && !entry.path.starts_with(root) {
                true => Error::SdkPath {
                    path,
                    separator,
                    name,
                },
                false => Error::WorkspacePath {
                    path,
                    separator,
                    name,
                },
            },
        )
    }
}

impl Merged {
    /// What is listed, in its order, and what was dropped: `workspace` says what
    /// the workspace's entries are and `sdk` what the SDK's are.
    pub fn reason(&self, workspace: &str, sdk: &str) -> String {
        let mut parts = Vec::new();
        if !workspace.is_empty() {
            parts.push(workspace.to_owned());
        }
        if self.has_sdk {
            parts.push(sdk.to_owned());
        }
        match self.users {
            0 => {}
            1 => parts.push("1 entry of yours".into()),
            count => parts.push(format!("{count} entries of yours")),
        }
        let mut reason = parts.join(", then ");
        for entry in &self.dropped {
            reason.push_str("; dropped ");
            reason.push_str(&entry.display().to_string());
        }
        reason
    }
}

/// The entries of `value`; none of an empty one.
pub fn entries(value: &OsStr, separator: u8) -> impl Iterator<Item = &OsStr> {
    value
        .as_bytes()
        .split(move |&byte| byte == separator)
        .map(OsStr::from_bytes)
        .take(if value.is_empty() { 0 } else { usize::MAX })
}

/// An entry that only this workspace can have made, and that is no longer there.
fn is_gone(path: &Path, root: &Path) -> bool {
    ["build", "bazel-bin", ".venv", ".pixi"]
        .iter()
        .any(|made| path.starts_with(root.join(made)))
        && path.symlink_metadata().is_err()
}

/// What a path is, however it is written.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.metadata().ok().filter(|_| path.is_absolute())?;
    Some((metadata.dev(), metadata.ino()))
}
