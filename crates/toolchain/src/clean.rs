//! Removes what was made here, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mxfp4_env::{Context, Layout, Workspace};

use crate::fingerprint::BuildFingerprint;
use crate::setup::{self, State};
use crate::{Error, files, lock};

/// What is to be removed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Kernel packages, programs, and what `demo` and others keep for the next time.
    pub outputs: bool,
    /// The models that MAX compiled.
    pub cache: bool,
    /// The virtual environment, and what was fetched or made beside it.
    pub sdk: bool,
}

/// What was removed, and what was not.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What is gone, and how many bytes each took.
    pub removed: Vec<(PathBuf, u64)>,
    /// What stands at a place of ours, but was made by somebody else.
    pub foreign: Vec<PathBuf>,
}

impl Cleaned {
    /// How many bytes are free again.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Removes what is `wanted`, or with `dry_run` only finds it. Waits for a build or a setup that runs, and has others
/// wait.
pub fn clean(context: &Context, wanted: Wanted, dry_run: bool) -> Result<Cleaned, Error> {
    let workspace = &context.workspace;
    let locks = match dry_run {
        true => Locks::default(),
        false => Locks::take(workspace)?,
    };
    let mut cleaned = Cleaned::default();
    for path in find(workspace, wanted, &locks, &mut cleaned.foreign)? {
        let bytes = size(&path)?;
        if !dry_run {
            files::remove_whole(&path)?;
        }
        cleaned.removed.push((path, bytes));
    }
    if !dry_run {
        remove_empty(workspace, &locks, &cleaned)?;
    }
    Ok(cleaned)
}

/// What keeps others from working on what is removed.
#[derive(Default)]
struct Locks {
    taken: BTreeMap<PathBuf, File>,
    busy: Vec<PathBuf>,
}

impl Locks {
    /// Waits for a build and a setup that run. Of other work, which may itself wait for one of the two, what has begun
    /// is left alone.
    fn take(workspace: &Workspace) -> Result<Self, Error> {
        let state = workspace.state_dir();
        let setup = state.join("setup.lock");
        let build = workspace.build_dir().join(".lock");
        let mut locks = Self::default();
        // A build uses the SDK too.
        for (path, what) in [(&setup, "`mxfp4 setup`"), (&build, "`mxfp4 build`")] {
            let made_here = workspace.layout == Layout::Standalone;
            // Where there is no folder for a lock yet, nothing was made that it guards.
            if made_here && path.parent().is_some_and(Path::is_dir) {
                let lock = lock::take(path, &format!("{what} in this workspace"))?;
                locks.taken.insert(path.clone(), lock);
            }
        }
        for path in entries(&state)?.into_iter().filter(|path| is_lock(path)) {
            if locks.taken.contains_key(&path) {
                continue;
            }
            match lock::try_take(&path)? {
                Some(lock) => drop(locks.taken.insert(path, lock)),
                None => locks.busy.push(path),
            }
        }
        Ok(locks)
    }

    /// Whether somebody is at work on `path`.
    fn is_busy(&self, path: &Path) -> bool {
        let of = |lock: &PathBuf| {
            let whole = lock.with_extension("");
            path == whole || files::is_partial_of(path, &whole)
        };
        self.busy.iter().any(of)
    }
}

fn is_lock(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "lock")
}

/// The files and folders to remove.
fn find(
    workspace: &Workspace,
    wanted: Wanted,
    locks: &Locks,
    foreign: &mut Vec<PathBuf>,
) -> Result<Vec<PathBuf>, Error> {
    let state = workspace.state_dir();
    let mut found = Vec::new();
    if wanted.outputs {
        if workspace.layout == Layout::Standalone {
            outputs(workspace, &mut found, foreign)?;
        }
        for path in entries(&state)? {
            let is_kept = ["cache", "tools"].iter().any(|kept| path.ends_with(kept));
            if locks.is_busy(&path) {
                tracing::info!("{} is in use, and stays", path.display());
            } else if !is_kept && !is_lock(&path) {
                found.push(path);
            }
        }
    }
    if wanted.cache {
        found.extend(there(state.join("cache")));
    }
    if wanted.sdk && workspace.layout == Layout::Standalone {
        found.extend(there(state.join("tools")));
        let venv = workspace.venv_dir();
        match setup::state(workspace)? {
            State::Foreign => foreign.push(venv.clone()),
            State::Missing => {}
            State::Fresh | State::Outdated => found.push(venv.clone()),
        }
        let begun = entries(&workspace.root)?.into_iter();
        found.extend(begun.filter(|path| files::is_partial_of(path, &venv)));
    }
    found.sort();
    Ok(found)
}

/// What builds have made: that has a record beside it, or the name of a kernel package.
fn outputs(
    workspace: &Workspace,
    found: &mut Vec<PathBuf>,
    foreign: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    let folder = workspace.build_dir();
    if folder.is_symlink() {
        // What it points to may be shared; without the link it is as good as gone.
        found.push(folder);
        return Ok(());
    }
    let packages = workspace
        .config
        .kernels
        .iter()
        .map(|kernel| kernel.name.as_str());
    let packages: Vec<&str> = packages.collect();
    made_in(&folder, &packages, found, foreign)
}

fn made_in(
    folder: &Path,
    packages: &[&str],
    found: &mut Vec<PathBuf>,
    foreign: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let package = [".mojoc", ".mojopkg"]
            .iter()
            .find_map(|extension| name.strip_suffix(extension));
        let record = path.with_file_name(format!(".{}.json", package.unwrap_or(&name)));
        let is_folder = path.is_dir() && !path.is_symlink();
        let is_made = package.is_some_and(|package| packages.contains(&package))
            || files::is_partial(&path)
            || BuildFingerprint::read(&path).is_some()
            || (!is_folder && BuildFingerprint::read(&record).is_some());
        if name == ".lock" {
            // It goes with its folder.
        } else if is_made {
            found.push(path);
        } else if is_folder {
            made_in(&path, &[], found, foreign)?;
        } else {
            foreign.push(path);
        }
    }
    Ok(())
}

/// Removes the folders of ours that hold nothing but a lock any more. The caller has the locks, and who waits for one
/// sees that its file has gone.
fn remove_empty(workspace: &Workspace, locks: &Locks, cleaned: &Cleaned) -> Result<(), Error> {
    let mut folders: Vec<&Path> = cleaned
        .removed
        .iter()
        .filter_map(|(path, _)| path.parent())
        .collect();
    let (build, state) = (workspace.build_dir(), workspace.state_dir());
    folders.extend([build.as_path(), &state]);
    // Those below first.
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
    for folder in folders {
        let ours = folder.starts_with(&build) && workspace.layout == Layout::Standalone;
        if !(ours || folder.starts_with(&state)) || folder.is_symlink() {
            continue;
        }
        let left = entries(folder)?;
        if left.iter().all(|path| locks.taken.contains_key(path)) {
            files::remove(folder)?;
        }
    }
    Ok(())
}

fn there(path: PathBuf) -> Option<PathBuf> {
    path.symlink_metadata().is_ok().then_some(path)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed,
    };
    listed
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::file("read", folder))
}

/// The bytes that removing `path` sets free: a file that has a name elsewhere too (uv links from its cache) takes as much
/// as before.
fn size(path: &Path) -> Result<u64, Error> {
    let mut linked = BTreeMap::new();
    let mut bytes = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            // Somebody else was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(Error::file("read", &path))?,
        };
        if metadata.is_dir() {
            left.extend(entries(&path)?);
            continue;
        }
        let names = linked.entry((metadata.dev(), metadata.ino())).or_insert(0);
        *names += 1;
        if *names == metadata.nlink() {
            bytes += metadata.size();
        }
    }
    Ok(bytes)
}
