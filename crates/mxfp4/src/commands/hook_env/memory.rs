//! What the hook keeps in its shell from one answer to the next.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use mxfp4_env::Ambient;
use mxfp4_env::restore::{self, Restore, escaped, plain};

/// How many workspaces' entries are remembered.
const MOST: usize = 8;

/// What one answer tells the next. The shell passes it on as a word.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Whether there was an answer before.
    is_first: bool,
    /// The workspace that the hook had activated, and the folder that the shell was in.
    active: Option<(PathBuf, OsString)>,
    /// What was put on PATH for workspaces that were left, or that have other entries now.
    ///
    /// Others keep PATH as it is while a workspace is active, and bring that back later: direnv when it unloads, a virtual
    /// environment when it is deactivated.
    ghosts: Vec<OsString>,
}

impl Memory {
    /// What the last answer told; anything else is nothing.
    pub fn parse(word: &str) -> Self {
        let mut fields = word.split(',');
        let (Some(root), Some(folder)) = (fields.next(), fields.next()) else {
            return Self {
                is_first: true,
                ..Self::default()
            };
        };
        let active = (!root.is_empty()).then(|| (plain(root).into(), plain(folder)));
        Self {
            is_first: false,
            active,
            ghosts: fields.map(plain).collect(),
        }
    }

    /// The word for the shell to keep.
    pub fn word(&self) -> String {
        let (root, folder) = match &self.active {
            Some((root, folder)) => (escaped(root.as_os_str()), escaped(folder)),
            None => (String::new(), String::new()),
        };
        let ghosts = self.ghosts.iter().map(|ghost| escaped(ghost));
        [root, folder]
            .into_iter()
            .chain(ghosts)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Whether the shell has just been started.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether it matters what PATH is.
    pub fn needs_path(&self) -> bool {
        self.active.is_some() || !self.ghosts.is_empty()
    }

    /// Whether the user has taken back by hand, in this folder, what the hook had activated: then it stays away.
    pub fn is_taken_back(&self, ambient: &Ambient) -> bool {
        let here = ambient.get("PWD").unwrap_or_default();
        let was_here = self
            .active
            .as_ref()
            .is_some_and(|(_, folder)| folder == here);
        was_here && ambient.get_nonempty(restore::VARIABLE).is_none()
    }

    /// `ambient` without what is on PATH of workspaces that are not active any more.
    pub fn without_ghosts(&self, ambient: &Ambient) -> Ambient {
        let mut result = ambient.clone();
        for ghost in &self.ghosts {
            // As often as it was brought back.
            while let Some(path) = result
                .get("PATH")
                .and_then(|path| restore::without(path, ghost, b':'))
            {
                result.set("PATH", path);
            }
        }
        result
    }

    /// Takes note of what is active from now on, after `before` was.
    pub fn activated(&mut self, before: Option<&Restore>, now: Option<&Restore>, folder: &OsStr) {
        let entries = |record: &Restore| record.entries("PATH").join(OsStr::new(":"));
        let (old, new) = (before.map(entries), now.map(entries));
        // One entry may well be the user's own.
        let is_ours = |ghost: &OsString| ghost.as_encoded_bytes().contains(&b':');
        if let Some(old) = old.filter(is_ours) {
            self.ghosts.retain(|ghost| *ghost != old);
            self.ghosts.insert(0, old);
        }
        self.ghosts.retain(|ghost| Some(ghost) != new.as_ref());
        self.ghosts.truncate(MOST);
        self.is_first = false;
        self.active = now.map(|record| (Path::to_path_buf(record.root()), folder.to_owned()));
    }
}
